-- What the calls are compared with: the same table and indexes without us, bare and behind a plpgsql function.
CREATE EXTENSION pg_foreman;
CREATE SCHEMA bare;
CREATE SEQUENCE bare.job_id_seq;
-- Storage parameters are not what LIKE takes over: those of foreman.live_job.
CREATE TABLE bare.live_job (LIKE foreman.live_job INCLUDING ALL) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE FUNCTION bare.create_job(queue text, payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    queue_id int;
    new_id bigint;
BEGIN
    SELECT q.id INTO STRICT queue_id FROM foreman.queue AS q WHERE q.name = queue;
    INSERT INTO bare.live_job (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
    VALUES (nextval('bare.job_id_seq'), queue_id, clock_timestamp(), clock_timestamp(), clock_timestamp(), 25, 5,
            payload, '{}')
    RETURNING id INTO new_id;
    RETURN jsonb_build_object('status', 'success', 'job_id', new_id, 'created', true);
EXCEPTION
    WHEN OTHERS THEN
        RETURN jsonb_build_object('status', 'error', 'sqlstate', SQLSTATE);
END
$$;

CREATE FUNCTION bare.create_jobs(queue_id int, jobs jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    WITH made AS (
        INSERT INTO bare.live_job
            (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
        SELECT nextval('bare.job_id_seq'), create_jobs.queue_id, clock_timestamp(), clock_timestamp(),
               clock_timestamp(), 25, 5, j -> 'payload', '{}'
        FROM jsonb_array_elements(jobs) AS j
        RETURNING id)
    SELECT array_agg(id) INTO ids FROM made;
    RETURN jsonb_build_object('status', 'success', 'job_ids', ids);
EXCEPTION
    WHEN OTHERS THEN
        RETURN jsonb_build_object('status', 'error', 'sqlstate', SQLSTATE);
END
$$;

CREATE FUNCTION bare.update_job_status(job_id bigint, new_status text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bare.live_job
    SET status = new_status::foreman.job_status,
        lease_expires_at = CASE WHEN new_status = 'running' THEN clock_timestamp() + interval '1 hour' END
    WHERE id = job_id;
    RETURN jsonb_build_object('status', 'success', 'job_id', job_id, 'changed', FOUND);
EXCEPTION
    WHEN OTHERS THEN
        RETURN jsonb_build_object('status', 'error', 'sqlstate', SQLSTATE);
END
$$;

-- A thousand jobs as a caller's program would send them.
CREATE TABLE bare.batch AS
SELECT jsonb_agg(jsonb_build_object('queue', 'bench', 'payload', jsonb_build_object('n', n, 'to', 'user@example.org')))
       AS jobs
FROM generate_series(1, 1000) AS n;

-- Jobs to move to and fro, a thousand for each client.
SELECT foreman.create_jobs(jobs) ->> 'created' FROM bare.batch, generate_series(1, 8);
INSERT INTO bare.live_job SELECT * FROM foreman.live_job;
SELECT setval('bare.job_id_seq', 8000);
ANALYZE;
