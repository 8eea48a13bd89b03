SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW('bench', 'bench', 0, NULL, NULL, '{"n": 1, "to": "user@example.org"}', NULL)]::procrastinate_job_to_defer_v1[])) AS id;
