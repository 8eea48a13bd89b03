/* sql/36_figures.sql: the figures of jobs as they were rolled up (src/jobs/figures.rs reads them) */

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
    SELECT next_id, u.queue_id, u.status::foreman.job_status, u.ended_from, u.jobs
    FROM foreman.uncounted_figures() AS u
    UNION ALL
    SELECT next_id, c.queue_id, c.status::foreman.job_status, '-infinity', pg_catalog.sum(c.jobs)
    FROM foreman.counted_figures() AS c
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
REVOKE ALL ON FUNCTION foreman.make_roll_up() FROM PUBLIC;
