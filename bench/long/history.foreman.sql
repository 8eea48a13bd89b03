-- :jobs completed jobs of the last sixty days, which no upkeep takes away.
SELECT foreman.check(foreman.configure_queue('bench', completed_retention_seconds => 'infinity'));
SELECT foreman.make_partition((now() AT TIME ZONE 'UTC')::date - n) FROM generate_series(0, 60) AS n;
INSERT INTO foreman.finished_job
    (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts, priority, status, payload, metadata)
SELECT nextval('foreman.job_id_seq'), t, t, t, t, q.id, 1, 25, 5, 'completed',
       jsonb_build_object('n', n, 'to', 'user@example.org'), '{}'
FROM foreman.queue AS q, generate_series(1, :jobs) AS n,
     LATERAL (SELECT clock_timestamp() - n % 60 * interval '1 day' AS t) AS day
WHERE q.name = 'bench';
VACUUM ANALYZE foreman.finished_job;
