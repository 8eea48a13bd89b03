/* sql/35_counted_days.sql: how many jobs ended on each day, without counting them again */

-- Jobs that ended are counted by days. A day that is over is counted once; from before that on a trigger on its
-- partition writes down each row that comes or goes, in the transaction that changes it. So the sum of both is what a
-- count of the partition would give, in every snapshot. The partition of today has no trigger: what ends a job pays nothing.

CREATE TABLE foreman.finished_counted (
    day date NOT NULL CONSTRAINT finished_counted_has_a_day_once PRIMARY KEY,
    -- Whose jobs were counted: another table by the same name was not.
    partition oid NOT NULL
);
COMMENT ON TABLE foreman.finished_counted IS 'The days (UTC) that are over and counted: their figures are in foreman.finished_count.';

CREATE TABLE foreman.finished_count (
    jobs bigint NOT NULL,
    day date NOT NULL,
    queue_id integer NOT NULL,
    status foreman.job_status NOT NULL,
    -- 0 to 23 (UTC); NULL for the whole day.
    hour smallint
);
COMMENT ON TABLE foreman.finished_count IS 'How many jobs ended on a day (UTC), and in each of its hours, as they were counted.';

CREATE INDEX finished_count_of_days ON foreman.finished_count (day) WHERE hour IS NULL;
CREATE INDEX finished_count_of_hours ON foreman.finished_count (day, hour) WHERE hour IS NOT NULL;

CREATE TABLE foreman.finished_change (
    jobs bigint NOT NULL,
    day date NOT NULL,
    queue_id integer NOT NULL,
    status foreman.job_status NOT NULL,
    hour smallint NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);
COMMENT ON TABLE foreman.finished_change IS
    'What came to days that are over (1) or went (-1) and is not yet added to foreman.finished_count.';

CREATE INDEX finished_change_of_transactions ON foreman.finished_change (transaction);

-- What transactions below this one have changed was added, or undone. So nobody reads again through what was added, which
-- stays there for as long as somebody has an old snapshot.
CREATE TABLE foreman.finished_added (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT finished_added_has_an_id PRIMARY KEY,
    below xid8 NOT NULL
);
COMMENT ON TABLE foreman.finished_added IS 'Up to which transaction changes were added to foreman.finished_count: the last row says it.';

CREATE FUNCTION foreman.finished_row_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO foreman.finished_change (jobs, day, queue_id, status, hour)
    SELECT c.jobs, (c.at AT TIME ZONE 'UTC')::date, c.queue_id, c.status, EXTRACT(hour FROM c.at AT TIME ZONE 'UTC')
    FROM (VALUES (-1, OLD.finished_at, OLD.queue_id, OLD.status), (1, NEW.finished_at, NEW.queue_id, NEW.status))
        AS c (jobs, at, queue_id, status)
    WHERE c.at IS NOT NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION foreman.finished_row_changed() IS 'Writes down what comes to a day that is over, or goes.';

CREATE FUNCTION foreman.finished_rows_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM foreman.finished_count AS c WHERE c.day OPERATOR(pg_catalog.=) TG_ARGV[0]::date;
    DELETE FROM foreman.finished_change AS c WHERE c.day OPERATOR(pg_catalog.=) TG_ARGV[0]::date;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION foreman.finished_rows_gone() IS 'After a TRUNCATE the day has no jobs.';

CREATE VIEW foreman.closed_days AS
SELECT d.day, d.partition_name, d.partition
FROM foreman.finished_days() AS d
JOIN pg_catalog.pg_trigger AS t
    ON t.tgrelid OPERATOR(pg_catalog.=) d.partition AND t.tgname OPERATOR(pg_catalog.=) 'finished_rows_gone'
WHERE NOT d.is_counted;
COMMENT ON VIEW foreman.closed_days IS 'The days that are over and not yet counted, whose changes are written down.';

-- The lock that a trigger takes waits for whoever has changed rows of the partition and not yet ended, a prepared
-- transaction too: their rows are seen by the count that follows. Such a day is passed over, so that it holds up no other.
CREATE FUNCTION foreman.close_days() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed bigint := 0;
    over record;
BEGIN
    FOR over IN
        SELECT d.day, d.partition_name
        FROM foreman.finished_days() AS d
        WHERE d.day OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date
          AND NOT d.is_counted
          AND NOT EXISTS (SELECT 1 FROM foreman.closed_days AS c WHERE c.day OPERATOR(pg_catalog.=) d.day)
          AND NOT EXISTS (
              SELECT 1 FROM pg_catalog.pg_locks AS l
              WHERE l.relation OPERATOR(pg_catalog.=) d.partition
                AND l.database OPERATOR(pg_catalog.=) (
                    SELECT b.oid FROM pg_catalog.pg_database AS b
                    WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
                AND l.mode OPERATOR(pg_catalog.<>) 'AccessShareLock'
                AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid())
        ORDER BY d.day
    LOOP
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER finished_row_changed AFTER INSERT OR UPDATE OR DELETE ON foreman.%1$I
                 FOR EACH ROW EXECUTE FUNCTION foreman.finished_row_changed();
             CREATE TRIGGER finished_rows_gone AFTER TRUNCATE ON foreman.%1$I
                 FOR EACH STATEMENT EXECUTE FUNCTION foreman.finished_rows_gone(%2$L);
             ALTER TABLE foreman.%1$I ENABLE ALWAYS TRIGGER finished_row_changed,
                 ENABLE ALWAYS TRIGGER finished_rows_gone,
                 -- What came last is frozen as well, and with that the table is done.
                 SET (autovacuum_vacuum_insert_threshold = 0, autovacuum_vacuum_insert_scale_factor = 0)',
            over.partition_name, over.day);
        closed := closed OPERATOR(pg_catalog.+) 1;
    END LOOP;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION foreman.close_days() IS
    'A step of foreman.maintain(): from now on, what changes in days that are over is written down. Says of how many.';

