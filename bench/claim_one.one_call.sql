SELECT jsonb_build_array(jsonb_build_object(
           'job_id', j -> 'job_id', 'lease_token', j -> 'lease_token', 'outcome', 'completed')) AS outcomes
FROM (SELECT foreman.finish_and_claim(:outcomes, 'bench') -> 'jobs' -> 0 AS j) AS c \gset
