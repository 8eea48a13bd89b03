-- What no queue keeps any longer goes with its day; what one queue keeps for less long than others is deleted from it.
-- Days are moved back here, as if time had passed.
\pset null '(null)'
SELECT foreman.maintain() ->> 'status' AS status;
SELECT foreman.configure_queue(q, completed_retention_seconds => c, failed_retention_seconds => f) ->> 'status' AS status
FROM (VALUES ('short', 86400, 86400 * 3), ('long', 86400 * 10, 86400 * 20)) AS v (q, c, f);
-- Queues of other tests keep nothing for longer than these.
UPDATE foreman.queue SET completed_retention_seconds = 1, failed_retention_seconds = 1 WHERE name NOT IN ('short', 'long');

CREATE FUNCTION ended(queue text, ending text, days int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    job bigint := (foreman.create_job(queue, jsonb_build_object('ending', ending, 'days', days)) ->> 'job_id')::bigint;
    day date := (now() AT TIME ZONE 'UTC')::date - days;
BEGIN
    PERFORM foreman.check(foreman.update_job_status(job, ending));
    PERFORM foreman.make_partition(day);
    UPDATE foreman.finished_job SET finished_at = day::timestamp AT TIME ZONE 'UTC' + interval '12 hours' WHERE id = job;
END
$$;
SELECT ended(q, e, d) FROM unnest('{short,long}'::text[]) AS q, unnest('{completed,failed,cancelled}'::text[]) AS e, unnest('{0,2,5,15,30}'::int[]) AS d \g /dev/null
CREATE VIEW days AS SELECT (now() AT TIME ZONE 'UTC')::date - day AS days FROM foreman.finished_day WHERE day < (now() AT TIME ZONE 'UTC')::date;
SELECT days FROM days ORDER BY 1;

SELECT foreman.maintain() - '{status,rescued,failed,cancelled,partitions_made,jobs_moved}'::text[] AS done;
SELECT queue, status, string_agg(payload ->> 'days', ' ' ORDER BY (payload ->> 'days')::int) AS days
FROM foreman.jobs WHERE queue IN ('short', 'long') AND status >= 'completed' GROUP BY queue, status ORDER BY queue, status;
SELECT days FROM days ORDER BY 1;
-- There is nothing left to do, and nobody looks where it is done.
SELECT foreman.maintain() - '{status,rescued,failed,cancelled,partitions_made,jobs_moved}'::text[] AS done;
SELECT (now() AT TIME ZONE 'UTC')::date - s.day AS days, q.name, s.completed
FROM foreman.finished_swept AS s JOIN foreman.queue AS q ON q.id = s.queue_id WHERE q.name IN ('short', 'long') ORDER BY 1, 2, 3;

-- A queue that keeps its jobs for ever holds every day.
SELECT foreman.configure_queue('ever', failed_retention_seconds => 'infinity', completed_retention_seconds => 'infinity') -> 'failed_retention_seconds' AS seconds;
SELECT ended('ever', 'completed', 400);
SELECT foreman.maintain() - '{status,rescued,failed,cancelled,partitions_made,jobs_moved}'::text[] AS done;
SELECT queue, status FROM foreman.jobs WHERE payload ->> 'days' = '400';

-- Tidied up: no queue, no old day.
SELECT foreman.delete_job(job_id) ->> 'status' AS deleted FROM foreman.jobs WHERE queue = 'ever';
DELETE FROM foreman.queue WHERE name = 'ever';
UPDATE foreman.queue SET completed_retention_seconds = 604800, failed_retention_seconds = 2592000;
DROP VIEW days;
DROP FUNCTION ended;
