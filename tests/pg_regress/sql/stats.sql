-- job_stats counts by state, of one queue or of all; the counters of the functions are the session's own unless the
-- library is preloaded.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

SELECT jsonb_pretty(foreman.job_stats() - '{as_of,live_as_of}'::text[]);
SELECT count(foreman.create_job('s')) FROM generate_series(1, 7) AS n;
SELECT foreman.create_job('s', run_at => clock_timestamp() + interval '1 hour') ->> 'status' AS status;
SELECT foreman.create_job('later', run_at => clock_timestamp() + interval '1 hour') ->> 'status' AS status;
SELECT count(foreman.update_job_status(n, state))
FROM (VALUES (1, 'running'), (2, 'completed'), (3, 'completed'), (4, 'failed'), (5, 'cancelled')) AS t (n, state);
SELECT jsonb_pretty(foreman.job_stats() - '{as_of,live_as_of,oldest_ready_seconds}'::text[]);
SELECT foreman.job_stats('s') - '{as_of,live_as_of,oldest_ready_seconds}'::text[] AS stats;
-- Nothing ready, nothing that ended: null, not 0.
SELECT foreman.job_stats('later') - '{as_of,live_as_of}'::text[] AS stats;
SELECT (r -> 'oldest_ready_seconds')::numeric BETWEEN 0 AND 600 AS plausible FROM foreman.job_stats('s') AS r;
-- Few jobs are counted now.
SELECT r -> 'as_of' = r -> 'live_as_of' AS of_one_moment,
       (r ->> 'as_of')::timestamptz BETWEEN statement_timestamp() AND clock_timestamp() AS is_now
FROM foreman.job_stats() AS r;

-- Only what ended lately, from the moment that the reply names.
SELECT clock_timestamp() - (r ->> 'since')::timestamptz BETWEEN interval '30 min' AND interval '31 min' AS exact
FROM foreman.job_stats(since_seconds => 1800) AS r;
UPDATE foreman.finished_rest SET finished_at = finished_at - interval '1 hour' WHERE id IN (2, 4);
SELECT seconds, r -> 'completed' AS completed, r -> 'failed' AS failed, r -> 'cancelled' AS cancelled,
       r -> 'success_rate' AS success_rate
FROM (VALUES (1800::double precision), (7200), (315360000)) AS t (seconds),
    LATERAL foreman.job_stats('s', since_seconds => seconds) AS r
ORDER BY seconds;

-- Rounded to a tenth of a percent.
SELECT count(foreman.create_job('rate')) FROM generate_series(1, 3) AS n;
SELECT count(foreman.update_job_status(job_id, CASE job_id % 3 WHEN 0 THEN 'failed' ELSE 'completed' END))
FROM foreman.jobs WHERE queue = 'rate';
SELECT foreman.job_stats('rate') -> 'success_rate' AS success_rate;

SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.job_stats('no such queue') AS r;
SELECT s AS since, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM unnest('{0,-1,NaN,Infinity,-Infinity,315360001}'::double precision[]) WITH ORDINALITY AS t (s, place),
    LATERAL foreman.job_stats(since_seconds => s) AS r
ORDER BY place;

-- The counters: of this session, by function and by code.
\connect -
SELECT * FROM foreman.call_stats WHERE function <> 'read_call_stats';
SELECT foreman.get_job(1) ->> 'status' AS status;
SELECT foreman.get_job(-1) ->> 'status' AS status;
SELECT foreman.get_job(99999) ->> 'status' AS status;
SELECT foreman.execute('SELECT 1') ->> 'status' AS status;
SET foreman.on_error = 'raise';
SELECT foreman.get_job(NULL);
SELECT function, calls, errors, errors_by_code, retries, deadlocks, time_total_ms >= time_max_ms AS total_is_more,
       time_max_ms > 0 AS measured, scope
FROM foreman.call_stats WHERE function IN ('get_job', 'execute') ORDER BY function COLLATE "C";
RESET foreman.on_error;

-- The list of codes agrees with what the functions answer.
SELECT code, http_status, retryable FROM foreman.error_codes ORDER BY code COLLATE "C";
SELECT r ->> 'error_code' AS error_code, (r ->> 'http_status')::integer = c.http_status AS http_status_agrees,
       (r ->> 'retryable')::boolean = c.retryable AS retryable_agrees, r ->> 'sqlstate' = ANY (c.sqlstates) AS sqlstate_listed
FROM (
    SELECT foreman.get_job(-1)
    UNION ALL SELECT foreman.get_job(99999)
    UNION ALL SELECT foreman.update_job_failure(2)
    UNION ALL SELECT foreman.execute('DO $$BEGIN RAISE ''x'' USING ERRCODE = ''40P01''; END$$', max_retries => 0)
) AS t (r) JOIN foreman.error_codes AS c ON c.code = r ->> 'error_code'
ORDER BY r ->> 'error_code' COLLATE "C";
