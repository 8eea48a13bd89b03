-- 8. Workers. 2,000 jobs; one in forty fails each time it is tried, two kill the worker that has them.
SELECT foreman.configure_queue('render', lease_seconds => 1, max_attempts => 3, backoff => 'fixed',
    backoff_base_seconds => 0.5, backoff_jitter => 0) ->> 'status';

SELECT foreman.create_jobs(jsonb_agg(jsonb_build_object('queue', 'render', 'payload', jsonb_build_object('page', n, 'does',
    CASE WHEN n IN (500, 1500) THEN 'crash' WHEN n % 40 = 0 THEN 'fail' ELSE 'well' END)))) ->> 'created'
FROM generate_series(1, 2000) AS n;

-- What each of the three workers does, in a transaction of its own each time: finish the jobs that it holds and claim ten
-- more, in one call. "crash" makes the process kill itself (kill -9) with its leases in force.
CREATE FUNCTION demo.work(worker text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    job record;
    outcomes jsonb := '[]';
    held text := COALESCE(NULLIF(current_setting('demo.held', true), ''), '[]');
BEGIN
    FOR job IN SELECT * FROM jsonb_to_recordset(held::jsonb) AS j (job_id bigint, lease_token text, payload jsonb) LOOP
        PERFORM pg_sleep(0.003);
        IF job.payload ->> 'does' = 'crash' THEN
            RETURN 'crash';
        END IF;
        outcomes := outcomes || CASE job.payload ->> 'does'
            WHEN 'fail' THEN jsonb_build_object('job_id', job.job_id, 'lease_token', job.lease_token,
                'outcome', 'failed', 'error', 'page ' || (job.payload ->> 'page') || ' is blank')
            ELSE jsonb_build_object('job_id', job.job_id, 'lease_token', job.lease_token, 'outcome', 'completed')
        END;
    END LOOP;
    held := foreman.finish_and_claim(outcomes, 'render', 10, worker => worker) ->> 'jobs';
    PERFORM set_config('demo.held', held, false);
    RETURN CASE WHEN held = '[]' THEN 'idle' ELSE 'busy' END;
END
$$;
