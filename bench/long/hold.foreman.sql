-- Claims a thousand jobs, and remembers under which number each is held.
DROP TABLE IF EXISTS held;
CREATE TABLE held AS
SELECT n, (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM jsonb_array_elements(foreman.claim_jobs('bench', 1000) -> 'jobs') WITH ORDINALITY AS jobs (j, n);
CREATE INDEX ON held (n);
ANALYZE held;
