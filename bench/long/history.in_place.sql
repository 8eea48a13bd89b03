-- As history.foreman.sql, in the table of the jobs.
INSERT INTO hand.job_in_place (run_at, created_at, started_at, lease_until, finished_at, queue_id, attempt, priority, payload)
SELECT t, t, t, t, t, 1, 1, 5, jsonb_build_object('n', n, 'to', 'user@example.org')
FROM generate_series(1, :jobs) AS n, LATERAL (SELECT clock_timestamp() - n % 60 * interval '1 day' AS t) AS day;
VACUUM ANALYZE hand.job_in_place;
