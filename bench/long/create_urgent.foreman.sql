SELECT foreman.create_job('bench', '{"n": 1, "to": "user@example.org"}', priority => 0);
