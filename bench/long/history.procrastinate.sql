-- As history.foreman.sql, with the event that each has at least: its end.
SET session_replication_role = replica;
WITH done AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
    SELECT 'bench', 'bench', jsonb_build_object('n', n, 'to', 'user@example.org'), 'succeeded', 1
    FROM generate_series(1, :jobs) AS n RETURNING id)
INSERT INTO procrastinate_events (job_id, type, at)
SELECT id, 'succeeded', clock_timestamp() - id % 60 * interval '1 day' FROM done;
VACUUM ANALYZE procrastinate_jobs, procrastinate_events;
