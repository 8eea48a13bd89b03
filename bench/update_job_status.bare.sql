\set id :client_id * 1000 + random(1, 1000)
UPDATE bare.live_job SET status = 'running', started_at = clock_timestamp(), attempt = attempt + 1, lease_expires_at = clock_timestamp() + interval '1 hour' WHERE id = :id AND status = 'pending' RETURNING id;
UPDATE bare.live_job SET status = 'pending', lease_token = NULL, lease_expires_at = NULL, ready_at = greatest(run_at, clock_timestamp()) WHERE id = :id AND status = 'running' RETURNING id;
