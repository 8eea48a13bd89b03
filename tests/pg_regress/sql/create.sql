-- create_job stores what it was given, and a unique key is taken by one job at a time.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

-- A name is all it takes.
SELECT jsonb_pretty(foreman.create_job('mail'));
SELECT jsonb_pretty((foreman.get_job(1) -> 'job') - '{run_at,ready_at,created_at}'::text[]);

-- Everything that can be said, by name.
SELECT foreman.create_job(
    queue => 'mail', payload => '{"to": "ann@example.com"}', job_type => 'welcome', priority => 0,
    run_at => clock_timestamp() + interval '1 day', unique_key => 'welcome:ann', on_duplicate => 'error',
    max_attempts => 3, metadata => '{"source": "signup"}', options => '{}') AS reply;
SELECT jsonb_pretty((foreman.get_job(2) -> 'job') - '{run_at,ready_at,created_at}'::text[]);

-- run_at is kept as it was asked for; ready_at is never before the job was made.
SELECT foreman.create_job('mail', run_at => '2020-02-29 12:00:00+00') ->> 'status' AS status;
SELECT job_id, run_at = '2020-02-29 12:00:00+00' AS run_at_kept, ready_at = run_at AS ready_when_asked,
       ready_at = created_at AS ready_at_once
FROM foreman.jobs ORDER BY job_id;

-- Each queue has a number of attempts for jobs that name none.
UPDATE foreman.queue SET max_attempts = 7 WHERE name = 'mail';
SELECT foreman.create_job('mail') ->> 'status' AS status;
SELECT foreman.create_job('mail', max_attempts => 1) ->> 'status' AS status;
SELECT job_id, max_attempts FROM foreman.jobs WHERE job_id > 3 ORDER BY job_id;

-- A taken key. skip: the id of the job that is there.
SELECT foreman.create_job('mail', unique_key => 'k', payload => '1', job_type => 'a', metadata => '{"m": 1}') AS reply;
SELECT foreman.create_job('mail', unique_key => 'k', payload => '2') AS reply;
-- error
SELECT jsonb_pretty(foreman.create_job('mail', unique_key => 'k', payload => '3', on_duplicate => 'error'));
SELECT payload FROM foreman.jobs WHERE unique_key = 'k';
-- replace: a new payload, priority and time, and nothing else.
SELECT foreman.create_job('mail', unique_key => 'k', payload => '4', priority => 1, run_at => '2021-01-01 00:00:00+00',
    on_duplicate => 'replace', job_type => 'b', metadata => '{"m": 2}', max_attempts => 2) AS reply;
SELECT payload, priority, run_at = '2021-01-01 00:00:00+00' AS new_time, ready_at > run_at AS ready_later, job_type,
       metadata, max_attempts
FROM foreman.jobs WHERE unique_key = 'k';

-- A running job is not replaced.
SELECT foreman.update_job_status((SELECT job_id FROM foreman.jobs WHERE unique_key = 'k'), 'running') ->> 'to' AS "to";
SELECT foreman.create_job('mail', unique_key => 'k', on_duplicate => 'skip') ->> 'status' AS status;
SELECT r ->> 'error_code' AS error_code, r ->> 'job_status' AS job_status
FROM foreman.create_job('mail', unique_key => 'k', payload => '5', on_duplicate => 'replace') AS r;
SELECT payload, status FROM foreman.jobs WHERE unique_key = 'k';

-- A key is of its own queue, counts as it is written, and is free again when its job has ended or is deleted.
SELECT foreman.create_job('post', unique_key => 'k') ->> 'status' AS other_queue;
SELECT foreman.create_job('mail', unique_key => 'K') ->> 'status' AS other_case;
SELECT foreman.create_job('mail', unique_key => 'k ') ->> 'status' AS trailing_blank;
SELECT foreman.update_job_failure((SELECT job_id FROM foreman.jobs WHERE unique_key = 'k' AND queue = 'mail')) ->> 'to'
    AS "to";
SELECT foreman.create_job('mail', unique_key => 'k') ->> 'status' AS after_the_end;
SELECT foreman.delete_job((SELECT job_id FROM foreman.jobs WHERE unique_key = 'k' AND queue = 'post')) ->> 'status'
    AS deleted;
SELECT foreman.create_job('post', unique_key => 'k') ->> 'status' AS after_the_deletion;

-- on_duplicate without a key says nothing.
SELECT foreman.create_job('mail', on_duplicate => 'error') ->> 'status' AS status;

-- Who wants to hear of skipped duplicates does, at the level of his choice.
SET foreman.duplicate_log_level = 'notice';
SELECT foreman.create_job('mail', unique_key => 'k') ->> 'status' AS status;
RESET foreman.duplicate_log_level;
SELECT foreman.create_job('mail', unique_key => 'k') ->> 'status' AS status;

-- A queue is there from its first job on.
SELECT name FROM foreman.queue ORDER BY name;
