-- :jobs jobs in one transaction that commits after :seconds.
BEGIN;
SELECT foreman.check(foreman.create_jobs(jsonb_agg(jsonb_build_object(
    'queue', 'bench', 'payload', jsonb_build_object('n', n, 'to', 'user@example.org'))))) ->> 'created'
FROM generate_series(1, :jobs) AS n GROUP BY n / 10000;
SELECT pg_sleep(:seconds);
COMMIT;
