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

-- One row a client session.
CREATE VIEW foreman.client_sessions AS
SELECT s.pid, s.backend_start, s.xact_start, s.database, s.role, s.application, s.state, s.is_own, s.is_visible,
       s.transaction_seconds, s.query_seconds, s.state_seconds, s.hidden_because, s.reveal, s.remedy
FROM pg_catalog.jsonb_to_recordset(foreman.read_server('sessions') OPERATOR(pg_catalog.->) 'rows') AS s (
    pid integer,
    backend_start timestamptz,
    xact_start timestamptz,
    database text,
    role text,
    application text,
    state text,
    is_own boolean,
    is_visible boolean,
    transaction_seconds double precision,
    query_seconds double precision,
    state_seconds double precision,
    hidden_because text,
    reveal text,
    remedy text
);
COMMENT ON VIEW foreman.client_sessions IS
    'The client sessions, with ages in seconds and the statement that ends what each does. Never a query''s text.';

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

CREATE VIEW foreman.horizon_holders AS
SELECT h.holder, h.application, h.state, h.transactions, pg_catalog.make_interval(secs => h.seconds) AS open_for, h.affects,
       h.is_echo, h.remedy
FROM pg_catalog.jsonb_to_recordset(foreman.read_server('horizon') OPERATOR(pg_catalog.->) 'rows') AS h (
    holder text,
    application text,
    state text,
    transactions integer,
    seconds double precision,
    affects text,
    is_echo boolean,
    remedy text
);
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

CREATE VIEW foreman.partition_outlook AS
SELECT pg_catalog.max(d.day) AS last_day FROM foreman.finished_day AS d;
COMMENT ON VIEW foreman.partition_outlook IS 'The last day (UTC) that has a partition.';

-- Reads the first row by its index: the ids' order is nearly that of the ends.
CREATE VIEW foreman.partition_wait AS
SELECT r.finished_at AS waiting_since FROM foreman.finished_rest AS r ORDER BY r.id LIMIT 1;
COMMENT ON VIEW foreman.partition_wait IS 'Since when a job that ended waits for a partition.';

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

-- Compiling a statement would take 400 ms, running it takes 2: the planner counts on a thousand rows where it has no
-- statistics yet, which in a join is enough for it to think of JIT.
ALTER FUNCTION foreman.db_health(boolean) SET jit = off;
ALTER FUNCTION foreman.read_health_checks() SET jit = off;
