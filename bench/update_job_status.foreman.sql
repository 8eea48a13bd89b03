\set id :client_id * 1000 + random(1, 1000)
SELECT foreman.update_job_status(:id, 'running');
SELECT foreman.update_job_status(:id, 'pending');
