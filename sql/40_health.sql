/* sql/40_health.sql: how the server is: a view for each check, its thresholds as data, and all of them as one table */

-- Every view here reads the jobs' tables with its owner's rights, while pg_stat_activity shows and hides by the role
-- that asks, in a view as anywhere: a role without pg_monitor is told that something is hidden, and by db_health(),
-- which runs as the owner, the figures themselves.

CREATE VIEW foreman.health_thresholds (name, warn, fail, unit, direction) AS
VALUES
    ('connections', 75::double precision, 90::double precision, 'percent', 'above'),
    ('idle_in_transaction', 60, 1800, 'seconds', 'above'),
    ('longest_transaction', 900, 14400, 'seconds', 'above'),
    ('blocked_sessions', 60, 120, 'seconds', 'above'),
    -- Jobs in trouble never make the server unhealthy: taking it out of service would not help them.
    ('failed_jobs', 10, NULL, 'percent', 'above'),
    ('oldest_ready_job', 300, NULL, 'seconds', 'above');
COMMENT ON VIEW foreman.health_thresholds IS
    'What each check is measured against: from warn on it warns, beyond fail it fails. No fail: it never does.';

CREATE FUNCTION foreman.health_grade(
    value double precision,
    warn double precision,
    fail double precision,
    direction text
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN 'unknown'
        WHEN CASE WHEN direction OPERATOR(pg_catalog.=) 'below' THEN value OPERATOR(pg_catalog.<) fail
                  ELSE value OPERATOR(pg_catalog.>) fail END THEN 'fail'
        WHEN CASE WHEN direction OPERATOR(pg_catalog.=) 'below' THEN value OPERATOR(pg_catalog.<=) warn
                  ELSE value OPERATOR(pg_catalog.>=) warn END THEN 'warn'
        ELSE 'pass'
    END
$$;
REVOKE ALL ON FUNCTION foreman.health_grade(double precision, double precision, double precision, text) FROM PUBLIC;
COMMENT ON FUNCTION foreman.health_grade(double precision, double precision, double precision, text) IS
    'The status of a value: exactly at warn it warns, exactly at fail it still only warns.';

-- One row a client session. The remedy names the transaction, not only the process: a pooled session serves somebody
-- else a moment later, and a pid is given out again.
CREATE VIEW foreman.client_sessions AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at
)
SELECT a.pid,
       a.backend_start,
       a.datname AS database,
       a.usename AS role,
       a.application_name AS application,
       a.state,
       a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AS is_own,
       a.backend_type IS NOT NULL AS is_visible,
       -- Not before the start, should the clock be set back; GREATEST alone would make 0 of NULL.
       CASE WHEN a.xact_start IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.xact_start)::double precision)
       END AS transaction_seconds,
       CASE WHEN a.state_change IS NOT NULL THEN
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) a.state_change)::double precision)
       END AS state_seconds,
       CASE
           WHEN a.backend_type IS NULL
               THEN pg_catalog.format('role %I may not see the sessions of other roles', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'a session runs with track_activities off'
       END AS hidden_because,
       CASE
           WHEN a.backend_type IS NULL THEN pg_catalog.format('GRANT pg_monitor TO %I;', CURRENT_USER)
           WHEN a.state OPERATOR(pg_catalog.=) 'disabled' THEN 'ALTER SYSTEM SET track_activities = on;'
       END AS reveal,
       CASE
           WHEN a.backend_type IS NULL THEN NULL
           WHEN a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() THEN 'COMMIT;'
           ELSE pg_catalog.format(
               'SELECT %s(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %L%s;',
               CASE
                   WHEN a.state OPERATOR(pg_catalog.=) 'active' THEN 'pg_cancel_backend'
                   ELSE 'pg_terminate_backend'
               END,
               a.pid,
               pg_catalog.to_jsonb(a.backend_start) OPERATOR(pg_catalog.#>>) '{}',
               CASE
                   WHEN a.xact_start IS NULL THEN ''
                   ELSE pg_catalog.format(
                       ' AND xact_start = %L', pg_catalog.to_jsonb(a.xact_start) OPERATOR(pg_catalog.#>>) '{}')
               END)
       END AS remedy
FROM pg_catalog.pg_stat_activity AS a
CROSS JOIN clock AS c
WHERE a.backend_type OPERATOR(pg_catalog.=) 'client backend'
   OR (a.backend_type IS NULL AND a.usesysid IS NOT NULL AND a.datid IS NOT NULL);
COMMENT ON VIEW foreman.client_sessions IS
    'The client sessions, with ages in seconds and the statement that ends what each does. Never a query''s text.';

-- The pool is the server's own slots: those that an ordinary role can get are its size, and whoever exceeds them sits
-- in a reserved one. reserved_connections is there from 16 on.
CREATE VIEW foreman.connection_pool AS
WITH slots AS (
    SELECT pg_catalog.current_setting('max_connections')::bigint
               OPERATOR(pg_catalog.-) pg_catalog.current_setting('superuser_reserved_connections')::bigint
               OPERATOR(pg_catalog.-) COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::bigint
               AS size
), taken AS (
    SELECT pg_catalog.count(*) FILTER (WHERE s.is_visible) AS used,
           pg_catalog.min(s.hidden_because) FILTER (WHERE NOT s.is_visible) AS hidden_because,
           pg_catalog.min(s.reveal) FILTER (WHERE NOT s.is_visible) AS reveal
    FROM foreman.client_sessions AS s
)
SELECT s.size,
       GREATEST(0, s.size OPERATOR(pg_catalog.-) t.used) AS checked_in,
       t.used AS checked_out,
       GREATEST(0, t.used OPERATOR(pg_catalog.-) s.size) AS overflow,
       100.0::double precision OPERATOR(pg_catalog.*) t.used OPERATOR(pg_catalog./) s.size AS utilization_percent,
       t.hidden_because,
       t.reveal
FROM slots AS s
CROSS JOIN taken AS t;
COMMENT ON VIEW foreman.connection_pool IS
    'The server''s connection slots as a pool. Where hidden_because is not NULL, checked_out is only what the role may see.';

CREATE VIEW foreman.connection_health AS
SELECT s.database,
       s.role,
       s.application,
       s.state,
       pg_catalog.count(*) AS sessions,
       pg_catalog.round(pg_catalog.max(s.state_seconds)::numeric, 3)::double precision AS oldest_seconds
FROM foreman.client_sessions AS s
GROUP BY s.database, s.role, s.application, s.state;
COMMENT ON VIEW foreman.connection_health IS
    'Client sessions by database, role, application and state, and for how long the oldest is in it. A state of NULL is hidden from this role (GRANT pg_monitor), or still starting.';

-- A check is a view of one row: what was measured (of what the role may see), what that means here, what to do if it is
-- too much, whom it is about, and the reason where something is hidden, with the statement that reveals it.

CREATE VIEW foreman.check_connections AS
SELECT p.utilization_percent AS value,
       pg_catalog.format('In use: %s of the %s connections that ordinary roles can have.', p.checked_out, p.size)
           AS meaning,
       'See who holds them in foreman.connection_health. End idle sessions, or put a pooler before the server.'
           AS remedy,
       pg_catalog.jsonb_build_object('size', p.size, 'checked_out', p.checked_out, 'overflow', p.overflow) AS subjects,
       p.hidden_because AS reason,
       p.reveal
FROM foreman.connection_pool AS p;
COMMENT ON VIEW foreman.check_connections IS 'How much of the server''s connection slots is in use.';

CREATE VIEW foreman.check_idle_in_transaction AS
WITH other AS MATERIALIZED (
    SELECT s.pid, s.backend_start, s.database, s.role, s.application, s.state, s.state_seconds, s.hidden_because,
           s.reveal, s.remedy,
           s.state OPERATOR(pg_catalog.=) ANY (ARRAY['idle in transaction', 'idle in transaction (aborted)']) AS is_idle
    FROM foreman.client_sessions AS s
    WHERE NOT s.is_own
), total AS (
    SELECT pg_catalog.count(*) FILTER (WHERE o.is_idle) AS sessions,
           pg_catalog.min(o.hidden_because) AS reason,
           pg_catalog.min(o.reveal) AS reveal
    FROM other AS o
), oldest AS (
    SELECT o.pid, o.backend_start, o.database, o.role, o.application, o.state,
           pg_catalog.round(o.state_seconds::numeric, 3) AS seconds, o.remedy
    FROM other AS o
    WHERE o.is_idle
    ORDER BY o.state_seconds DESC, o.pid
    LIMIT 10
), worst AS (
    SELECT o.pid, o.application, o.seconds, o.remedy
    FROM oldest AS o
    ORDER BY o.seconds DESC, o.pid
    LIMIT 1
)
SELECT COALESCE(w.seconds, 0)::double precision AS value,
       CASE
           WHEN w.pid IS NULL THEN 'No session idles in a transaction.'
           ELSE pg_catalog.format(
               'Sessions that idle in a transaction: %s. The longest is pid %s (application %L), for %s s. It keeps its locks, and VACUUM from removing dead rows.',
               t.sessions, w.pid, w.application, pg_catalog.round(w.seconds, 1))
       END AS meaning,
       w.remedy,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(o) OPERATOR(pg_catalog.-) 'remedy'
                   ORDER BY o.seconds DESC, o.pid) FROM oldest AS o) AS subjects,
       t.reason,
       t.reveal
FROM total AS t
LEFT JOIN worst AS w ON true;
COMMENT ON VIEW foreman.check_idle_in_transaction IS
    'For how long other sessions have been idle in an open transaction.';

CREATE VIEW foreman.check_longest_transaction AS
WITH other AS MATERIALIZED (
    SELECT s.pid, s.backend_start, s.database, s.role, s.application, s.state, s.transaction_seconds,
           s.hidden_because, s.reveal, s.remedy
    FROM foreman.client_sessions AS s
    WHERE NOT s.is_own
), total AS (
    SELECT pg_catalog.count(o.transaction_seconds) AS sessions,
           pg_catalog.min(o.hidden_because) AS reason,
           pg_catalog.min(o.reveal) AS reveal
    FROM other AS o
), oldest AS (
    SELECT o.pid, o.backend_start, o.database, o.role, o.application, o.state,
           pg_catalog.round(o.transaction_seconds::numeric, 3) AS seconds, o.remedy
    FROM other AS o
    WHERE o.transaction_seconds IS NOT NULL
    ORDER BY o.transaction_seconds DESC, o.pid
    LIMIT 10
), worst AS (
    SELECT o.pid, o.application, o.state, o.seconds, o.remedy
    FROM oldest AS o
    ORDER BY o.seconds DESC, o.pid
    LIMIT 1
)
SELECT COALESCE(w.seconds, 0)::double precision AS value,
       CASE
           WHEN w.pid IS NULL THEN 'No other session has a transaction open.'
           ELSE pg_catalog.format(
               'Other sessions with a transaction open: %s. The longest is pid %s (application %L, %s), for %s s. Rows that died since then can''t be removed.',
               t.sessions, w.pid, w.application, w.state, pg_catalog.round(w.seconds, 1))
       END AS meaning,
       w.remedy,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(o) OPERATOR(pg_catalog.-) 'remedy'
                   ORDER BY o.seconds DESC, o.pid) FROM oldest AS o) AS subjects,
       t.reason,
       t.reveal
