UPDATE hand.job_in_place SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
WHERE id = (
    SELECT id FROM hand.job_in_place
    WHERE queue_id = 1 AND lease_until IS NULL AND run_at <= now()
    ORDER BY queue_id, priority, run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, attempt, payload \gset
UPDATE hand.job_in_place SET finished_at = now() WHERE id = :id AND attempt = :attempt AND finished_at IS NULL
RETURNING id;
