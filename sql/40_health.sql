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
       t.tier, t.from_version, t.on_standby, t.about, t.advice
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
    tier text,
    from_version integer,
    on_standby boolean,
    about text,
    advice text
);
COMMENT ON VIEW foreman.health_thresholds IS
    'What each check is measured against: from warn on it warns, beyond fail it fails; without one it never does. source says whether these are built in or configured; tier whether it is made whenever somebody asks (fast), or now and then (slow).';

-- One row a client session. The server's function, where pg_stat_activity would join two tables to it, which takes a new
-- session half a millisecond to plan. What is hidden has no start. A type is also wanting of a background worker that has ended since
-- the list was taken, or that the postmaster has not noted yet: the server looks types up when it shows them, and the list is
-- kept for the transaction.
CREATE VIEW foreman.client_sessions AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at
)
SELECT a.pid,
       a.backend_start,
       a.xact_start,
       d.datname AS database,
       pg_catalog.pg_get_userbyid(a.usesysid) AS role,
       a.application_name AS application,
       a.state,
       a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AS is_own,
       a.backend_start IS NOT NULL AS is_visible,
       -- Not before the start, should the clock be set back; GREATEST alone would make 0 of NULL.
       CASE WHEN a.xact_start IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.xact_start)::double precision)
       END AS transaction_seconds,
       -- A procedure that ends transactions, such as wait_for_jobs, is as old as the present one.
       CASE WHEN a.state OPERATOR(pg_catalog.=) 'active' THEN
           GREATEST(0, EXTRACT(epoch FROM
               c.at OPERATOR(pg_catalog.-) GREATEST(a.query_start, a.xact_start))::double precision)
       END AS query_seconds,
       CASE WHEN a.state_change IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.state_change)::double precision)
       END AS state_seconds,
       CASE
           WHEN a.backend_start IS NULL
               THEN pg_catalog.format('role %I may not see the sessions of other roles', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'a session runs with track_activities off'
       END AS hidden_because,
       CASE
           WHEN a.backend_start IS NULL THEN pg_catalog.format('GRANT pg_monitor TO %I;', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'ALTER SYSTEM SET track_activities = on;'
       END AS reveal,
       foreman.session_remedy(a.pid, a.backend_start, a.state, a.xact_start) AS remedy
FROM pg_catalog.pg_stat_get_activity(NULL) AS a
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) a.datid
CROSS JOIN clock AS c
WHERE a.backend_type OPERATOR(pg_catalog.=) 'client backend'
   OR (a.backend_start IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL);
COMMENT ON VIEW foreman.client_sessions IS
    'The client sessions, with ages in seconds and the statement that ends what each does. Never a query''s text.';

-- reserved_connections is there from 16 on.
CREATE VIEW foreman.connection_slots AS
SELECT pg_catalog.current_setting('max_connections')::bigint
           OPERATOR(pg_catalog.-) pg_catalog.current_setting('superuser_reserved_connections')::bigint
           OPERATOR(pg_catalog.-) COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::bigint
           AS size;
COMMENT ON VIEW foreman.connection_slots IS 'How many connections ordinary roles can have.';

-- The pool is the server's own slots: those that an ordinary role can get are its size, and whoever exceeds them sits
-- in a reserved one.
CREATE VIEW foreman.connection_pool AS
WITH taken AS (
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
FROM foreman.connection_slots AS s
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

-- Six kinds of holders, each with the oldest transaction that VACUUM has to think of for it. What came from somebody else
-- is an echo, and ending it alone would change nothing: a session's snapshot that is as old as another's transaction, and
-- a standby's feedback, or the slot that keeps it, that is no older than a transaction here. Who works in another database
-- holds nothing here. VACUUM does not wait for VACUUM, nor for a walsender that decodes. A parallel worker has the snapshot of
-- its session, and goes with it.
-- The server's functions, where its views would join what is not asked for: planning them took a new session 4 ms more.
CREATE VIEW foreman.horizon_holders AS
WITH slot AS MATERIALIZED (
    SELECT s.slot_name, s.slot_type, s.datoid, s.active_pid, CASE WHEN s.active THEN 'active' ELSE 'inactive' END AS state,
           s.xmin, s.catalog_xmin
    FROM pg_catalog.pg_get_replication_slots() AS s
), session AS MATERIALIZED (
    SELECT a.pid, b.datname, a.application_name, a.state, a.xact_start,
           -- What is no client's is nobody's to end: a worker's statement is its leader's, and autovacuum comes again.
           CASE WHEN a.backend_type OPERATOR(pg_catalog.=) 'client backend' THEN a.backend_start END AS backend_start,
           a.backend_type OPERATOR(pg_catalog.=) 'walsender' AS is_sender,
           pg_catalog.age(a.backend_xid) AS own_age,
           GREATEST(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) AS age
    FROM pg_catalog.pg_stat_get_activity(NULL) AS a
    LEFT JOIN pg_catalog.pg_database AS b ON b.oid OPERATOR(pg_catalog.=) a.datid
    WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
      AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
      AND COALESCE(a.backend_type, '') OPERATOR(pg_catalog.<>) 'parallel worker'
      AND NOT EXISTS (
          SELECT 1 FROM pg_catalog.pg_stat_get_progress_info('VACUUM') AS v WHERE v.pid OPERATOR(pg_catalog.=) a.pid)
      AND NOT EXISTS (
          SELECT 1 FROM slot AS s
          WHERE s.active_pid OPERATOR(pg_catalog.=) a.pid AND s.slot_type OPERATOR(pg_catalog.=) 'logical')
), holder AS MATERIALIZED (
    SELECT CASE WHEN s.is_sender THEN 'standby' ELSE 'session' END AS kind,
           pg_catalog.format(CASE WHEN s.is_sender THEN 'standby %s (pid %s)' ELSE 'pid %2$s' END, s.application_name, s.pid)
               AS holder,
           s.pid, s.datname::pg_catalog.text AS database, s.application_name AS application, s.state, s.backend_start,
           s.xact_start AS since, s.age, s.own_age
    FROM session AS s
    UNION ALL
    SELECT 'prepared transaction', pg_catalog.format('prepared transaction %L', p.gid), NULL, d.datname::pg_catalog.text, NULL,
           NULL, NULL, p.prepared, pg_catalog.age(p.transaction), pg_catalog.age(p.transaction)
    FROM pg_catalog.pg_prepared_xact() AS p
    LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) p.dbid
    UNION ALL
    SELECT 'slot', pg_catalog.format('slot %s', s.slot_name), s.active_pid, NULL, NULL, s.state, NULL,
           NULL, pg_catalog.age(s.xmin), NULL
    FROM slot AS s
    WHERE s.xmin IS NOT NULL
    UNION ALL
    SELECT 'slot (catalogs)', pg_catalog.format('slot %s', s.slot_name), s.active_pid, d.datname::pg_catalog.text, NULL, s.state,
           NULL, NULL, pg_catalog.age(s.catalog_xmin), NULL
    FROM slot AS s
    LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) s.datoid
    WHERE s.catalog_xmin IS NOT NULL
), told AS (
    SELECT h.kind, h.holder, h.pid, h.database, h.application, h.state, h.backend_start, h.since, h.age,
           CASE
               WHEN h.kind OPERATOR(pg_catalog.=) 'prepared transaction' THEN false
               WHEN h.kind OPERATOR(pg_catalog.=) 'session' THEN COALESCE(h.own_age, -1) OPERATOR(pg_catalog.<) h.age
                   AND h.age OPERATOR(pg_catalog.<=) pg_catalog.max(h.own_age) OVER (PARTITION BY h.database)
               ELSE h.age OPERATOR(pg_catalog.<=) pg_catalog.max(h.age) FILTER (
                   WHERE h.kind OPERATOR(pg_catalog.=) ANY (ARRAY['session', 'prepared transaction'])
                     AND h.database OPERATOR(pg_catalog.=) pg_catalog.current_database()::pg_catalog.text) OVER ()
           END AS echoes
    FROM holder AS h
)
SELECT t.holder,
       t.application,
       t.state,
       t.age AS transactions,
       pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) t.since AS open_for,
       CASE
           WHEN t.kind OPERATOR(pg_catalog.=) 'slot (catalogs)' THEN 'catalogs'
           WHEN t.database IS NULL OR t.kind OPERATOR(pg_catalog.=) 'slot' THEN 'all databases'
           ELSE t.database
       END AS affects,
       COALESCE(t.echoes, false) AS is_echo,
       CASE
           WHEN t.kind OPERATOR(pg_catalog.=) 'session'
               THEN foreman.session_remedy(t.pid, t.backend_start, t.state, t.since)
           WHEN t.kind OPERATOR(pg_catalog.=) 'prepared transaction' THEN pg_catalog.format(
               'ROLLBACK PREPARED %s; -- or COMMIT PREPARED, in database %I, by its owner or a superuser; what it did is lost',
               pg_catalog.substr(t.holder, 22), t.database)
           WHEN t.state OPERATOR(pg_catalog.=) 'inactive' THEN pg_catalog.format(
               'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %L AND NOT active; -- whoever used it has to begin anew; takes REPLICATION',
               pg_catalog.substr(t.holder, 6))
           ELSE '-- There, end the oldest transaction of: SELECT pid, xact_start FROM pg_stat_activity ORDER BY backend_xmin IS NULL, xact_start;'
       END AS remedy
