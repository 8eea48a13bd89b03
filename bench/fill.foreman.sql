-- A queue as new, with :jobs ready jobs in :priorities priorities from 5 on. The checkpoint is made here, so that none falls
-- into the round.
TRUNCATE foreman.live_job, foreman.finished_job;
CHECKPOINT;
INSERT INTO foreman.live_job (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
SELECT nextval('foreman.job_id_seq'), q.id, t, t, t, 25, 5 + n % :priorities,
       jsonb_build_object('n', n, 'to', 'user@example.org'), '{}'
FROM foreman.queue AS q, generate_series(1, :jobs) AS n, clock_timestamp() AS t WHERE q.name = 'bench';
VACUUM ANALYZE foreman.live_job;
