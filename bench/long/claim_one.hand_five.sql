-- As claim_one.move.sql, of whichever of five queues has the most urgent job: by an index that does not begin with the queue.
UPDATE hand.job_of_five SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
WHERE id = (
    SELECT id FROM hand.job_of_five
    WHERE queue_id = ANY ('{1,2,3,4,5}') AND lease_until IS NULL AND run_at <= now()
    ORDER BY priority, run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id, attempt, payload \gset
WITH gone AS (DELETE FROM hand.job_of_five WHERE id = :id AND attempt = :attempt RETURNING *)
INSERT INTO hand.done (id, run_at, created_at, started_at, finished_at, queue_id, attempt, priority, payload)
SELECT id, run_at, created_at, started_at, now(), queue_id, attempt, priority, payload FROM gone RETURNING id;
