-- A server in trouble: a session has forgotten its transaction, and another waits for the row that it has changed. So that
-- nobody has to wait for a minute, this server warns after a second.
SELECT name, status, round(value::numeric, 1) AS value, unit, caused_by FROM foreman.health_checks WHERE status IN ('warn', 'fail');
-- One trouble, one warning: from its cause to what comes of it.
SELECT jsonb_array_elements_text(foreman.db_health() -> 'warnings') AS warning;
SELECT * FROM foreman.blocking;
-- What ends it is told as well, for this transaction of this process and for nobody who comes after. To be pasted, or run.
SELECT remedy FROM foreman.health_checks WHERE name = 'idle_in_transaction';
SELECT remedy FROM foreman.health_checks WHERE name = 'idle_in_transaction' \gexec