FROM told AS t
ORDER BY is_echo, t.age DESC, t.since, t.holder;
COMMENT ON VIEW foreman.horizon_holders IS
    'What foreman.horizon shows, with what ends it.';

CREATE VIEW foreman.horizon AS
SELECT h.holder, h.application, h.state, h.transactions, pg_catalog.date_trunc('second', h.open_for) AS open_for, h.affects,
       h.is_echo
FROM foreman.horizon_holders AS h
ORDER BY h.is_echo, h.transactions DESC, h.open_for DESC, h.holder;
COMMENT ON VIEW foreman.horizon IS
    'Who keeps VACUUM from removing dead rows, oldest first: for how many transactions, and where. An echo repeats what another holds.';

CREATE VIEW foreman.queue_names AS
SELECT q.id AS queue_id, q.name AS queue, q.paused_at, q.ready_target_seconds FROM foreman.queue AS q;
COMMENT ON VIEW foreman.queue_names IS
    'Names of queues, whether they are paused, and their targets, for checks that count by their ids.';

CREATE VIEW foreman.queue_health AS
WITH source AS MATERIALIZED (
    SELECT f.live_roll_up, f.ended_roll_up FROM foreman.figure_source() AS f
), live AS MATERIALIZED (
    SELECT f.queue_id, f.pending, f.scheduled, f.running, f.oldest_ready_at
    FROM source AS s
    CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
), ended AS MATERIALIZED (
    SELECT f.queue_id,
           COALESCE(pg_catalog.sum(f.jobs_since) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'completed'), 0)::bigint
               AS completed,
           COALESCE(pg_catalog.sum(f.jobs_since) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'failed'), 0)::bigint AS failed
    FROM source AS s
    CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, foreman.figures_since(
        pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '1 hour', s.ended_roll_up)) AS f
    GROUP BY f.queue_id
)
SELECT q.queue,
       CASE WHEN l.oldest_ready_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() THEN
           pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.oldest_ready_at)
       END AS oldest_ready,
       pg_catalog.make_interval(secs => q.ready_target_seconds) AS target,
       COALESCE(l.pending OPERATOR(pg_catalog.-) l.scheduled, 0) AS ready,
       COALESCE(l.scheduled, 0) AS scheduled,
       COALESCE(l.running, 0) AS running,
       COALESCE(e.completed, 0) AS completed_last_hour,
       COALESCE(e.failed, 0) AS failed_last_hour
