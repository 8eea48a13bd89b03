-- As fill.foreman.sql; here the greater priority is the first.
TRUNCATE pgboss.job_common;
CHECKPOINT;
INSERT INTO pgboss.job_common (name, data, priority, policy, start_after, created_on, keep_until)
SELECT 'bench', jsonb_build_object('n', n, 'to', 'user@example.org'), n % :priorities, 'standard',
       t, t, t + interval '14 days'
FROM generate_series(1, :jobs) AS n, clock_timestamp() AS t;
VACUUM ANALYZE pgboss.job_common;