FROM total AS t
LEFT JOIN worst AS w ON true;
COMMENT ON VIEW foreman.check_longest_transaction IS 'The age of the oldest transaction of another client session.';

-- The lock table is open to every role. pg_blocking_pids takes exclusive hold of it for a moment, so it is asked only
-- for sessions that wait, and for at most 200 of them. It also names who merely queues before: 130 waiters on one row
-- have 8,386 pairs and a single root, so what is told is the roots, those that block and do not wait themselves.
CREATE VIEW foreman.check_blocked_sessions AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at
), waiting AS MATERIALIZED (
    SELECT l.pid,
           -- waitstart is NULL for the first moment, which GREATEST makes 0.
           GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) l.waitstart)::double precision) AS seconds
    FROM pg_catalog.pg_locks AS l
    CROSS JOIN clock AS c
    WHERE NOT l.granted
      AND l.pid IS NOT NULL
), looked_at AS MATERIALIZED (
    SELECT w.pid, w.seconds
    FROM waiting AS w
    ORDER BY w.seconds DESC, w.pid
    LIMIT 200
), blocker AS MATERIALIZED (
    SELECT b.pid, pg_catalog.count(DISTINCT w.pid) AS blocks
    FROM looked_at AS w
    CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b (pid)
    GROUP BY b.pid
), root AS MATERIALIZED (
    SELECT b.pid, b.blocks, s.backend_start, s.database, s.role, s.application, s.state,
           pg_catalog.round(s.transaction_seconds::numeric, 3) AS transaction_seconds,
           CASE
               -- How the server names a prepared transaction
               WHEN b.pid OPERATOR(pg_catalog.=) 0
                   THEN 'SELECT gid, prepared, owner, database FROM pg_prepared_xacts ORDER BY prepared; -- then COMMIT PREPARED or ROLLBACK PREPARED'
               ELSE s.remedy
           END AS remedy
    FROM blocker AS b
    LEFT JOIN foreman.client_sessions AS s ON s.pid OPERATOR(pg_catalog.=) b.pid
    WHERE NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.pid OPERATOR(pg_catalog.=) b.pid)
    ORDER BY b.blocks DESC, b.pid
    LIMIT 10
), total AS (
    SELECT pg_catalog.count(*) AS sessions, pg_catalog.max(w.seconds) AS seconds
    FROM waiting AS w
), worst AS (
    SELECT r.pid, r.application, r.state, r.remedy
    FROM root AS r
    ORDER BY r.blocks DESC, r.pid
    LIMIT 1
)
SELECT COALESCE(t.seconds, 0) AS value,
       CASE
           WHEN t.sessions OPERATOR(pg_catalog.=) 0 THEN 'No session waits for a lock.'
           ELSE pg_catalog.format('Sessions that wait for a lock: %s, the longest for %s s. ',
                    t.sessions, pg_catalog.round(t.seconds::numeric, 1))
                OPERATOR(pg_catalog.||) CASE
                    WHEN w.pid IS NULL THEN 'They wait for each other, or the lock has just been freed.'
                    WHEN w.pid OPERATOR(pg_catalog.=) 0 THEN 'At the root is a prepared transaction.'
                    ELSE pg_catalog.format('At the root is pid %s%s.', w.pid,
                        CASE
                            WHEN w.state IS NULL THEN ''
                            ELSE pg_catalog.format(' (application %L, %s)', w.application, w.state)
                        END)
                END
       END AS meaning,
       w.remedy,
       CASE WHEN t.sessions OPERATOR(pg_catalog.>) 0 THEN pg_catalog.jsonb_build_object(
           'waiting', t.sessions,
           'longest_waits', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                        'pid', l.pid,
                                        'seconds', pg_catalog.round(l.seconds::numeric, 3),
                                        'blocked_by', pg_catalog.to_jsonb(pg_catalog.pg_blocking_pids(l.pid)))
                                    ORDER BY l.seconds DESC, l.pid)
                             FROM (SELECT k.pid, k.seconds FROM looked_at AS k ORDER BY k.seconds DESC, k.pid LIMIT 10)
                                 AS l),
           'roots', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.blocks DESC, r.pid) FROM root AS r),
           'truncated', t.sessions OPERATOR(pg_catalog.>) 200) END AS subjects,
       NULL::pg_catalog.text AS reason,
       NULL::pg_catalog.text AS reveal
