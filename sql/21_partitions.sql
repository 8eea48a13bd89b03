/* sql/21_partitions.sql: the steps of upkeep that foreman.maintain() takes */

-- CREATE TABLE … PARTITION OF would lock the parent against everybody; LIKE and then ATTACH does not. The new
-- table is empty, so the ATTACH has nothing to scan.
CREATE FUNCTION foreman.make_partition(day date) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- Times become text and are read again: some styles write a zone that means another one to the reader.
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    part name := 'finished_job_' OPERATOR(pg_catalog.||) pg_catalog.to_char(day, 'YYYYMMDD');
    starts_at timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends_at timestamptz := (day OPERATOR(pg_catalog.+) 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF EXISTS (SELECT 1 FROM foreman.finished_day AS d WHERE d.day OPERATOR(pg_catalog.=) make_partition.day) THEN
        RETURN false;
    END IF;
    EXECUTE pg_catalog.format(
        'CREATE TABLE foreman.%I (LIKE foreman.finished_rest INCLUDING ALL)', part);
    EXECUTE pg_catalog.format(
        'ALTER TABLE foreman.finished_job ATTACH PARTITION foreman.%I FOR VALUES FROM (%L) TO (%L)',
        part, starts_at, ends_at);
    INSERT INTO foreman.finished_day (day, partition_name) VALUES (make_partition.day, part);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION foreman.make_partition(date) FROM PUBLIC;
COMMENT ON FUNCTION foreman.make_partition(date) IS
    'A step of foreman.maintain(): makes the partition of one day (UTC) if it is missing, and says whether it did.';

CREATE FUNCTION foreman.empty_finished_rest(max_rows integer) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS (
        DELETE FROM foreman.finished_rest AS m
        WHERE m.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
            SELECT r.ctid
            FROM foreman.finished_rest AS r
            JOIN foreman.finished_day AS d
                ON d.day OPERATOR(pg_catalog.=) (r.finished_at AT TIME ZONE 'UTC')::pg_catalog.date
            LIMIT max_rows
            FOR UPDATE OF r SKIP LOCKED))
        RETURNING m.id, m.run_at, m.created_at, m.started_at, m.finished_at, m.queue_id, m.attempt, m.max_attempts,
                  m.priority, m.status, m.job_type, m.unique_key, m.payload, m.metadata, m.result, m.error
    ), kept AS (
        INSERT INTO foreman.finished_job
            (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
             priority, status, job_type, unique_key, payload, metadata, result, error)
        SELECT m.id, m.run_at, m.created_at, m.started_at, m.finished_at, m.queue_id, m.attempt, m.max_attempts,
               m.priority, m.status, m.job_type, m.unique_key, m.payload, m.metadata, m.result, m.error
        FROM moved AS m
        RETURNING 1
    )
    SELECT pg_catalog.count(*) FROM kept
$$;
REVOKE ALL ON FUNCTION foreman.empty_finished_rest(integer) FROM PUBLIC;
COMMENT ON FUNCTION foreman.empty_finished_rest(integer) IS
    'A step of foreman.maintain(): moves up to max_rows jobs whose day has a partition by now, and says how many.';
