-- Claiming, finishing, giving back: what each call answers and what becomes of the job. Tokens and times differ from run
-- to run, so that they are compared, not shown.
\pset null '(null)'
CREATE TABLE held (n bigint, job_id bigint, token text);
CREATE FUNCTION hold(reply jsonb) RETURNS text LANGUAGE sql AS $$
    WITH h AS (
        INSERT INTO held
        SELECT (j -> 'payload' ->> 'n')::bigint, (j ->> 'job_id')::bigint, j ->> 'lease_token'
        FROM jsonb_array_elements(reply -> 'jobs') AS j
        RETURNING n)
    SELECT reply ->> 'status' || ': ' || COALESCE(string_agg(n::text, ' '), 'none') FROM h
$$;
CREATE FUNCTION token(n bigint) RETURNS text LANGUAGE sql AS 'SELECT h.token FROM held AS h WHERE h.n = $1 ORDER BY ctid DESC LIMIT 1';
CREATE FUNCTION job(n bigint) RETURNS bigint LANGUAGE sql AS 'SELECT j.job_id FROM foreman.jobs AS j WHERE (j.payload ->> ''n'')::bigint = $1 ORDER BY j.job_id DESC LIMIT 1';
CREATE FUNCTION short(reply jsonb) RETURNS jsonb LANGUAGE sql AS
    $$SELECT reply - '{job_id,ready_at,lease_expires_at,message,sqlstate,http_status,retryable,attempts}'::text[]$$;

-- By priority, then by the time since when they are ready, then by id; what is not due stays.
SELECT foreman.create_jobs($$[
    {"queue": "w", "payload": {"n": 1}, "priority": 9}, {"queue": "w", "payload": {"n": 2}},
    {"queue": "w", "payload": {"n": 3}, "priority": 0}, {"queue": "w", "payload": {"n": 4}},
    {"queue": "w", "payload": {"n": 5}, "run_at": "2099-01-01T00:00:00Z", "priority": 0}]$$) ->> 'created' AS created;
SELECT hold(foreman.claim_jobs('w', 2));
SELECT hold(foreman.claim_jobs('w', 10, worker => 'me'));
SELECT hold(foreman.claim_jobs('w', 10));

-- What a claimed job carries.
SELECT string_agg(key, ' ' ORDER BY key) AS keys FROM foreman.create_job('k', '{"n": 6}'), jsonb_object_keys(foreman.claim_jobs('k') -> 'jobs' -> 0) AS key;
SELECT status, attempt, worker, lease_expires_at - started_at AS lease FROM foreman.jobs WHERE job_id = job(1);

-- No queue of that name is no error: its first job may be still to come. Nor is it made.
SELECT foreman.claim_jobs('nowhere');
SELECT count(*) FROM foreman.queue WHERE name = 'nowhere';

-- Completed once. Asked again with the same token, the answer tells so; with another, nothing is changed.
SELECT short(foreman.complete_job(job(3), token(3), '{"sent": true}'));
SELECT short(foreman.complete_job(job(3), token(3), '{"sent": false}'));
SELECT short(foreman.complete_job(job(3), token(2)));
SELECT short(foreman.complete_job(job(2), token(3)));
SELECT short(foreman.complete_job(999999, token(3)));
SELECT status, result FROM foreman.jobs WHERE job_id = job(3);

-- Failed: again after the queue's pause, or the worker's; for good where it is final or the attempts are used up.
SELECT foreman.configure_queue('w', backoff => 'linear', backoff_base_seconds => 100, backoff_jitter => 0) ->> 'status' AS status;
SELECT short(foreman.fail_job(job(2), token(2), 'no such host'));
SELECT status, attempt, error, worker, round(extract(epoch FROM ready_at - clock_timestamp())) AS seconds FROM foreman.jobs WHERE job_id = job(2);
SELECT short(foreman.fail_job(job(2), token(2), 'again'));
SELECT short(foreman.fail_job(job(4), token(4), 'hopeless', final => true));
SELECT status, attempt, error FROM foreman.jobs WHERE job_id = job(4);
SELECT foreman.create_job('once', '{"n": 7}', max_attempts => 1) ->> 'created' AS created;
SELECT hold(foreman.claim_jobs('once'));
SELECT short(foreman.fail_job(job(7), token(7), 'the only one', retry_in_seconds => 0));

-- Given back: at once, or not before a time; no attempt is used up.
SELECT short(foreman.release_job(job(1), token(1)));
SELECT hold(foreman.claim_jobs('w'));
SELECT short(foreman.release_job(job(1), token(1), '2099-01-01'));
SELECT status, attempt, ready_at = '2099-01-01' AS later, run_at < now() AS wanted_before FROM foreman.jobs WHERE job_id = job(1);