FROM total AS t
LEFT JOIN worst AS w ON true;
COMMENT ON VIEW foreman.check_blocked_sessions IS
    'For how long sessions have been waiting for locks, and who is at the root: blocks others and does not wait.';

CREATE VIEW foreman.check_failed_jobs AS
WITH ended AS MATERIALIZED (
    SELECT f.queue_id,
           COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'failed'), 0)::bigint AS failed,
           COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'completed'), 0)::bigint
               AS completed
    FROM foreman.figure_source() AS s
    CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, foreman.figures_since(
        pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-) interval '1 hour', s.ended_roll_up)) AS f
    GROUP BY f.queue_id
), by_queue AS MATERIALIZED (
    SELECT q.name AS queue, e.failed
    FROM ended AS e
    JOIN foreman.queue AS q ON q.id OPERATOR(pg_catalog.=) e.queue_id
    WHERE e.failed OPERATOR(pg_catalog.>) 0
), counted AS MATERIALIZED (
    SELECT COALESCE(pg_catalog.sum(e.failed), 0)::bigint AS failed,
           COALESCE(pg_catalog.sum(e.completed), 0)::bigint AS completed
    FROM ended AS e
)
SELECT COALESCE(
           100.0::double precision OPERATOR(pg_catalog.*) c.failed
               OPERATOR(pg_catalog./) GREATEST(20, c.failed OPERATOR(pg_catalog.+) c.completed), 0) AS value,
       CASE
           WHEN c.failed OPERATOR(pg_catalog.=) 0 THEN 'No job has failed for good in the last hour.'
           ELSE pg_catalog.format(
               'Jobs of the last hour: %s failed for good, %s completed. The share is taken of at least 20 jobs, so that one failure of two is no alarm.',
               c.failed, c.completed)
       END AS meaning,
       'SELECT jsonb_pretty(foreman.list_jobs(status => ''failed''));' AS remedy,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(b) ORDER BY b.failed DESC, b.queue)
        FROM (SELECT k.queue, k.failed FROM by_queue AS k ORDER BY k.failed DESC, k.queue LIMIT 20) AS b) AS subjects,
       NULL::pg_catalog.text AS reason,
       NULL::pg_catalog.text AS reveal
