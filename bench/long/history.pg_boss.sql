-- As history.foreman.sql.
INSERT INTO pgboss.job_common
    (name, data, policy, state, start_after, created_on, started_on, completed_on, keep_until, deletion_seconds)
SELECT 'bench', jsonb_build_object('n', n, 'to', 'user@example.org'), 'standard', 'completed', t, t, t, t,
       t + interval '90 days', 7776000
FROM generate_series(1, :jobs) AS n, LATERAL (SELECT clock_timestamp() - n % 60 * interval '1 day' AS t) AS day;
VACUUM ANALYZE pgboss.job_common;
