\set id :client_id * 1000 + random(1, 1000)
SELECT bare.update_job_status(:id, 'running');
SELECT bare.update_job_status(:id, 'pending');