-- A heartbeat makes a lease longer, never shorter, and tells of a cancel.
SELECT foreman.create_job('beat', '{"n": 8}') ->> 'created' AS created;
SELECT hold(foreman.claim_jobs('beat', lease_seconds => 100));
SELECT short(foreman.heartbeat(job(8), token(8), 1000, 40, 'four of ten'));
SELECT progress, note, round(extract(epoch FROM lease_expires_at - clock_timestamp()), -1) AS seconds FROM foreman.jobs WHERE job_id = job(8);
SELECT short(foreman.heartbeat(job(8), token(8)));
SELECT progress, note, round(extract(epoch FROM lease_expires_at - clock_timestamp()), -1) AS seconds FROM foreman.jobs WHERE job_id = job(8);
SELECT short(foreman.request_cancel(job(8), 'no longer wanted'));
SELECT short(foreman.heartbeat(job(8), token(8)));
SELECT short(foreman.fail_job(job(8), token(8), 'stopped'));
SELECT status, error FROM foreman.jobs WHERE job_id = job(8);
SELECT short(foreman.heartbeat(job(8), token(8)));
-- A pending one is cancelled at once, one that has ended is not cancelled any more.
SELECT short(foreman.request_cancel(job(5), 'too late'));
SELECT short(foreman.request_cancel(job(5)));
SELECT short(foreman.request_cancel(job(3)));

