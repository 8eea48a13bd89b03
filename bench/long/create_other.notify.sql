\set queue random(1, 10)
WITH job AS (
    INSERT INTO hand.job_in_place (run_at, created_at, queue_id, priority, payload)
    VALUES (now(), now(), 100 + :queue, 5, '{"n": 1, "to": "user@example.org"}') RETURNING id)
SELECT pg_notify('other_' || :queue, '') FROM job;
