INSERT INTO hand.job_in_place (run_at, created_at, queue_id, priority, payload) VALUES (now(), now(), 1, 0, '{"n": 1, "to": "user@example.org"}') RETURNING id;
