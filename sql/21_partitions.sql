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
        -- A job that ended seldom changes: VACUUM freezes what it sees, and need not come again for that.
        'CREATE TABLE foreman.%I (LIKE foreman.finished_rest INCLUDING ALL) WITH (autovacuum_freeze_min_age = 0)', part);
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
                  m.priority, m.status, m.lease_token, m.job_type, m.unique_key, m.worker, m.payload, m.metadata, m.result, m.error
    ), kept AS (
        INSERT INTO foreman.finished_job
            (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
             priority, status, lease_token, job_type, unique_key, worker, payload, metadata, result, error)
        SELECT m.id, m.run_at, m.created_at, m.started_at, m.finished_at, m.queue_id, m.attempt, m.max_attempts,
               m.priority, m.status, m.lease_token, m.job_type, m.unique_key, m.worker, m.payload, m.metadata, m.result, m.error
        FROM moved AS m
        RETURNING 1
    )
    SELECT pg_catalog.count(*) FROM kept
$$;
REVOKE ALL ON FUNCTION foreman.empty_finished_rest(integer) FROM PUBLIC;
COMMENT ON FUNCTION foreman.empty_finished_rest(integer) IS
    'A step of foreman.maintain(): moves up to max_rows jobs whose day has a partition by now, and says how many.';

-- By whole days, since a day goes with its partition. What a queue keeps for less long than the others is deleted from
-- the partition in batches; finished_swept remembers where that is done, so that nobody looks again.
CREATE TABLE foreman.finished_swept (
    day date NOT NULL,
    queue_id integer NOT NULL,
    completed boolean NOT NULL,
    CONSTRAINT finished_swept_has_each_once PRIMARY KEY (day, queue_id, completed)
);
COMMENT ON TABLE foreman.finished_swept IS
    'Days of which a queue''s completed jobs, or its others, were deleted since their retention was over.';

CREATE FUNCTION foreman.sweep_finished(max_rows integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint := 0;
    batch bigint;
    due record;
BEGIN
    FOR due IN
        SELECT d.day, d.partition_name, q.id AS queue_id, k.completed
        FROM foreman.finished_day AS d
        CROSS JOIN foreman.queue AS q
        CROSS JOIN LATERAL (VALUES (true, q.completed_retention_seconds), (false, q.failed_retention_seconds))
            AS k (completed, seconds)
        WHERE k.seconds OPERATOR(pg_catalog.<) EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                  OPERATOR(pg_catalog.-) ((d.day OPERATOR(pg_catalog.+) 1)::timestamp AT TIME ZONE 'UTC'))::double precision
          AND NOT EXISTS (
              SELECT 1 FROM foreman.finished_swept AS s
              WHERE s.day OPERATOR(pg_catalog.=) d.day AND s.queue_id OPERATOR(pg_catalog.=) q.id
                AND s.completed OPERATOR(pg_catalog.=) k.completed)
          AND d.day OPERATOR(pg_catalog.>) foreman.dropped_until()
        ORDER BY d.day, q.id
    LOOP
        EXECUTE pg_catalog.format(
            'DELETE FROM foreman.%I AS j WHERE j.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
                 SELECT p.ctid FROM foreman.%I AS p
                 WHERE p.queue_id OPERATOR(pg_catalog.=) $1
                   AND (p.status OPERATOR(pg_catalog.=) ''completed'') OPERATOR(pg_catalog.=) $2
                 LIMIT $3 FOR UPDATE SKIP LOCKED))', due.partition_name, due.partition_name)
        USING due.queue_id, due.completed, max_rows OPERATOR(pg_catalog.-) deleted;
        GET DIAGNOSTICS batch = ROW_COUNT;
        deleted := deleted OPERATOR(pg_catalog.+) batch;
        EXIT WHEN deleted OPERATOR(pg_catalog.>=) max_rows;
        INSERT INTO foreman.finished_swept (day, queue_id, completed) VALUES (due.day, due.queue_id, due.completed);
    END LOOP;
    RETURN deleted;
END
$$;
COMMENT ON FUNCTION foreman.sweep_finished(integer) IS
    'A step of foreman.maintain(): deletes up to max_rows jobs whose retention is over, and says how many.';

CREATE FUNCTION foreman.dropped_until() RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        CASE WHEN longest.seconds OPERATOR(pg_catalog.<) 3155760000 THEN
            ((pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => longest.seconds))
                AT TIME ZONE 'UTC')::date OPERATOR(pg_catalog.-) 1 END,
        '-infinity'::date)
    FROM (SELECT pg_catalog.max(GREATEST(q.completed_retention_seconds, q.failed_retention_seconds)) AS seconds
          FROM foreman.queue AS q) AS longest
$$;
COMMENT ON FUNCTION foreman.dropped_until() IS
    'The last day (UTC) that no queue keeps anything of: its partition and those before it may go as a whole.';

-- Emptied first, under a lock on the partition alone. To drop the shell takes a lock on the parent as well, which whoever
-- reads finished jobs in an open transaction holds up.
CREATE FUNCTION foreman.truncate_partitions() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    emptied bigint := 0;
    part name;
    has_rows boolean;
BEGIN
    FOR part IN
        SELECT d.partition_name FROM foreman.finished_day AS d
        WHERE d.day OPERATOR(pg_catalog.<=) foreman.dropped_until() ORDER BY d.day LIMIT 10
    LOOP
        EXECUTE pg_catalog.format('SELECT EXISTS (SELECT 1 FROM foreman.%I)', part) INTO has_rows;
        IF has_rows THEN
            EXECUTE pg_catalog.format('TRUNCATE foreman.%I', part);
            emptied := emptied OPERATOR(pg_catalog.+) 1;
        END IF;
    END LOOP;
    RETURN emptied;
END
$$;
COMMENT ON FUNCTION foreman.truncate_partitions() IS
    'A step of foreman.maintain(): empties partitions that no queue keeps, and says how many.';

CREATE FUNCTION foreman.drop_partitions() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dropped bigint := 0;
    old record;
BEGIN
    FOR old IN
        SELECT d.day, d.partition_name FROM foreman.finished_day AS d
        WHERE d.day OPERATOR(pg_catalog.<=) foreman.dropped_until() ORDER BY d.day LIMIT 10
    LOOP
        EXECUTE pg_catalog.format('DROP TABLE foreman.%I', old.partition_name);
        DELETE FROM foreman.finished_day AS d WHERE d.day OPERATOR(pg_catalog.=) old.day;
        DELETE FROM foreman.finished_swept AS s WHERE s.day OPERATOR(pg_catalog.=) old.day;
        DELETE FROM foreman.finished_counted AS c WHERE c.day OPERATOR(pg_catalog.=) old.day;
        DELETE FROM foreman.finished_count AS c WHERE c.day OPERATOR(pg_catalog.=) old.day;
        DELETE FROM foreman.finished_change AS c WHERE c.day OPERATOR(pg_catalog.=) old.day;
        dropped := dropped OPERATOR(pg_catalog.+) 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION foreman.drop_partitions() IS
    'A step of foreman.maintain(): drops partitions that no queue keeps, and says how many.';
REVOKE ALL ON FUNCTION foreman.sweep_finished(integer), foreman.dropped_until(), foreman.truncate_partitions(),
    foreman.drop_partitions() FROM PUBLIC;
