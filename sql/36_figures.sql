/* sql/36_figures.sql: the figures of jobs: what is small is counted now, the rest as it was rolled up */

-- Whoever reads asks no other process to help, whatever statistics make the planner think: one takes 20 ms to start.

-- Made anew each time and read by its id: of a row that is updated again and again all versions would stay for as long as
-- somebody has an old snapshot, and the newest would be behind them.
CREATE TABLE foreman.roll_up (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT roll_up_has_an_id PRIMARY KEY,
    -- When the snapshot was taken that all of its figures are of.
    as_of timestamptz NOT NULL,
    took interval NOT NULL
);
COMMENT ON TABLE foreman.roll_up IS 'The last count of all jobs: when it was made, and how long it took.';

CREATE TABLE foreman.roll_up_live (
    roll_up bigint NOT NULL,
    pending bigint NOT NULL,
    scheduled bigint NOT NULL,
    running bigint NOT NULL,
    oldest_ready_at timestamptz,
    queue_id integer NOT NULL,
    CONSTRAINT roll_up_live_has_a_queue_once PRIMARY KEY (roll_up, queue_id)
);
COMMENT ON TABLE foreman.roll_up_live IS 'The live jobs of each queue as of the last count.';

CREATE TABLE foreman.roll_up_ended (
    roll_up bigint NOT NULL,
    -- A quarter of an hour begins then; -infinity: the days that are over and counted.
    ended_from timestamptz NOT NULL,
    jobs bigint NOT NULL,
    queue_id integer NOT NULL,
    status foreman.job_status NOT NULL,
    CONSTRAINT roll_up_ended_has_each_once PRIMARY KEY (roll_up, ended_from, queue_id, status)
);
COMMENT ON TABLE foreman.roll_up_ended IS 'The jobs of each queue that had ended, as of the last count.';

-- STABLE functions, so that all their statements, and all of them within one statement, see one snapshot. In plpgsql, which
-- keeps plans for the session.

