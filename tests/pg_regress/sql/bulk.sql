-- bulk_update_job_status gives each job an outcome of its own and fails as a whole for none of them.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

SELECT foreman.create_job('b') ->> 'job_id' AS job_id FROM generate_series(1, 6);
SELECT foreman.update_job_success(2) ->> 'to' AS "to";
SELECT foreman.update_job_failure(3, 'x') ->> 'to' AS "to";
SELECT foreman.update_job_status(4, 'running') ->> 'to' AS "to";
UPDATE foreman.live_job SET lease_token = '0a1b2c3d-0000-4000-8000-00000000000f' WHERE id = 4;

-- 1 pending, 2 completed, 3 failed, 4 claimed by somebody, 99 unknown; in any order.
SELECT jsonb_pretty(foreman.bulk_update_job_status(ARRAY[99, 4, 3, 2, 1], 'completed', result => '{"by": "bulk"}'));
SELECT job_id, status, result FROM foreman.jobs ORDER BY job_id;
-- Asking again changes nothing.
SELECT foreman.bulk_update_job_status(ARRAY[1, 2], 'completed') - 'outcomes' AS reply;

-- result and error are for all of them.
SELECT foreman.bulk_update_job_status(ARRAY[5, 6], 'failed', result => '[]', error => 'power cut') - 'outcomes' AS reply;
SELECT job_id, status, result, error FROM foreman.jobs WHERE job_id IN (5, 6) ORDER BY job_id;

-- Back again: with the key that was taken meanwhile, that one job is refused.
SELECT foreman.create_job('b', unique_key => 'k') ->> 'job_id' AS job_id;
SELECT foreman.update_job_failure(7) ->> 'to' AS "to";
SELECT foreman.create_job('b', unique_key => 'k') ->> 'job_id' AS job_id;
SELECT jsonb_pretty(foreman.bulk_update_job_status(ARRAY[5, 6, 7], 'pending'));
SELECT job_id, status FROM foreman.jobs WHERE job_id BETWEEN 5 AND 8 ORDER BY job_id;
-- Two that ended with the same key: the first takes it.
SELECT foreman.update_job_failure(8) ->> 'to' AS "to";
SELECT o ->> 'job_id' AS job_id, o ->> 'outcome' AS outcome, o ->> 'error_code' AS error_code
FROM jsonb_array_elements(foreman.bulk_update_job_status(ARRAY[8, 7], 'pending') -> 'outcomes') AS o;

-- Where an array begins to count makes no difference.
SELECT foreman.bulk_update_job_status('[5:6]={5,6}', 'running') - 'outcomes' AS reply;
-- Ten thousand at once.
SELECT foreman.create_jobs((SELECT jsonb_agg('{"queue": "many"}'::jsonb) FROM generate_series(1, 9999))) -> 'created'
    AS created;
SELECT r - 'outcomes' AS reply, jsonb_array_length(r -> 'outcomes') AS outcomes
FROM foreman.bulk_update_job_status(
    (SELECT array_agg(job_id) FROM foreman.jobs WHERE queue = 'many') || 9223372036854775807, 'cancelled') AS r;
SELECT status, count(*) FROM foreman.jobs WHERE queue = 'many' GROUP BY status;