FROM counted AS c;
COMMENT ON VIEW foreman.check_failed_jobs IS 'The share of failed jobs among those that ended within the last hour.';

CREATE VIEW foreman.check_oldest_ready_job AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at
), first AS MATERIALIZED (
    SELECT q.name AS queue, f.oldest_ready_at AS ready_at
    FROM foreman.figure_source() AS s
    CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
    JOIN foreman.queue AS q ON q.id OPERATOR(pg_catalog.=) f.queue_id
), oldest AS MATERIALIZED (
    SELECT f.queue, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) f.ready_at)::double precision AS seconds
    FROM first AS f
    CROSS JOIN clock AS c
    WHERE f.ready_at OPERATOR(pg_catalog.<=) c.at
), worst AS (
    SELECT o.queue, o.seconds
    FROM oldest AS o
    ORDER BY o.seconds DESC, o.queue
    LIMIT 1
)
SELECT COALESCE(w.seconds, 0) AS value,
       CASE
           WHEN w.queue IS NULL THEN 'No job is ready and waiting.'
           ELSE pg_catalog.format('The oldest ready job has been waiting for %s s, in queue %L.',
               pg_catalog.round(w.seconds::numeric, 1), w.queue)
       END AS meaning,
       'Start workers for that queue, or more of them.' AS remedy,
       (SELECT pg_catalog.jsonb_agg(
                   pg_catalog.jsonb_build_object('queue', o.queue, 'seconds', pg_catalog.round(o.seconds::numeric, 3))
                   ORDER BY o.seconds DESC, o.queue)
        FROM (SELECT k.queue, k.seconds FROM oldest AS k ORDER BY k.seconds DESC, k.queue LIMIT 20) AS o) AS subjects,
       NULL::pg_catalog.text AS reason,
       NULL::pg_catalog.text AS reveal
