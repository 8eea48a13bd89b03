-- 6. A time-out
-- Another session has updated Ann's account and does not commit. A call waits for a row for at most
-- foreman.lock_timeout, tries again, and is over after foreman.query_timeout whatever happens.

SET foreman.lock_timeout = '300ms';
SET foreman.query_timeout = '1s';
\timing on
SELECT jsonb_pretty(foreman.execute('UPDATE demo.account SET balance = balance + 1 WHERE id = $1', '[1]'));
