SELECT (foreman.create_job('keyed', '{"n": 1}', unique_key => 'again') ->> 'job_id')::bigint AS id \gset
SELECT foreman.update_job_success(:id);
