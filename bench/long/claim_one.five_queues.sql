SELECT (j ->> 'job_id')::bigint AS id, j ->> 'lease_token' AS token
FROM (SELECT foreman.claim_jobs_from('{five_1,five_2,five_3,five_4,five_5}') -> 'jobs' -> 0 AS j) AS c \gset
SELECT foreman.complete_job(:id, :token);