-- One snapshot for what is counted and for the changes that the count has seen: each later one stays and is added.
-- Days that were closed in this very transaction are not among them, since its lock would be held for the whole count.
CREATE FUNCTION foreman.count_days() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz := pg_catalog.clock_timestamp();
    counted bigint := 0;
    closed record;
BEGIN
    FOR closed IN
        SELECT d.day, d.partition_name, d.partition
        FROM foreman.closed_days AS d
        ORDER BY d.day DESC
    LOOP
        EXECUTE pg_catalog.format(
            'WITH gone AS (
                 DELETE FROM foreman.finished_change AS c WHERE c.day OPERATOR(pg_catalog.=) $1
             ), old AS (
                 DELETE FROM foreman.finished_count AS c WHERE c.day OPERATOR(pg_catalog.=) $1
             )
             INSERT INTO foreman.finished_count (jobs, day, queue_id, status, hour)
             SELECT pg_catalog.sum(h.jobs), $1, h.queue_id, h.status, h.hour
             FROM (
                 SELECT j.queue_id, j.status, EXTRACT(hour FROM j.began AT TIME ZONE ''UTC'') AS hour, j.jobs
                 FROM (
                     SELECT k.queue_id, k.status, pg_catalog.date_bin(''1 hour'', k.finished_at, $2) AS began,
                            pg_catalog.count(*) AS jobs
                     FROM foreman.%I AS k
                     GROUP BY 1, 2, 3) AS j) AS h
             GROUP BY GROUPING SETS ((h.queue_id, h.status), (h.queue_id, h.status, h.hour))', closed.partition_name)
        USING closed.day, closed.day::timestamp AT TIME ZONE 'UTC';
        DELETE FROM foreman.finished_counted AS c WHERE c.day OPERATOR(pg_catalog.=) closed.day;
        INSERT INTO foreman.finished_counted (day, partition) VALUES (closed.day, closed.partition);
        counted := counted OPERATOR(pg_catalog.+) 1;
        -- The rest is for the next call: an interrupted one would have counted for nothing.
        EXIT WHEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) began OPERATOR(pg_catalog.>) interval '5 seconds';
    END LOOP;
    RETURN counted;
END
$$;
COMMENT ON FUNCTION foreman.count_days() IS
    'A step of foreman.maintain(): counts the days that are over, each once, and says how many.';

CREATE FUNCTION foreman.changes_from() RETURNS xid8
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN COALESCE((SELECT a.below FROM foreman.finished_added AS a ORDER BY a.id DESC LIMIT 1), '0');
END
$$;
COMMENT ON FUNCTION foreman.changes_from() IS 'From which transaction on changes may not have been added.';

-- In one statement and so in one snapshot: the same jobs before and after, and the oldest transaction that may still
-- write down a change. Not for a few, since it writes the counts of their days anew.
CREATE FUNCTION foreman.add_changes(min_rows integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added_before xid8 := foreman.changes_from();
    days bigint;
BEGIN
    PERFORM 1 FROM foreman.finished_change AS c WHERE c.transaction OPERATOR(pg_catalog.>=) added_before
    OFFSET min_rows OPERATOR(pg_catalog.-) 1 LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH change AS (
        DELETE FROM foreman.finished_change AS c
        WHERE c.transaction OPERATOR(pg_catalog.>=) added_before
          AND EXISTS (SELECT 1 FROM foreman.finished_counted AS k WHERE k.day OPERATOR(pg_catalog.=) c.day)
        RETURNING c.jobs, c.day, c.queue_id, c.status, c.hour
    ), counted AS (
        DELETE FROM foreman.finished_count AS c
        WHERE c.day OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT DISTINCT h.day FROM change AS h))
        RETURNING c.jobs, c.day, c.queue_id, c.status, c.hour
    ), summed AS (
        INSERT INTO foreman.finished_count (jobs, day, queue_id, status, hour)
        SELECT pg_catalog.sum(a.jobs), a.day, a.queue_id, a.status, a.hour
        FROM (
            SELECT h.jobs, h.day, h.queue_id, h.status, h.hour FROM change AS h
            UNION ALL
            SELECT c.jobs, c.day, c.queue_id, c.status, c.hour FROM counted AS c WHERE c.hour IS NOT NULL
        ) AS a
        GROUP BY GROUPING SETS ((a.day, a.queue_id, a.status), (a.day, a.queue_id, a.status, a.hour))
        HAVING pg_catalog.sum(a.jobs) OPERATOR(pg_catalog.<>) 0
    ), former AS (
        DELETE FROM foreman.finished_added AS a WHERE a.below OPERATOR(pg_catalog.=) added_before
    ), latest AS (
        INSERT INTO foreman.finished_added (below)
        VALUES (pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()))
    )
    SELECT pg_catalog.count(DISTINCT h.day) INTO days FROM change AS h;
    RETURN days;
END
$$;
COMMENT ON FUNCTION foreman.add_changes(integer) IS
    'A step of foreman.maintain(): adds what has changed in days that are over to their counts, from min_rows changes on, and says of how many days.';
REVOKE ALL ON FUNCTION foreman.finished_row_changed(), foreman.finished_rows_gone(),
    foreman.close_days(), foreman.count_days(), foreman.changes_from(), foreman.add_changes(integer) FROM PUBLIC;
