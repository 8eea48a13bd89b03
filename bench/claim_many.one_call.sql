SELECT jsonb_agg(jsonb_build_object(
           'job_id', j -> 'job_id', 'lease_token', j -> 'lease_token', 'outcome', 'completed')) AS outcomes
FROM jsonb_array_elements(foreman.finish_and_claim(:outcomes, 'bench', :n) -> 'jobs') AS j \gset
