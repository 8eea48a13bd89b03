-- As history.foreman.sql.
INSERT INTO hand.done (id, run_at, created_at, started_at, finished_at, queue_id, attempt, priority, payload)
SELECT -n, t, t, t, t, 1, 1, 5, jsonb_build_object('n', n, 'to', 'user@example.org')
FROM generate_series(1, :jobs) AS n, LATERAL (SELECT clock_timestamp() - n % 60 * interval '1 day' AS t) AS day;
VACUUM ANALYZE hand.done;
