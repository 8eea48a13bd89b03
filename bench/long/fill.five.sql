-- As fill.foreman.sql, in turn in each of five queues.
SELECT foreman.check(foreman.configure_queue('five_' || n)) FROM generate_series(1, 5) AS n;
TRUNCATE foreman.live_job, foreman.finished_job;
CHECKPOINT;
INSERT INTO foreman.live_job (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
SELECT nextval('foreman.job_id_seq'), q.id, t, t, t, 25, 5 + n % :priorities,
       jsonb_build_object('n', n, 'to', 'user@example.org'), '{}'
FROM generate_series(1, :jobs) AS n
JOIN foreman.queue AS q ON q.name = 'five_' || (n % 5 + 1), clock_timestamp() AS t;
VACUUM ANALYZE foreman.live_job;
