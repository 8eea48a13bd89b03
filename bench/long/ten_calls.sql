-- A job's life in ten calls, one of which is refused.
SELECT (foreman.create_job('bench', '{"n": 1, "to": "user@example.org"}') ->> 'job_id')::bigint AS made \gset
SELECT foreman.get_job(:made);
SELECT (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM (SELECT foreman.claim_jobs('bench') -> 'jobs' -> 0 AS j) AS c \gset
SELECT foreman.heartbeat(:id, :token);
SELECT foreman.explain_job(:id);
SELECT foreman.fail_job(:id, :token, 'again', retry_in_seconds => 0);
SELECT (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM (SELECT foreman.claim_jobs('bench') -> 'jobs' -> 0 AS j) AS c \gset
SELECT foreman.complete_job(:id, :token, '{"sent": true}');
SELECT foreman.execute('SELECT n FROM generate_series(1, 10) AS n');
SELECT foreman.execute('SELECT 1 / 0');
