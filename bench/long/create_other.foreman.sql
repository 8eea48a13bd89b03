\set queue random(1, 10)
SELECT foreman.create_job('other_' || :queue, '{"n": 1, "to": "user@example.org"}');