FROM foreman.queue_names AS q
LEFT JOIN live AS l ON l.queue_id OPERATOR(pg_catalog.=) q.queue_id
LEFT JOIN ended AS e ON e.queue_id OPERATOR(pg_catalog.=) q.queue_id
ORDER BY l.oldest_ready_at, q.queue;
COMMENT ON VIEW foreman.queue_health IS
    'The queues, the one with the oldest ready job first: for how long that has been waiting, and for how long it may at most, jobs by state, what ended in the last hour. As of when: see job_stats.';

-- Reads the first row of the rest by its index: the ids' order is nearly that of the ends.
CREATE VIEW foreman.partition_outlook AS
SELECT (SELECT pg_catalog.max(d.day) OPERATOR(pg_catalog.-) (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::pg_catalog.date
        FROM foreman.finished_day AS d) AS days_ahead,
       (SELECT r.finished_at FROM foreman.finished_rest AS r ORDER BY r.id LIMIT 1) AS waiting_since;
COMMENT ON VIEW foreman.partition_outlook IS
    'How many days after today have partitions (NULL: none was ever made), and since when a job that ended waits for one.';

CREATE VIEW foreman.lease_outlook AS
SELECT pg_catalog.min(l.lease_end) AS expired_at, pg_catalog.count(*) AS leases
FROM (
    -- Those that heartbeats have extended come first as their rows have it: some of them are enough to look at.
    SELECT foreman.lease_end(j.lease_token, j.lease_expires_at, j.lease_seconds) AS lease_end
    FROM foreman.live_job AS j
    WHERE j.status OPERATOR(pg_catalog.=) 'running'
      AND j.lease_expires_at OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp()
    ORDER BY j.lease_expires_at
    LIMIT 1000
) AS l
WHERE l.lease_end OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp();
COMMENT ON VIEW foreman.lease_outlook IS
    'Jobs whose lease is over and that nobody has taken back yet, of the first thousand, and since when.';

CREATE VIEW foreman.health_checks AS
SELECT c.name, c.status, c.value, c.unit, c.warn_threshold, c.fail_threshold, c.meaning, c.remedy, c.reason, c.subjects,
       pg_catalog.date_trunc('second', pg_catalog.make_interval(secs => c.age_seconds)) AS age, c.took_ms, c.muted, c.caused_by, c.causes
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
    age_seconds double precision,
    took_ms double precision,
    muted boolean,
    caused_by text,
    causes jsonb
);
COMMENT ON VIEW foreman.health_checks IS
    'A row a check, worst first: status (pass, warn, fail, unknown, skipped), value, thresholds, what it means, what to do; how long it took, and of slow checks how long ago it was made. Fast ones are made with the rights of whoever reads it.';

CREATE VIEW foreman.blocking AS
SELECT r.holder, r.application, r.state, r.blocks, r.depth,
       pg_catalog.date_trunc('second', pg_catalog.make_interval(secs => r.longest_wait_seconds)) AS longest_wait
FROM foreman.health_checks AS c
CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(c.subjects OPERATOR(pg_catalog.->) 'roots') AS r (
    holder text,
    application text,
    state text,
    blocks bigint,
    depth bigint,
    longest_wait_seconds double precision
)
WHERE c.name OPERATOR(pg_catalog.=) 'blocked_sessions';
COMMENT ON VIEW foreman.blocking IS
    'Who has others wait for a lock and does not wait: how many wait behind it, how many deep, and the longest for how long. health_checks has what ends it.';

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
-- Nor are other processes asked to help: a probe would take them from somebody's query, and wait for their start.
ALTER FUNCTION foreman.db_health(boolean) SET max_parallel_workers_per_gather = 0;
ALTER FUNCTION foreman.read_health_checks() SET max_parallel_workers_per_gather = 0;
