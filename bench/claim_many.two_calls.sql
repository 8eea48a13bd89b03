SELECT jsonb_agg(jsonb_build_object('job_id', j -> 'job_id', 'lease_token', j -> 'lease_token')) AS leases
FROM jsonb_array_elements(foreman.claim_jobs('bench', :n) -> 'jobs') AS j \gset
SELECT foreman.complete_jobs(:leases);
