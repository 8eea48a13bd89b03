/* sql/55_metrics.sql: all that there is to measure, as rows; foreman.metrics() writes them as text */

-- A family has the suffix that its type asks for: _total where it only grows, until the server starts anew; _info.
CREATE VIEW foreman.metric_families (name, type, help) AS
VALUES
    ('foreman_build_info', 'info', 'The version of the library that is loaded, and of the server.'),
    ('foreman_preloaded', 'gauge', 'Whether the library is in shared_preload_libraries; without it what shared memory counts is missing here.'),
    ('foreman_in_recovery', 'gauge', 'Whether the server is a standby.'),
    ('foreman_metrics_dropped_series', 'gauge', 'Series of queues that are told together, as _other.'),
    ('foreman_queue_jobs', 'gauge', 'Live jobs of a queue by state: ready, scheduled (due later), running.'),
    ('foreman_queue_oldest_ready_age_seconds', 'gauge', 'For how long the oldest ready job of a queue has been ready; 0 where none is.'),
    ('foreman_queue_ready_target_seconds', 'gauge', 'How long the oldest ready job of a queue may wait, as configured; missing where a queue has no target of its own.'),
    ('foreman_queue_paused', 'gauge', 'Whether a queue is paused.'),
    ('foreman_queue_ended_jobs', 'gauge', 'Jobs of a queue that have ended and are kept, by status. Retention makes it less: rates are those of foreman_jobs_ended_total.'),
    ('foreman_queue_floor_looks_total', 'counter', 'Looks through what claims from a queue pass over.'),
    ('foreman_queue_floor_found_total', 'counter', 'Jobs of a queue that only such a look has found: rows written by hand.'),
    ('foreman_live_figures_timestamp_seconds', 'gauge', 'The moment that the figures of live jobs are of; missing with them where jobs are many and nobody has counted them for an hour.'),
    ('foreman_ended_figures_timestamp_seconds', 'gauge', 'The moment that the figures of ended jobs are of; missing with them where jobs are many and nobody has counted them for an hour.'),
    ('foreman_jobs_created_total', 'counter', 'Jobs of this database that were created.'),
    ('foreman_jobs_ended_total', 'counter', 'Jobs of this database that have ended, by status.'),
    ('foreman_jobs_retried_total', 'counter', 'Attempts that failed, and after which the job is to be tried again.'),
    ('foreman_jobs_released_total', 'counter', 'Jobs that workers gave back.'),
    ('foreman_jobs_rescued_total', 'counter', 'Jobs whose lease expired.'),
    ('foreman_job_wait_seconds', 'histogram', 'From when a job became ready until it was claimed.'),
    ('foreman_job_run_seconds', 'histogram', 'From the last claim of a job until it ended.'),
    ('foreman_calls_total', 'counter', 'Calls of a function, in all databases of the server.'),
    ('foreman_call_seconds_total', 'counter', 'Time that calls of a function took.'),
    ('foreman_call_retries_total', 'counter', 'Attempts of calls after the first.'),
    ('foreman_call_deadlocks_total', 'counter', 'Deadlocks in calls, retried or not.'),
    ('foreman_call_errors_total', 'counter', 'Calls that ended with an error, by its code; of functions that were called.'),
    ('foreman_slow_calls_total', 'counter', 'Calls that took foreman.slow_call_threshold or more, in all databases of the server.'),
    ('foreman_waiting_sessions', 'gauge', 'Sessions that wait for jobs, in all databases of the server.'),
    ('foreman_shared_places_taken', 'gauge', 'Leases and queues that have a place in shared memory, in all databases of the server.'),
    ('foreman_shared_places', 'gauge', 'Places in shared memory: foreman.max_tracked_leases and foreman.max_tracked_queues.'),
    ('foreman_worker_step_runs_total', 'counter', 'How often the background worker took a step of upkeep in this database.'),
    ('foreman_worker_step_errors_total', 'counter', 'How often a step of upkeep failed.'),
    ('foreman_worker_step_seconds_total', 'counter', 'Time that a step of upkeep took.'),
    ('foreman_worker_step_last_run_timestamp_seconds', 'gauge', 'When the background worker took a step of upkeep last; 0 is never.'),
    ('foreman_partitions_ahead', 'gauge', 'Days to come that have a partition for jobs that end.'),
    ('foreman_finished_rest_bytes', 'gauge', 'Size of the table of jobs that ended on a day without partition, which upkeep empties.'),
    ('foreman_check_up', 'gauge', 'Whether a check of health could be made.'),
    ('foreman_check_status', 'gauge', 'What a check of health says: 0 pass, 1 warn, 2 fail; missing where it could not be made.'),
    ('foreman_check_value', 'gauge', 'What a check of health has measured, by unit.'),
    ('foreman_check_seconds', 'gauge', 'How long a check of health took, the last time that it was made.'),
    ('foreman_check_age_seconds', 'gauge', 'How long ago a slow check of health was made.'),
    ('foreman_setting', 'gauge', 'A setting that is a number.'),
    ('foreman_setting_bytes', 'gauge', 'A setting that is a size.'),
    ('foreman_setting_seconds', 'gauge', 'A setting that is a duration; -1 is off, 0 too where it can''t mean anything else.');
