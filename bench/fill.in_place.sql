-- As fill.foreman.sql.
TRUNCATE hand.job_in_place;
CHECKPOINT;
INSERT INTO hand.job_in_place (run_at, created_at, queue_id, priority, payload)
SELECT t, t, 1, 5 + n % :priorities, jsonb_build_object('n', n, 'to', 'user@example.org')
FROM generate_series(1, :jobs) AS n, clock_timestamp() AS t;
VACUUM ANALYZE hand.job_in_place;
