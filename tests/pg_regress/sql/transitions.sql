-- What may follow what is what update_job_status documents, asking again answers changed: false, and a claimed job
-- obeys its lease token alone.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

CREATE FUNCTION pg_temp.job_in(state text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint := (foreman.create_job('t') ->> 'job_id')::bigint;
BEGIN
    IF state <> 'pending' THEN
        PERFORM foreman.check(foreman.update_job_status(id, state));
    END IF;
    RETURN id;
END
$$;

-- The doc comment of update_job_status, and repeating the present state.
CREATE TEMP TABLE documented (from_state text, to_state text);
INSERT INTO documented VALUES
    ('pending', 'running'), ('pending', 'completed'), ('pending', 'failed'), ('pending', 'cancelled'),
    ('running', 'pending'), ('running', 'completed'), ('running', 'failed'), ('running', 'cancelled'),
    ('failed', 'pending'), ('cancelled', 'pending');

CREATE TEMP TABLE tried AS
WITH state (name, place) AS (
    SELECT enumlabel::text, enumsortorder FROM pg_enum WHERE enumtypid = 'foreman.job_status'::regtype
), job AS MATERIALIZED (
    SELECT f.name AS from_state, t.name AS to_state, f.place AS from_place, t.place AS to_place,
           pg_temp.job_in(f.name) AS id
    FROM state AS f CROSS JOIN state AS t
)
SELECT job.*, foreman.update_job_status(id, to_state) AS reply FROM job;
SELECT from_state, to_state, reply ->> 'changed' AS changed, reply ->> 'error_code' AS error_code,
       j.status AS is_now
FROM tried JOIN foreman.jobs AS j ON j.job_id = tried.id ORDER BY from_place, to_place;
SELECT from_state, to_state
FROM tried LEFT JOIN documented USING (from_state, to_state)
WHERE (documented.to_state IS NOT NULL OR from_state = to_state) <> (reply ->> 'status' = 'success')
   OR (documented.to_state IS NOT NULL) <> COALESCE((reply ->> 'changed')::boolean, false);

-- A refusal says from, to and what is allowed.
SELECT jsonb_pretty(reply - 'job_id' || jsonb_build_object('message', replace(reply ->> 'message', id::text, 'N')))
FROM tried WHERE from_state = 'failed' AND to_state = 'completed';
SELECT replace(reply ->> 'message', id::text, 'N') AS message, reply -> 'allowed' AS allowed
FROM tried WHERE from_state = 'completed' AND to_state = 'pending';

-- What each state leaves behind.
SELECT (foreman.create_job('m', '{"n": 1}', unique_key => 'm') ->> 'job_id')::bigint AS id \gset
CREATE FUNCTION pg_temp.looks(id bigint) RETURNS TABLE (
    status text, attempt text, started boolean, leased boolean, ready boolean, finished boolean, result jsonb, error text)
LANGUAGE sql AS $$
    SELECT j ->> 'status', j ->> 'attempt', j ->> 'started_at' IS NOT NULL, j ->> 'lease_expires_at' IS NOT NULL,
           j ->> 'ready_at' IS NOT NULL, j ->> 'finished_at' IS NOT NULL, j -> 'result', j ->> 'error'
    FROM (SELECT foreman.get_job(id) -> 'job') AS t (j)
$$;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_status(:id, 'running') - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_status(:id, 'running') - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_status(:id, 'pending') - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_status(:id, 'failed', result => '{"partial": 3}', error => 'no such host') - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
-- Asking again keeps what was said the first time.
SELECT foreman.update_job_status(:id, 'failed', error => 'something else') - 'job_id' AS reply;
SELECT error FROM pg_temp.looks(:id);
SELECT foreman.retry_job(:id) - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_success(:id, '[1, 2]') - 'job_id' AS reply;
SELECT * FROM pg_temp.looks(:id);
SELECT foreman.update_job_success(:id) - 'job_id' AS reply;
SELECT result FROM pg_temp.looks(:id);
SELECT r ->> 'error_code' AS error_code FROM foreman.update_job_failure(:id, 'late') AS r;

-- A job that is set running without a claim has the queue's max_run_seconds as its lease.
UPDATE foreman.queue SET max_run_seconds = 90 WHERE name = 'm';
SELECT (foreman.create_job('m') ->> 'job_id')::bigint AS id \gset
SELECT foreman.update_job_status(:id, 'running') ->> 'status' AS status;
SELECT lease_expires_at - started_at AS lease FROM foreman.jobs WHERE job_id = :id;
UPDATE foreman.queue SET max_run_seconds = 3600 WHERE name = 'm';

-- Leases. Jobs that were never claimed need no token and have none.
\set token 0a1b2c3d-0000-4000-8000-00000000000f
\set other 0a1b2c3d-0000-4000-8000-00000000000e
SELECT r ->> 'error_code' AS pending_with_token
FROM foreman.update_job_status(pg_temp.job_in('pending'), 'completed', lease_token => :'token') AS r;
SELECT r ->> 'error_code' AS running_with_token
FROM foreman.update_job_status(pg_temp.job_in('running'), 'completed', lease_token => :'token') AS r;
SELECT r ->> 'error_code' AS run_with_token
FROM foreman.update_job_status(pg_temp.job_in('pending'), 'running', lease_token => :'token') AS r;

CREATE FUNCTION pg_temp.claimed() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    job bigint := pg_temp.job_in('running');
BEGIN
    UPDATE foreman.live_job SET lease_token = '0a1b2c3d-0000-4000-8000-00000000000f' WHERE id = job;
    RETURN job;
END
$$;
SELECT pg_temp.claimed() AS id \gset
SELECT jsonb_pretty(r - 'job_id' || jsonb_build_object('message', replace(r ->> 'message', :'id', 'N')))
FROM foreman.update_job_success(:id) AS r;
SELECT r ->> 'error_code' AS success_with_other FROM foreman.update_job_success(:id, lease_token => :'other') AS r;
SELECT r ->> 'error_code' AS failure FROM foreman.update_job_failure(:id, 'x') AS r;
SELECT r ->> 'error_code' AS to_pending FROM foreman.update_job_status(:id, 'pending') AS r;
SELECT r ->> 'error_code' AS to_running FROM foreman.update_job_status(:id, 'running') AS r;
SELECT r ->> 'error_code' AS retry FROM foreman.retry_job(:id) AS r;
SELECT r ->> 'error_code' AS deletion FROM foreman.delete_job(:id) AS r;
SELECT r -> 'outcomes' -> 0 ->> 'error_code' AS bulk FROM foreman.bulk_update_job_status(ARRAY[:id], 'failed') AS r;
SELECT r ->> 'changed' AS still_running FROM foreman.update_job_status(:id, 'running', lease_token => :'token') AS r;
-- The token is the same however it is written; nobody is told it.
SELECT r ->> 'changed' AS success FROM foreman.update_job_success(:id, lease_token => upper(:'token')) AS r;
SELECT foreman.get_job(:id)::text LIKE '%' || :'token' || '%' AS token_is_shown;
-- Asking again is answered, with the token.
SELECT r ->> 'changed' AS again FROM foreman.update_job_success(:id, lease_token => :'token') AS r;
-- Released with its token, a job has none.
SELECT pg_temp.claimed() AS id \gset
SELECT r ->> 'changed' AS released FROM foreman.update_job_status(:id, 'pending', lease_token => :'token') AS r;
SELECT r ->> 'error_code' AS old_token FROM foreman.update_job_success(:id, lease_token => :'token') AS r;
-- cancel_job needs no token.
SELECT pg_temp.claimed() AS id \gset
SELECT r ->> 'from' AS cancelled_from FROM foreman.cancel_job(:id, 'obsolete') AS r;
SELECT status, error FROM pg_temp.looks(:id);

-- result and error belong to the end of a job.
SELECT r ->> 'argument' AS argument, r ->> 'message' AS message
FROM foreman.update_job_status(pg_temp.job_in('pending'), 'running', result => '1') AS r;
SELECT r ->> 'argument' AS argument, r ->> 'message' AS message
FROM foreman.update_job_status(pg_temp.job_in('running'), 'pending', error => 'e') AS r;
