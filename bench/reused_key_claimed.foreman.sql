SELECT foreman.create_job('keyed', '{"n": 1}', unique_key => 'again');
SELECT (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM (SELECT foreman.claim_jobs('keyed') -> 'jobs' -> 0 AS j) AS c \gset
SELECT foreman.complete_job(:id, :token);
