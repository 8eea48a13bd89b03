-- As fill.foreman.sql.
TRUNCATE graphile_worker._private_jobs;
CHECKPOINT;
INSERT INTO graphile_worker._private_jobs (task_id, payload, priority, run_at)
SELECT 1, json_build_object('n', n, 'to', 'user@example.org'), n % :priorities, t
FROM generate_series(1, :jobs) AS n, clock_timestamp() AS t;
VACUUM ANALYZE graphile_worker._private_jobs;
