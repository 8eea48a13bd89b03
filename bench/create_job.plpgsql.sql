SELECT bare.create_job('bench', '{"n": 1, "to": "user@example.org"}');
