WITH claimed AS (
    UPDATE hand.job_in_place SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
    WHERE id = ANY (ARRAY(
        SELECT id FROM hand.job_in_place
        WHERE queue_id = 1 AND lease_until IS NULL AND run_at <= now()
        ORDER BY queue_id, priority, run_at, id LIMIT :n FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING id, attempt, payload)
SELECT array_agg(id) AS ids, array_agg(attempt) AS attempts, jsonb_agg(payload) AS payloads FROM claimed \gset
UPDATE hand.job_in_place AS j SET finished_at = now()
FROM unnest(:ids::bigint[], :attempts::smallint[]) AS c (id, attempt)
WHERE j.id = c.id AND j.attempt = c.attempt AND j.finished_at IS NULL;