COMMENT ON VIEW foreman.metric_families IS 'The metrics that there are, each with its type and what it says.';

-- Bounded: jobs are never counted here (sql/36_figures.sql), and queues beyond the hundredth are one. Those that were
-- made first are told by name, so that a series does not come and go.
CREATE VIEW foreman.metric_samples AS
WITH clock AS MATERIALIZED (
    SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::double precision AS at
), source AS MATERIALIZED (
    SELECT f.live_roll_up, f.ended_roll_up, f.live_as_of, f.as_of,
           foreman.live_take_long(f.live_roll_up) AS live_take_long,
           foreman.ended_take_long(f.ended_roll_up) AS ended_take_long
    FROM foreman.figure_source() AS f
), queue AS MATERIALIZED (
    SELECT q.id,
           q.paused_at IS NOT NULL AS is_paused,
           q.ready_target_seconds AS target,
           -- A queue that somebody has given that name is told with them.
           CASE WHEN pg_catalog.row_number() OVER (ORDER BY q.id) OPERATOR(pg_catalog.<=) 100 THEN q.name ELSE '_other' END
               AS label
    FROM foreman.queue AS q
), live AS MATERIALIZED (
    SELECT k.label,
           pg_catalog.bool_or(k.is_paused) AS is_paused,
           CASE WHEN NOT s.live_take_long THEN COALESCE(pg_catalog.sum(f.pending OPERATOR(pg_catalog.-) f.scheduled), 0) END
               AS ready,
           CASE WHEN NOT s.live_take_long THEN COALESCE(pg_catalog.sum(f.scheduled), 0) END AS scheduled,
           CASE WHEN NOT s.live_take_long THEN COALESCE(pg_catalog.sum(f.running), 0) END AS running,
           CASE WHEN NOT s.live_take_long THEN
               COALESCE(EXTRACT(epoch FROM pg_catalog.min(f.oldest_ready_at))::double precision, 'infinity') END AS oldest,
           -- Those that are told together have none in common.
           CASE WHEN k.label OPERATOR(pg_catalog.<>) '_other' THEN pg_catalog.min(k.target) END AS target
    FROM queue AS k
    CROSS JOIN source AS s
    LEFT JOIN (
        SELECT l.queue_id, l.pending, l.scheduled, l.running, l.oldest_ready_at
        FROM source AS s
        CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS l
        WHERE NOT s.live_take_long
    ) AS f ON f.queue_id OPERATOR(pg_catalog.=) k.id
    GROUP BY k.label, s.live_take_long
), ended AS MATERIALIZED (
    SELECT k.label,
           COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'completed'), 0) AS completed,
           COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'failed'), 0) AS failed,
           COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'cancelled'), 0) AS cancelled
    FROM queue AS k
    JOIN source AS s ON NOT s.ended_take_long
    LEFT JOIN (
        SELECT e.queue_id, e.status, e.jobs
        FROM source AS s
        CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, NULL) AS e
        WHERE NOT s.ended_take_long
    ) AS f ON f.queue_id OPERATOR(pg_catalog.=) k.id
    GROUP BY k.label
), health AS MATERIALIZED (
    SELECT pg_catalog.jsonb_build_object('check', c.name) AS labels, c.status, c.value, c.unit, c.took_ms,
           EXTRACT(epoch FROM c.age)::double precision AS age,
           c.status OPERATOR(pg_catalog.=) ANY (ARRAY['pass', 'warn', 'fail']) AS is_known
    FROM foreman.health_checks AS c
), shared AS MATERIALIZED (
    SELECT foreman.read_metrics() AS reply
), looks AS (
    SELECT k.label, pg_catalog.sum(l.looks_back) AS looks, pg_catalog.sum(l.found) AS found
    FROM shared AS s
    CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(s.reply OPERATOR(pg_catalog.->) 'looks')
        AS l (queue_id integer, looks_back bigint, found bigint)
    JOIN queue AS k ON k.id OPERATOR(pg_catalog.=) l.queue_id
    GROUP BY k.label
), measured (family, suffix, labels, value) AS (
    SELECT r.family, r.suffix,
           CASE WHEN r.family OPERATOR(pg_catalog.=) 'foreman_build_info'
               THEN r.labels OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(
                   'postgresql', pg_catalog.current_setting('server_version_num'))
               ELSE r.labels END,
           r.value
    FROM shared AS s
    CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(s.reply OPERATOR(pg_catalog.->) 'samples')
        AS r (family text, suffix text, labels jsonb, value double precision)
    UNION ALL
    SELECT n.family, NULL, '{}', n.value
    FROM source AS s
    CROSS JOIN LATERAL (
        VALUES ('foreman_in_recovery', pg_catalog.pg_is_in_recovery()::integer::double precision),
               ('foreman_live_figures_timestamp_seconds',
                   CASE WHEN NOT s.live_take_long THEN EXTRACT(epoch FROM s.live_as_of)::double precision END),
               ('foreman_ended_figures_timestamp_seconds',
                   CASE WHEN NOT s.ended_take_long THEN EXTRACT(epoch FROM s.as_of)::double precision END),
               ('foreman_finished_rest_bytes', pg_catalog.pg_relation_size('foreman.finished_rest')::double precision)
    ) AS n (family, value)
    UNION ALL
    SELECT 'foreman_partitions_ahead', NULL, '{}', pg_catalog.count(*)
    FROM foreman.finished_day AS d
    WHERE d.day OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::pg_catalog.date
    UNION ALL
    -- The series of a queue that the next branches tell.
    SELECT 'foreman_metrics_dropped_series', NULL, '{}',
           8 OPERATOR(pg_catalog.*) GREATEST(0, pg_catalog.count(*) OPERATOR(pg_catalog.-) 100)
    FROM queue AS k
    UNION ALL
    SELECT 'foreman_queue_jobs', NULL, pg_catalog.jsonb_build_object('queue', l.label, 'state', n.state), n.jobs
    FROM live AS l
    CROSS JOIN LATERAL (VALUES ('ready', l.ready), ('scheduled', l.scheduled), ('running', l.running)) AS n (state, jobs)
    UNION ALL
    SELECT n.family, NULL, pg_catalog.jsonb_build_object('queue', l.label), n.value
    FROM live AS l
    CROSS JOIN clock AS c
    CROSS JOIN LATERAL (
        VALUES ('foreman_queue_paused', l.is_paused::integer::double precision),
               ('foreman_queue_oldest_ready_age_seconds',
                   CASE WHEN l.oldest IS NOT NULL THEN GREATEST(0, c.at OPERATOR(pg_catalog.-) l.oldest) END),
               ('foreman_queue_ready_target_seconds', l.target)
    ) AS n (family, value)
    UNION ALL
    SELECT 'foreman_queue_ended_jobs', NULL, pg_catalog.jsonb_build_object('queue', e.label, 'status', n.status), n.jobs
    FROM ended AS e
    CROSS JOIN LATERAL (
        VALUES ('completed', e.completed), ('failed', e.failed), ('cancelled', e.cancelled)
    ) AS n (status, jobs)
    UNION ALL
    SELECT n.family, NULL, pg_catalog.jsonb_build_object('queue', l.label), n.value
    FROM looks AS l
    CROSS JOIN LATERAL (
        VALUES ('foreman_queue_floor_looks_total', l.looks), ('foreman_queue_floor_found_total', l.found)
    ) AS n (family, value)
    UNION ALL
    -- One that does not apply here (skipped) is not one that could not be made.
    SELECT 'foreman_check_up', NULL, h.labels, h.is_known::integer
    FROM health AS h
    WHERE h.status OPERATOR(pg_catalog.<>) 'skipped'
    UNION ALL
    SELECT 'foreman_check_status', NULL, h.labels,
           CASE WHEN h.status OPERATOR(pg_catalog.=) 'pass' THEN 0 WHEN h.status OPERATOR(pg_catalog.=) 'warn' THEN 1 ELSE 2 END
    FROM health AS h
    WHERE h.is_known
    UNION ALL
    SELECT 'foreman_check_value', NULL,
           h.labels OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('unit', u.unit),
           h.value OPERATOR(pg_catalog./) u.divisor
    FROM health AS h
    CROSS JOIN LATERAL (
        SELECT CASE WHEN h.unit OPERATOR(pg_catalog.=) 'percent' THEN 'ratio' ELSE h.unit END,
               CASE WHEN h.unit OPERATOR(pg_catalog.=) 'percent' THEN 100 ELSE 1 END
    ) AS u (unit, divisor)
    WHERE h.is_known
    UNION ALL
    SELECT n.family, NULL, h.labels, n.value
    FROM health AS h
    CROSS JOIN LATERAL (
        VALUES ('foreman_check_seconds', h.took_ms OPERATOR(pg_catalog./) 1000), ('foreman_check_age_seconds', h.age)
    ) AS n (family, value)
    WHERE n.value IS NOT NULL
)
SELECT m.family OPERATOR(pg_catalog.||) COALESCE(m.suffix, '') AS name, f.type, f.help, m.labels, m.value
FROM measured AS m
JOIN foreman.metric_families AS f ON f.name OPERATOR(pg_catalog.=) m.family
WHERE m.value IS NOT NULL;
COMMENT ON VIEW foreman.metric_samples IS
    'All metrics as rows; foreman.metrics() has them as text. In a transaction it keeps showing the sessions as at its first look.';

-- As for db_health().
ALTER FUNCTION foreman.metrics(text) SET jit = off;
