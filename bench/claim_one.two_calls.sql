SELECT (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM (SELECT foreman.claim_jobs('bench') -> 'jobs' -> 0 AS j) AS c \gset
SELECT foreman.complete_job(:id, :token);
