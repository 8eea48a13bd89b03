-- As fill.foreman.sql; here the greater priority is the first. Its triggers would NOTIFY for each of the rows.
TRUNCATE procrastinate_jobs CASCADE;
CHECKPOINT;
SET session_replication_role = replica;
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
SELECT 'bench', 'bench', n % :priorities, jsonb_build_object('n', n, 'to', 'user@example.org')
FROM generate_series(1, :jobs) AS n;
VACUUM ANALYZE procrastinate_jobs, procrastinate_events;
