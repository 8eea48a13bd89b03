SELECT bare.create_job(1, '{"n": 1, "to": "user@example.org"}');