FROM clock AS c
LEFT JOIN worst AS w ON true;
COMMENT ON VIEW foreman.check_oldest_ready_job IS
    'For how long the oldest ready job of each queue has been waiting; subjects has the 20 queues that wait longest.';

-- What is visible can be bad enough already; only what looks well is in doubt where something is hidden.
CREATE VIEW foreman.health_checks AS
WITH measured (name, value, meaning, remedy, subjects, reason, reveal) AS (
    SELECT 'connections', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_connections AS c
    UNION ALL
    SELECT 'idle_in_transaction', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_idle_in_transaction AS c
    UNION ALL
    SELECT 'longest_transaction', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_longest_transaction AS c
    UNION ALL
    SELECT 'blocked_sessions', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_blocked_sessions AS c
    UNION ALL
    SELECT 'failed_jobs', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_failed_jobs AS c
    UNION ALL
    SELECT 'oldest_ready_job', c.value, c.meaning, c.remedy, c.subjects, c.reason, c.reveal
    FROM foreman.check_oldest_ready_job AS c
), graded AS (
    SELECT m.name, m.value, t.unit, t.warn, t.fail, m.meaning, m.remedy, m.subjects, m.reason, m.reveal,
           CASE
               WHEN g.grade OPERATOR(pg_catalog.=) 'pass' AND m.reason IS NOT NULL THEN 'unknown'
               ELSE g.grade
           END AS status
    FROM measured AS m
    JOIN foreman.health_thresholds AS t ON t.name OPERATOR(pg_catalog.=) m.name
    CROSS JOIN LATERAL (SELECT foreman.health_grade(m.value, t.warn, t.fail, t.direction) AS grade) AS g
)
SELECT g.name,
       g.status,
       CASE WHEN g.status OPERATOR(pg_catalog.<>) 'unknown' THEN
           pg_catalog.round(g.value::numeric, 2)::double precision END AS value,
       g.unit,
       g.warn AS warn_threshold,
       g.fail AS fail_threshold,
       CASE WHEN g.status OPERATOR(pg_catalog.<>) 'unknown' THEN g.meaning END AS meaning,
       CASE WHEN g.status OPERATOR(pg_catalog.=) 'unknown' THEN g.reveal
            WHEN g.status OPERATOR(pg_catalog.<>) 'pass' THEN g.remedy END AS remedy,
       g.reason,
       CASE WHEN g.status OPERATOR(pg_catalog.<>) 'unknown' THEN g.subjects END AS subjects
FROM graded AS g;
COMMENT ON VIEW foreman.health_checks IS
    'A row a check: status (pass, warn, fail, unknown), value, thresholds, what it means, what to do. In a transaction it keeps showing the sessions as at its first look; db_health() looks anew.';

-- Compiling the statement would take 400 ms, running it takes 2: the planner counts on a thousand queues where it has
-- no statistics yet, which is enough for it to think of JIT.
ALTER FUNCTION foreman.db_health() SET jit = off;
-- Nor are other processes asked to help: a probe would take them from somebody's query, and wait for their start.
ALTER FUNCTION foreman.db_health() SET max_parallel_workers_per_gather = 0;
