/* sql/50_views.sql: error codes and counters */

CREATE VIEW foreman.error_codes (code, http_status, retryable, meaning, sqlstates) AS
VALUES
    ('DB_CONNECTION_ERROR', 503, true, 'The server is not available, or says so in a call.',
        ARRAY['08...', '53300', '57P01', '57P02', '57P03', '57P04', '57P05', 'JF001']),
    ('DB_QUERY_ERROR', 500, false, 'Any other SQL error.', ARRAY['any other', 'JF002']),
    ('DB_TIMEOUT_ERROR', 408, true, 'The call''s time limit, or a lock timeout that was left after the retries.',
        ARRAY['55P03', '57014', 'JF003']),
    ('INVALID_PARAMS', 400, false, 'An argument can''t be used; the reply names it and says what is allowed.',
        ARRAY['22...', '23502', '23503', '23514', '54000', 'JF004']),
    ('NOT_FOUND', 404, false, 'There is no such job, setting or queue.', ARRAY['JF005']),
    ('DUPLICATE_ENTRY', 409, false, 'A unique key is taken; the reply names the job that holds it, or the constraint of the caller''s own table.',
        ARRAY['23505', '23P01', 'JF006']),
    ('INTERNAL_ERROR', 500, false, 'Corruption or a fault of ours: tell your DBA.', ARRAY['XX...', 'JF007']),
    ('UNAUTHORIZED', 401, false, 'The role lacks a privilege.', ARRAY['42501', '28...', 'JF008']),
    ('DB_DEADLOCK', 503, true, 'A deadlock that was left after the retries, or a serialization failure.',
        ARRAY['40P01', '40001', 'JF009']),
    ('INVALID_TRANSITION', 409, false, 'The job''s state does not allow it; the reply says from, to and what is allowed.',
        ARRAY['JF010']),
    ('LEASE_LOST', 409, false, 'The lease token is not the job''s current one.', ARRAY['JF011']),
    ('VERSION_CONFLICT', 409, false, 'The setting''s version is not the expected one; the reply carries the present one.',
        ARRAY['JF012']),
    ('QUEUE_FULL', 429, true, 'The queue''s policy allows no more waiting jobs.', ARRAY['JF013']),
    ('READ_ONLY', 503, false, 'A standby or a read-only transaction: ask the primary.', ARRAY['25006', 'JF014']);
COMMENT ON VIEW foreman.error_codes IS 'The codes that error replies carry, and what they stand for.';

CREATE VIEW foreman.call_stats AS
SELECT c.function, c.calls, c.errors, c.errors_by_code, c.retries, c.deadlocks, c.time_total_ms, c.time_max_ms, c.scope
FROM pg_catalog.jsonb_to_recordset(foreman.read_call_stats() OPERATOR(pg_catalog.->) 'functions') AS c (
    function text,
    calls bigint,
    errors bigint,
    errors_by_code jsonb,
    retries bigint,
    deadlocks bigint,
    time_total_ms double precision,
    time_max_ms double precision,
    scope text
);
COMMENT ON VIEW foreman.call_stats IS
    'Calls of each function. scope is server (preloaded: of all sessions and databases since the start) or backend (this session''s own).';

CREATE VIEW foreman.slow_calls AS
SELECT pg_catalog.to_timestamp(c.ended_at) AS ended_at,
       c.function,
       pg_catalog.make_interval(secs => c.took) AS took,
       pg_catalog.make_interval(secs => c.lost) AS lost_to_retries,
       c.attempts,
       c.error_code,
       c.query_id,
       COALESCE(d.datname::pg_catalog.text, c.database::pg_catalog.text) AS database,
       c.scope
FROM pg_catalog.jsonb_to_recordset(foreman.read_slow_calls() OPERATOR(pg_catalog.->) 'calls') AS c (
    ended_at double precision,
    function text,
    took double precision,
    lost double precision,
    attempts integer,
    error_code text,
    query_id bigint,
    database bigint,
    scope text
)
LEFT JOIN pg_catalog.pg_database AS d ON d.oid::pg_catalog.int8 OPERATOR(pg_catalog.=) c.database
ORDER BY c.ended_at DESC;
COMMENT ON VIEW foreman.slow_calls IS
    'The last 1,000 calls that took foreman.slow_call_threshold or more, the last one first. lost_to_retries: attempts that failed for a lock, and the pauses after them. query_id: in pg_stat_statements, of foreman.execute that of its statement. scope as in call_stats.';

CREATE VIEW foreman.floor_stats AS
SELECT q.name AS queue, pg_catalog.to_timestamp(f.last_claim) AS last_claim_at, f.looks_back, f.found_by_look_back
FROM pg_catalog.jsonb_to_recordset(foreman.read_floor_stats() OPERATOR(pg_catalog.->) 'queues') AS f (
    queue_id integer,
    last_claim double precision,
    looks_back bigint,
    found_by_look_back bigint
)
JOIN foreman.queue AS q ON q.id OPERATOR(pg_catalog.=) f.queue_id;
COMMENT ON VIEW foreman.floor_stats IS
    'Queues that have floors, and the jobs that claims found only by a look below them: 0, unless rows were written by hand. Empty without preload.';

CREATE VIEW foreman.queues AS
SELECT q.name AS queue, q.paused_at, q.lease_seconds, q.max_attempts, q.default_priority, q.backoff,
       q.backoff_base_seconds, q.backoff_factor, q.backoff_cap_seconds, q.backoff_jitter, q.max_run_seconds,
       CASE WHEN q.completed_retention_seconds OPERATOR(pg_catalog.<) 'infinity' THEN q.completed_retention_seconds END
           AS completed_retention_seconds,
       CASE WHEN q.failed_retention_seconds OPERATOR(pg_catalog.<) 'infinity' THEN q.failed_retention_seconds END
           AS failed_retention_seconds,
       q.notify, q.ready_target_seconds, q.created_at
FROM foreman.queue AS q;
COMMENT ON VIEW foreman.queues IS 'Queues and their policies; a retention of NULL is for ever, a target of NULL is none of the queue''s own.';