-- 2 MB are counted in 2 to 3 ms, dead rows included, however short the rows are.
CREATE FUNCTION foreman.are_small(OUT live boolean, OUT ended boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    SELECT pg_catalog.pg_relation_size('foreman.live_job') OPERATOR(pg_catalog.<=) 2097152,
           (pg_catalog.pg_relation_size('foreman.finished_rest') OPERATOR(pg_catalog.+) COALESCE(pg_catalog.sum(
               pg_catalog.pg_relation_size(pg_catalog.to_regclass(pg_catalog.format('foreman.%I', d.partition_name)))), 0))
               OPERATOR(pg_catalog.<=) 2097152
    INTO live, ended
    FROM foreman.finished_day AS d
    WHERE NOT EXISTS (SELECT 1 FROM foreman.finished_counted AS c WHERE c.day OPERATOR(pg_catalog.=) d.day);
END
$$;
COMMENT ON FUNCTION foreman.are_small() IS
    'Whether live jobs, and those that ended on days that are not counted, are few enough to be counted by who asks.';

CREATE FUNCTION foreman.figure_source(
    OUT live_roll_up bigint,
    OUT ended_roll_up bigint,
    OUT live_as_of timestamptz,
    OUT as_of timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    now timestamptz := pg_catalog.clock_timestamp();
    last foreman.roll_up;
BEGIN
    SELECT r.id, r.as_of, r.took INTO last FROM foreman.roll_up AS r ORDER BY r.id DESC LIMIT 1;
    -- After that nobody seems to do upkeep any more.
    IF (now OPERATOR(pg_catalog.-) last.as_of) OPERATOR(pg_catalog.<)
        GREATEST(interval '1 hour', last.took OPERATOR(pg_catalog.*) 50) THEN
        SELECT CASE WHEN NOT s.live THEN last.id END,
               -- Live jobs of then and ended ones of now would have some in both.
               CASE WHEN NOT (s.live AND s.ended) THEN last.id END
        INTO live_roll_up, ended_roll_up
        FROM foreman.are_small() AS s;
    END IF;
    live_as_of := CASE WHEN live_roll_up IS NULL THEN now ELSE last.as_of END;
    as_of := CASE WHEN ended_roll_up IS NULL THEN now ELSE last.as_of END;
END
$$;
COMMENT ON FUNCTION foreman.figure_source() IS
    'Where the figures come from, a roll-up or (NULL) a count, and the moments that they are of.';

-- By what statistics say of rows: a size would wait for whoever has the table locked. 300,000 rows are counted in a tenth of
-- a second, which is as long as who asks for health may wait.
CREATE FUNCTION foreman.live_take_long(of_roll_up bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN of_roll_up IS NULL AND (
        pg_catalog.pg_stat_get_live_tuples('foreman.live_job'::regclass)
        OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_dead_tuples('foreman.live_job'::regclass)) OPERATOR(pg_catalog.>) 300000;
END
$$;
COMMENT ON FUNCTION foreman.live_take_long(bigint) IS
    'Whether live jobs would have to be counted, and are many: upkeep has not counted them for an hour.';

CREATE FUNCTION foreman.ended_take_long(of_roll_up bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN of_roll_up IS NULL AND (
        SELECT pg_catalog.sum(pg_catalog.pg_stat_get_live_tuples(t.relation)) OPERATOR(pg_catalog.>) 300000
        FROM (
            SELECT 'foreman.finished_rest'::regclass AS relation
            UNION ALL
            SELECT d.partition FROM foreman.finished_days() AS d WHERE NOT d.is_counted
        ) AS t);
END
$$;
COMMENT ON FUNCTION foreman.ended_take_long(bigint) IS
    'The same of jobs that have ended.';

CREATE FUNCTION foreman.live_figures(of_roll_up bigint) RETURNS TABLE (
    queue_id integer,
    pending bigint,
    scheduled bigint,
    running bigint,
    oldest_ready_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    now timestamptz := pg_catalog.clock_timestamp();
BEGIN
    IF of_roll_up IS NOT NULL THEN
        RETURN QUERY
        SELECT r.queue_id, r.pending, r.scheduled, r.running, r.oldest_ready_at
        FROM foreman.roll_up_live AS r
        WHERE r.roll_up OPERATOR(pg_catalog.=) of_roll_up;
    ELSE
        RETURN QUERY
        SELECT j.queue_id,
               pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending'),
               pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending'
                   AND j.ready_at OPERATOR(pg_catalog.>) now),
               pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'running'),
               pg_catalog.min(j.ready_at) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending')
        FROM foreman.live_job AS j
        GROUP BY j.queue_id;
    END IF;
END
$$;
COMMENT ON FUNCTION foreman.live_figures(bigint) IS
    'The live jobs of each queue as they were rolled up, or as they are now (NULL).';

-- The tables by their names, and not through the one that they belong to: whether a day is counted is nothing that the
-- planner can leave partitions out by. An empty one is left out, since planning it takes longer than what is there. What the
-- snapshot sees was there before it was taken, and so before we look.
CREATE FUNCTION foreman.uncounted_figures(since timestamptz) RETURNS TABLE (
    queue_id integer,
    status foreman.job_status,
    ended_from timestamptz,
    jobs bigint,
    jobs_since bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    tables text;
BEGIN
    SELECT pg_catalog.string_agg(
               pg_catalog.format('SELECT queue_id, status, finished_at FROM foreman.%I', t.name), ' UNION ALL ')
    INTO tables
    FROM (
        SELECT 'finished_rest' AS name, 'foreman.finished_rest'::regclass AS relation
        UNION ALL
        SELECT d.partition_name, d.partition FROM foreman.finished_days() AS d WHERE NOT d.is_counted
    ) AS t
    WHERE pg_catalog.pg_relation_size(t.relation) OPERATOR(pg_catalog.>) 0;
    IF tables IS NOT NULL THEN
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT j.queue_id, j.status, pg_catalog.date_bin(''15 minutes'', j.finished_at, ''2000-01-01 00:00Z''),
                    pg_catalog.count(*),
                    pg_catalog.count(*) FILTER (WHERE $1 IS NULL OR j.finished_at OPERATOR(pg_catalog.>=) $1)
             FROM (%s) AS j
             GROUP BY 1, 2, 3', tables)
        USING since;
    END IF;
END
$$;
COMMENT ON FUNCTION foreman.uncounted_figures(timestamptz) IS
    'The jobs that have ended on days that are not counted yet, and those since then, counted now.';

CREATE FUNCTION foreman.counted_figures(since timestamptz) RETURNS TABLE (
    queue_id integer,
    status foreman.job_status,
    jobs bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    first_day date := COALESCE((since AT TIME ZONE 'UTC')::date, '-infinity');
    first_hour integer := COALESCE(EXTRACT(hour FROM since AT TIME ZONE 'UTC'), 0);
    not_added xid8;
    days date[] := ARRAY(
        SELECT d.day FROM foreman.finished_days() AS d WHERE d.is_counted AND d.day OPERATOR(pg_catalog.>=) first_day);
BEGIN
    -- Also spares a new session the planning of what follows.
    IF pg_catalog.cardinality(days) OPERATOR(pg_catalog.=) 0 THEN
        RETURN;
    END IF;
    not_added := foreman.changes_from();
    RETURN QUERY
    SELECT f.queue_id, f.status, f.jobs
    FROM foreman.finished_count AS f
    WHERE f.hour IS NULL AND f.day OPERATOR(pg_catalog.=) ANY (days)
      AND (f.day OPERATOR(pg_catalog.>) first_day OR first_hour OPERATOR(pg_catalog.=) 0)
    UNION ALL
    SELECT f.queue_id, f.status, f.jobs
    FROM foreman.finished_count AS f
    WHERE f.hour OPERATOR(pg_catalog.>=) first_hour AND f.day OPERATOR(pg_catalog.=) first_day
      AND f.day OPERATOR(pg_catalog.=) ANY (days) AND first_hour OPERATOR(pg_catalog.>) 0
    UNION ALL
    SELECT f.queue_id, f.status, f.jobs
    FROM foreman.finished_change AS f
    WHERE f.transaction OPERATOR(pg_catalog.>=) not_added AND f.day OPERATOR(pg_catalog.=) ANY (days)
      AND (f.day OPERATOR(pg_catalog.>) first_day OR f.hour OPERATOR(pg_catalog.>=) first_hour);
END
$$;
COMMENT ON FUNCTION foreman.counted_figures(timestamptz) IS
    'The jobs that have ended since then (the full hour) on days that are over and counted.';

-- Both at once, since who asks for health wants both, and counting what is not rolled up is most of what they cost.
CREATE FUNCTION foreman.ended_figures(of_roll_up bigint, since timestamptz) RETURNS TABLE (
    queue_id integer,
    status foreman.job_status,
    jobs bigint,
    jobs_since bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    IF of_roll_up IS NULL THEN
        RETURN QUERY SELECT u.queue_id, u.status, u.jobs, u.jobs_since FROM foreman.uncounted_figures(since) AS u;
        RETURN QUERY
        SELECT c.queue_id, c.status, c.jobs, CASE WHEN since IS NULL THEN c.jobs ELSE 0 END
        FROM foreman.counted_figures(NULL) AS c;
    ELSE
        RETURN QUERY
        SELECT r.queue_id, r.status, r.jobs,
               CASE WHEN r.ended_from OPERATOR(pg_catalog.>=) COALESCE(since, '-infinity') THEN r.jobs ELSE 0 END
        FROM foreman.roll_up_ended AS r
        WHERE r.roll_up OPERATOR(pg_catalog.=) of_roll_up;
    END IF;
    IF since IS NOT NULL THEN
        RETURN QUERY SELECT c.queue_id, c.status, 0::bigint, c.jobs FROM foreman.counted_figures(since) AS c;
    END IF;
END
$$;
COMMENT ON FUNCTION foreman.ended_figures(bigint, timestamptz) IS
    'The jobs of each queue that have ended ever, and those since then (NULL: all), as they were rolled up or as they are now; several rows of each.';

CREATE FUNCTION foreman.figures_since(at timestamptz, of_roll_up bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
    RETURN CASE
        WHEN EXISTS (
            SELECT 1 FROM foreman.finished_days() AS d
            WHERE d.is_counted AND d.day OPERATOR(pg_catalog.=) (at AT TIME ZONE 'UTC')::date)
            THEN pg_catalog.date_bin('1 hour', at, '2000-01-01 00:00Z')
        WHEN of_roll_up IS NOT NULL THEN pg_catalog.date_bin('15 minutes', at, '2000-01-01 00:00Z')
        ELSE at
    END;
END
$$;
COMMENT ON FUNCTION foreman.figures_since(timestamptz, bigint) IS
    'From which moment on jobs can be counted that have ended since this one: it, or the beginning of its hour or quarter.';

-- Counting takes a twentieth of the time at most. Where readers count for themselves there is nothing to do. The one
-- before goes by its own id: a range of ids would lead through all that an old snapshot keeps.
CREATE FUNCTION foreman.make_roll_up() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last foreman.roll_up;
    began timestamptz := pg_catalog.clock_timestamp();
    next_id bigint;
BEGIN
    SELECT r.id, r.as_of, r.took INTO last FROM foreman.roll_up AS r ORDER BY r.id DESC LIMIT 1;
    IF (began OPERATOR(pg_catalog.>=) last.as_of
            AND (began OPERATOR(pg_catalog.-) last.as_of) OPERATOR(pg_catalog.<) (last.took OPERATOR(pg_catalog.*) 20))
        OR (SELECT s.live AND s.ended FROM foreman.are_small() AS s)
        -- Soon counted for good, as after a restore.
        OR EXISTS (SELECT 1 FROM foreman.closed_days AS d) THEN
        RETURN 0;
    END IF;
    next_id := pg_catalog.nextval('foreman.roll_up_id_seq');
    WITH live AS (
        INSERT INTO foreman.roll_up_live (roll_up, queue_id, pending, scheduled, running, oldest_ready_at)
        SELECT next_id, f.queue_id, f.pending, f.scheduled, f.running, f.oldest_ready_at
        FROM foreman.live_figures(NULL) AS f
    )
    INSERT INTO foreman.roll_up_ended (roll_up, queue_id, status, ended_from, jobs)
    SELECT next_id, u.queue_id, u.status, u.ended_from, u.jobs
    FROM foreman.uncounted_figures(NULL) AS u
    UNION ALL
    SELECT next_id, c.queue_id, c.status, '-infinity', pg_catalog.sum(c.jobs)
    FROM foreman.counted_figures(NULL) AS c
    GROUP BY c.queue_id, c.status;
    DELETE FROM foreman.roll_up_live AS r WHERE r.roll_up OPERATOR(pg_catalog.=) last.id;
    DELETE FROM foreman.roll_up_ended AS r WHERE r.roll_up OPERATOR(pg_catalog.=) last.id;
    DELETE FROM foreman.roll_up AS r WHERE r.id OPERATOR(pg_catalog.=) last.id;
    INSERT INTO foreman.roll_up (id, as_of, took) OVERRIDING SYSTEM VALUE
    VALUES (next_id, began, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) began);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION foreman.make_roll_up() IS
    'A step of foreman.maintain(): counts all jobs but those of days that are counted, where that is due and of use.';
REVOKE ALL ON FUNCTION foreman.are_small(), foreman.figure_source(), foreman.live_figures(bigint),
    foreman.uncounted_figures(timestamptz), foreman.counted_figures(timestamptz),
    foreman.ended_figures(bigint, timestamptz), foreman.figures_since(timestamptz, bigint), foreman.make_roll_up(),
    foreman.live_take_long(bigint), foreman.ended_take_long(bigint)
    FROM PUBLIC;