-- Many at once, each with an outcome of its own, in the order of the ids.
SELECT foreman.create_jobs(jsonb_agg(jsonb_build_object('queue', 'many', 'payload', jsonb_build_object('n', n)))) ->> 'created' AS created
FROM generate_series(11, 16) AS n;
SELECT hold(foreman.claim_jobs('many', 5));
CREATE FUNCTION outcomes(reply jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(COALESCE(j.payload ->> 'n', 'none') || ' ' || (o ->> 'outcome'), ', ' ORDER BY place)
    FROM jsonb_array_elements(reply -> 'outcomes') WITH ORDINALITY AS e (o, place)
    LEFT JOIN foreman.jobs AS j ON j.job_id = (o ->> 'job_id')::bigint
$$;
CREATE FUNCTION lease(n bigint, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS
    $$SELECT jsonb_build_object('job_id', job(n), 'lease_token', token(n)) || more$$;
SELECT outcomes(foreman.heartbeat_all(jsonb_build_array(lease(12), lease(11), lease(11, '{"job_id": 999999}'), lease(13, jsonb_build_object('lease_token', token(12))))));
SELECT outcomes(foreman.complete_jobs(jsonb_build_array(lease(12, '{"result": 1}'), lease(11), lease(3))));
SELECT outcomes(foreman.complete_jobs(jsonb_build_array(lease(12), lease(13, '{"job_id": 999999}'), lease(14, jsonb_build_object('lease_token', token(12))))));
SELECT outcomes(foreman.fail_jobs(jsonb_build_array(lease(13, '{"error": "a"}'), lease(14, '{"error": "b", "final": true}'), lease(11))));
SELECT hold(r), outcomes(r) FROM foreman.finish_and_claim(jsonb_build_array(lease(15, '{"outcome": "released", "run_at": "2099-01-01T00:00:00Z"}'), lease(14, '{"outcome": "completed"}')), 'many', 5) AS r;
SELECT hold(r), outcomes(r) FROM foreman.finish_and_claim(jsonb_build_array(lease(16, '{"outcome": "completed", "result": [1]}')), 'many') AS r;
SELECT payload -> 'n' AS n, status, attempt, result, error FROM foreman.jobs WHERE queue = 'many' ORDER BY job_id;

-- Several queues: in the order of their names here, a later one only for what is left.
SELECT foreman.create_jobs('[{"queue": "a", "payload": {"n": 21}}, {"queue": "b", "payload": {"n": 22}}, {"queue": "b", "payload": {"n": 23}, "priority": 0}]') ->> 'created' AS created;
SELECT hold(foreman.claim_jobs_from('{b,a}', 2));
SELECT hold(foreman.claim_jobs_from('{b,a,nowhere}', 2));

-- A paused queue hands out nothing, takes jobs, and those that run can end.
SELECT foreman.pause_queue('a');
SELECT foreman.pause_queue('a');
SELECT foreman.create_job('a', '{"n": 24}') ->> 'status' AS status;
SELECT foreman.claim_jobs('a');
SELECT short(foreman.complete_job(job(21), token(21)));
SELECT foreman.explain_job(job(24)) -> 'reasons' -> 0 ->> 'reason' AS reason;
SELECT foreman.resume_queue('a');
SELECT hold(foreman.claim_jobs('a'));
SELECT foreman.pause_queue('nowhere') ->> 'error_code' AS code;

-- Past its lease a job is pending again; with its attempts used up it has failed; with its cancel requested it is cancelled.
SELECT foreman.create_jobs('[{"queue": "r", "payload": {"n": 31}}, {"queue": "r", "payload": {"n": 32}, "max_attempts": 1}, {"queue": "r", "payload": {"n": 33}}, {"queue": "r", "payload": {"n": 34}}]') ->> 'created' AS created;
SELECT hold(foreman.claim_jobs('r', 3, 0.1));
SELECT hold(foreman.claim_jobs('r', 1, 100));
SELECT foreman.request_cancel(job(33), 'stop') ->> 'cancel_requested' AS requested;
SELECT pg_sleep(0.2);
SELECT foreman.explain_job(job(31)) -> 'reasons' -> 0 ->> 'reason' AS reason;
-- Not rescued yet, the lease is still the job's.
SELECT short(foreman.heartbeat(job(31), token(31), 0.1));
SELECT pg_sleep(0.2);
SELECT foreman.rescue_expired();
SELECT payload -> 'n' AS n, status, attempt, error FROM foreman.jobs WHERE queue = 'r' ORDER BY job_id;
SELECT short(foreman.complete_job(job(31), token(31)));
SELECT short(foreman.fail_job(job(32), token(32), 'late'));
SELECT short(foreman.release_job(job(33), token(33)));

-- One whose lease has expired before is handed out alone, and in its turn: it takes no others with it should it kill its worker.
SELECT foreman.create_jobs('[{"queue": "s", "payload": {"n": 41}}, {"queue": "s", "payload": {"n": 42}}]') ->> 'created' AS created;
SELECT hold(foreman.claim_jobs('s', 10, 0.1));
SELECT pg_sleep(0.2);
SELECT foreman.create_jobs('[{"queue": "s", "payload": {"n": 43}, "priority": 0}, {"queue": "s", "payload": {"n": 44}, "priority": 9}, {"queue": "s", "payload": {"n": 45}, "priority": 9}]') ->> 'created' AS created;
SELECT foreman.rescue_expired() ->> 'rescued' AS rescued;
SELECT hold(foreman.claim_jobs('s', 10)) FROM generate_series(1, 5);

-- Set running without a claim, a job has the queue's max_run_seconds.
SELECT foreman.configure_queue('r', max_run_seconds => 0.1) ->> 'max_run_seconds' AS seconds;
SELECT foreman.update_job_status(job(31), 'running') ->> 'status' AS status;
SELECT pg_sleep(0.2);
SELECT foreman.rescue_expired(1) ->> 'rescued' AS rescued;
SELECT status, attempt FROM foreman.jobs WHERE job_id = job(31);

-- Why a job does not run.
SELECT e ->> 'job_status' AS status, e -> 'runnable' AS runnable, e -> 'jobs_ahead' AS ahead, e -> 'reasons' -> 0 ->> 'reason' AS reason
FROM unnest('{31,34,1,2,3,4,8,7}'::bigint[]) WITH ORDINALITY AS u (n, place), foreman.explain_job(job(n)) AS e ORDER BY place;
SELECT foreman.explain_job(999999) ->> 'error_code' AS code;

-- A lease that is lost raises from hold_lease, whatever foreman.on_error says, and rolls the effect back.
BEGIN;
SELECT foreman.hold_lease(job(34), token(34)) ->> 'status' AS status;
COMMIT;
\set VERBOSITY sqlstate
SELECT 'lost' AS what FROM foreman.hold_lease(job(34), token(33));
\set VERBOSITY default

-- The whole policy.
SELECT jsonb_pretty(foreman.configure_queue('policy', lease_seconds => 60, max_attempts => 3, backoff => 'fixed', backoff_base_seconds => 0,
    backoff_factor => 1.5, backoff_cap_seconds => 10, backoff_jitter => 0, max_run_seconds => 7, completed_retention_seconds => 1,
    failed_retention_seconds => 'infinity', notify => true, default_priority => 2, ready_target_seconds => 90) - 'created_at');
-- A target can be taken away again; what is not named stays.
SELECT foreman.configure_queue('policy', notify => false) -> 'ready_target_seconds' AS kept,
       foreman.configure_queue('policy', ready_target_seconds => 0) -> 'ready_target_seconds' AS taken_away,
       foreman.configure_queue('policy', max_attempts => 3) -> 'ready_target_seconds' AS gone;
SELECT foreman.create_job('policy') ->> 'created' AS created;
SELECT priority, max_attempts FROM foreman.jobs WHERE queue = 'policy';
SELECT q ->> 'queue' AS queue, q -> 'max_attempts' AS max_attempts FROM jsonb_array_elements(foreman.list_queues() -> 'queues') AS q
WHERE q ->> 'queue' IN ('policy', 'w');

DROP FUNCTION hold, token, job, short, outcomes, lease;
DROP TABLE held;
SELECT count(foreman.cancel_job(job_id)) AS left FROM foreman.jobs
WHERE status IN ('pending', 'running') AND queue IN ('w', 'k', 'once', 'beat', 'many', 'a', 'b', 'r', 's', 'policy');
