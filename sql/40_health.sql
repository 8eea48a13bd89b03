/* sql/40_health.sql: how the server is: what checks read, what they are measured against, and all of them as one table */

-- Every view here reads the jobs' tables with its owner's rights, while pg_stat_activity shows and hides by the role
-- that asks, in a view as anywhere: a role without pg_monitor is told that something is hidden, and by db_health(),
-- which runs as the owner, the figures themselves.

CREATE TABLE foreman.health_threshold (
    name text COLLATE "C" NOT NULL CONSTRAINT health_threshold_name_is_unique PRIMARY KEY,
    warn double precision,
    fail double precision,
    enabled boolean NOT NULL DEFAULT true,
    muted_until timestamptz,
    note text,
    updated_at timestamptz NOT NULL,
    updated_by name NOT NULL
);
COMMENT ON TABLE foreman.health_threshold IS
    'What foreman.configure_check() has changed; where warn or fail is NULL, the check''s own is in force.';

CREATE VIEW foreman.health_thresholds AS
SELECT t.name, t.warn, t.fail, t.unit, t.direction, t.worst, t.source, t.enabled, t.muted_until, t.note,
       t.from_version, t.on_standby, t.about, t.advice
FROM pg_catalog.jsonb_to_recordset(foreman.read_health_thresholds() OPERATOR(pg_catalog.->) 'thresholds') AS t (
    name text,
    warn double precision,
    fail double precision,
    unit text,
    direction text,
    worst text,
    source text,
    enabled boolean,
    muted_until timestamptz,
    note text,
    from_version integer,
    on_standby boolean,
    about text,
    advice text
);
COMMENT ON VIEW foreman.health_thresholds IS
    'What each check is measured against: from warn on it warns, beyond fail it fails; without one it never does. source says whether these are built in or configured.';

