-- get_job, delete_job and retry_job, by the state of the job.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

-- 1 pending, 2 running, 3 completed, 4 failed, 5 cancelled, of the queue g; each with a key of its own.
SELECT count(foreman.create_job('g', to_jsonb(n), unique_key => 'key ' || n)) FROM generate_series(1, 5) AS n;
SELECT n, foreman.update_job_status(n, state) ->> 'changed' AS changed
FROM (VALUES (2, 'running'), (3, 'completed'), (4, 'failed'), (5, 'cancelled')) AS t (n, state) ORDER BY n;

-- All that is known of a job, and no more: no lease token, no numbers from inside.
SELECT array_agg(key ORDER BY key COLLATE "C") AS keys FROM jsonb_object_keys(foreman.get_job(3) -> 'job') AS key;
SELECT n, r #>> '{job,status}' AS status, r #> '{job,payload}' AS payload, r #>> '{job,unique_key}' AS unique_key
FROM generate_series(1, 5) AS n, LATERAL foreman.get_job(n) AS r ORDER BY n;
SELECT n, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM (VALUES (6), (2147483648), (9223372036854775807)) AS t (n), LATERAL foreman.get_job(n) AS r ORDER BY n;

-- retry_job brings back what failed or was cancelled, and nothing else.
SELECT n, r ->> 'from' AS "from", r ->> 'changed' AS changed, r ->> 'error_code' AS error_code
FROM generate_series(1, 6) AS n, LATERAL foreman.retry_job(n) AS r ORDER BY n;
SELECT job_id, status FROM foreman.jobs ORDER BY job_id;

-- The job keeps its id, its key and what it was made of, and has at least one attempt left.
SELECT (foreman.create_job('r', '[7]', 'type', 2, unique_key => 'one', max_attempts => 1, metadata => '{"m": 1}')
    ->> 'job_id')::bigint AS id \gset
SELECT foreman.update_job_status(:id, 'running') ->> 'to' AS "to";
SELECT foreman.update_job_failure(:id, 'no') ->> 'to' AS "to";
SELECT foreman.retry_job(:id) ->> 'changed' AS changed;
SELECT status, attempt, max_attempts, payload, job_type, priority, unique_key, metadata, result, error,
       ready_at > run_at AS ready_later
FROM foreman.jobs WHERE job_id = :id;
SELECT r ->> 'status' AS status, r -> 'job_id' = to_jsonb(:id) AS the_same FROM foreman.create_job('r', unique_key => 'one') AS r;

-- Its key was taken meanwhile: the other job is named.
SELECT foreman.cancel_job(:id) ->> 'changed' AS changed;
SELECT foreman.create_job('r', unique_key => 'one') ->> 'job_id' AS other \gset
SELECT r ->> 'error_code' AS error_code, r ->> 'job_id' = :'other' AS names_the_other, r ->> 'job_status' AS job_status
FROM foreman.retry_job(:id) AS r;
SELECT status FROM foreman.jobs WHERE job_id = :id;
-- That one is gone: then it works.
SELECT foreman.delete_job(:other) ->> 'deleted' AS deleted;
SELECT foreman.retry_job(:id) ->> 'changed' AS changed;

-- A job that is to run later still is when it comes back.
SELECT foreman.create_job('r', run_at => clock_timestamp() + interval '1 day') ->> 'job_id' AS id \gset
SELECT foreman.cancel_job(:id) ->> 'changed' AS changed;
SELECT foreman.retry_job(:id) ->> 'changed' AS changed;
SELECT ready_at = run_at AS ready_when_asked FROM foreman.jobs WHERE job_id = :id;

-- delete_job: in any state but running.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
SELECT count(foreman.create_job('g', unique_key => 'key ' || n)) FROM generate_series(1, 5) AS n;
SELECT count(foreman.update_job_status(n, state))
FROM (VALUES (2, 'running'), (3, 'completed'), (4, 'failed'), (5, 'cancelled')) AS t (n, state);
SELECT n, r ->> 'deleted' AS deleted, r ->> 'job_status' AS job_status, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM generate_series(1, 6) AS n, LATERAL foreman.delete_job(n) AS r ORDER BY n;
SELECT r ->> 'error_code' AS again FROM foreman.delete_job(1) AS r;
SELECT job_id, status FROM foreman.jobs ORDER BY job_id;
SELECT foreman.cancel_job(2) ->> 'changed' AS changed;
SELECT foreman.delete_job(2) ->> 'job_status' AS job_status;
SELECT count(*) AS keys_left FROM foreman.job_key;

-- The same after upkeep has moved the finished jobs into partitions.
SELECT (foreman.create_job('p') ->> 'job_id')::bigint AS id \gset
SELECT foreman.update_job_failure(:id) ->> 'changed' AS changed;
SELECT foreman.maintain() -> 'jobs_moved' AS jobs_moved;
SELECT foreman.maintain() - 'status' AS again;
SELECT tableoid::regclass::text LIKE 'foreman.finished_job_%' AS in_a_partition FROM foreman.finished_job;
SELECT foreman.get_job(:id) #>> '{job,status}' AS status;
SELECT foreman.retry_job(:id) ->> 'changed' AS changed;
SELECT foreman.update_job_success(:id) ->> 'changed' AS changed;
SELECT count(*) AS in_a_partition FROM foreman.finished_job;
SELECT foreman.delete_job(:id) ->> 'job_status' AS job_status;
SELECT count(*) AS left FROM foreman.jobs;
