-- As fill.foreman.sql.
TRUNCATE bare.live_job;
CHECKPOINT;
INSERT INTO bare.live_job (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
SELECT nextval('bare.job_id_seq'), 1, t, t, t, 25, 5 + n % :priorities,
       jsonb_build_object('n', n, 'to', 'user@example.org'), '{}'
FROM generate_series(1, :jobs) AS n, clock_timestamp() AS t;
VACUUM ANALYZE bare.live_job;