-- One row a client session. The remedy names the transaction, not only the process: a pooled session serves somebody
-- else a moment later, and a pid is given out again.
CREATE VIEW foreman.client_sessions AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at
)
SELECT a.pid,
       a.backend_start,
       a.datname AS database,
       a.usename AS role,
       a.application_name AS application,
       a.state,
       a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AS is_own,
       a.backend_type IS NOT NULL AS is_visible,
       -- Not before the start, should the clock be set back; GREATEST alone would make 0 of NULL.
       CASE WHEN a.xact_start IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.xact_start)::double precision)
       END AS transaction_seconds,
       CASE WHEN a.state_change IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.state_change)::double precision)
       END AS state_seconds,
       CASE
           WHEN a.backend_type IS NULL
               THEN pg_catalog.format('role %I may not see the sessions of other roles', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'a session runs with track_activities off'
       END AS hidden_because,
       CASE
           WHEN a.backend_type IS NULL THEN pg_catalog.format('GRANT pg_monitor TO %I;', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'ALTER SYSTEM SET track_activities = on;'
       END AS reveal,
       CASE
           WHEN a.backend_type IS NULL THEN NULL
           WHEN a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() THEN 'COMMIT;'
           ELSE pg_catalog.format(
               'SELECT %s(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %L%s;',
               CASE
                   WHEN a.state OPERATOR(pg_catalog.=) 'active' THEN 'pg_cancel_backend'
                   ELSE 'pg_terminate_backend'
               END,
               a.pid,
               pg_catalog.to_jsonb(a.backend_start) OPERATOR(pg_catalog.#>>) '{}',
               CASE
                   WHEN a.xact_start IS NULL THEN ''
                   ELSE pg_catalog.format(
                       ' AND xact_start = %L', pg_catalog.to_jsonb(a.xact_start) OPERATOR(pg_catalog.#>>) '{}')
               END)
       END AS remedy
FROM pg_catalog.pg_stat_activity AS a
CROSS JOIN clock AS c
WHERE a.backend_type OPERATOR(pg_catalog.=) 'client backend'
   OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL);
COMMENT ON VIEW foreman.client_sessions IS
    'The client sessions, with ages in seconds and the statement that ends what each does. Never a query''s text.';

-- The pool is the server's own slots: those that an ordinary role can get are its size, and whoever exceeds them sits
-- in a reserved one. reserved_connections is there from 16 on.
CREATE VIEW foreman.connection_pool AS
WITH slots AS (
    SELECT pg_catalog.current_setting('max_connections')::bigint
               OPERATOR(pg_catalog.-) pg_catalog.current_setting('superuser_reserved_connections')::bigint
               OPERATOR(pg_catalog.-) COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::bigint
               AS size
), taken AS (
    SELECT pg_catalog.count(*) FILTER (WHERE s.is_visible) AS used,
           pg_catalog.min(s.hidden_because) FILTER (WHERE NOT s.is_visible) AS hidden_because,
           pg_catalog.min(s.reveal) FILTER (WHERE NOT s.is_visible) AS reveal
    FROM foreman.client_sessions AS s
)
SELECT s.size,
       GREATEST(0, s.size OPERATOR(pg_catalog.-) t.used) AS checked_in,
       t.used AS checked_out,
       GREATEST(0, t.used OPERATOR(pg_catalog.-) s.size) AS overflow,
       100.0::double precision OPERATOR(pg_catalog.*) t.used OPERATOR(pg_catalog./) s.size AS utilization_percent,
       t.hidden_because,
       t.reveal
FROM slots AS s
CROSS JOIN taken AS t;
COMMENT ON VIEW foreman.connection_pool IS
    'The server''s connection slots as a pool. Where hidden_because is not NULL, checked_out is only what the role may see.';

CREATE VIEW foreman.connection_health AS
SELECT s.database,
       s.role,
       s.application,
       s.state,
       pg_catalog.count(*) AS sessions,
       pg_catalog.round(pg_catalog.max(s.state_seconds)::numeric, 3)::double precision AS oldest_seconds
FROM foreman.client_sessions AS s
GROUP BY s.database, s.role, s.application, s.state;
COMMENT ON VIEW foreman.connection_health IS
    'Client sessions by database, role, application and state, and for how long the oldest is in it. A state of NULL is hidden from this role (GRANT pg_monitor), or still starting.';

CREATE VIEW foreman.queue_names AS
SELECT q.id AS queue_id, q.name AS queue FROM foreman.queue AS q;
COMMENT ON VIEW foreman.queue_names IS 'Names of queues, for checks that count by their ids.';

-- Reads the first row of the rest by its index: the ids' order is nearly that of the ends.
CREATE VIEW foreman.partition_outlook AS
SELECT (SELECT pg_catalog.max(d.day) OPERATOR(pg_catalog.-) (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date
        FROM foreman.finished_day AS d) AS days_ahead,
       (SELECT r.finished_at FROM foreman.finished_rest AS r ORDER BY r.id LIMIT 1) AS waiting_since;
COMMENT ON VIEW foreman.partition_outlook IS
    'How many days after today have partitions (NULL: none was ever made), and since when a job that ended waits for one.';

CREATE VIEW foreman.health_checks AS
SELECT c.name, c.status, c.value, c.unit, c.warn_threshold, c.fail_threshold, c.meaning, c.remedy, c.reason, c.subjects,
       c.muted
FROM pg_catalog.jsonb_to_recordset(foreman.read_health_checks() OPERATOR(pg_catalog.->) 'checks') AS c (
    name text,
    status text,
    value double precision,
    unit text,
    warn_threshold double precision,
    fail_threshold double precision,
    meaning text,
    remedy text,
    reason text,
    subjects jsonb,
    muted boolean
);
COMMENT ON VIEW foreman.health_checks IS
    'A row a check, worst first: status (pass, warn, fail, unknown, skipped), value, thresholds, what it means, what to do. Made with the rights of whoever reads it.';

CREATE FUNCTION foreman.is_live() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT true';
COMMENT ON FUNCTION foreman.is_live() IS
    'For liveness probes: true, since what answers is live. No trouble that checks find is cured by a restart.';

-- The session that asks may have taken the last slot itself.
CREATE FUNCTION foreman.is_ready() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_catalog.pg_stat_clear_snapshot();
    SELECT p.checked_out OPERATOR(pg_catalog.<=) p.size FROM foreman.connection_pool AS p;
$$;
COMMENT ON FUNCTION foreman.is_ready() IS
    'For readiness probes and load balancers: false where the other sessions hold every connection that an ordinary role can have. Nothing else is helped by taking traffic away.';

-- Compiling a statement would take 400 ms, running it takes 2: the planner counts on a thousand queues where it has no
-- statistics yet, which is enough for it to think of JIT.
ALTER FUNCTION foreman.db_health(boolean) SET jit = off;
ALTER FUNCTION foreman.read_health_checks() SET jit = off;
