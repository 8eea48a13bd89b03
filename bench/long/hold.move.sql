-- As hold.foreman.sql.
DROP TABLE IF EXISTS held;
CREATE TABLE held (n bigint GENERATED ALWAYS AS IDENTITY, id bigint, attempt smallint);
WITH claimed AS (
    UPDATE hand.job SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
    WHERE id IN (
        SELECT id FROM hand.job
        WHERE queue_id = 1 AND lease_until IS NULL AND run_at <= now()
        ORDER BY queue_id, priority, run_at, id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, attempt)
INSERT INTO held (id, attempt) SELECT id, attempt FROM claimed;
CREATE INDEX ON held (n);
ANALYZE held;
