WITH claimed AS (
    UPDATE hand.job SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
    WHERE id = ANY (ARRAY(
        SELECT id FROM hand.job
        WHERE queue_id = 1 AND lease_until IS NULL AND run_at <= now()
        ORDER BY queue_id, priority, run_at, id LIMIT :n FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING id, attempt, payload)
SELECT array_agg(id) AS ids, array_agg(attempt) AS attempts, jsonb_agg(payload) AS payloads FROM claimed \gset
WITH gone AS (
    DELETE FROM hand.job AS j USING unnest(:ids::bigint[], :attempts::smallint[]) AS c (id, attempt)
    WHERE j.id = c.id AND j.attempt = c.attempt RETURNING j.*)
INSERT INTO hand.done (id, run_at, created_at, started_at, finished_at, queue_id, attempt, priority, payload)
SELECT id, run_at, created_at, started_at, now(), queue_id, attempt, priority, payload FROM gone;
