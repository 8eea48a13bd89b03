-- As import.foreman.sql.
BEGIN;
INSERT INTO hand.job (run_at, created_at, queue_id, priority, payload)
SELECT now(), now(), 1, 5, jsonb_build_object('n', n, 'to', 'user@example.org') FROM generate_series(1, :jobs) AS n;
SELECT pg_sleep(:seconds);
COMMIT;
