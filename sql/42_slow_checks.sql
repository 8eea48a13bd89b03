/* sql/42_slow_checks.sql: what slow checks keep, and what more than one of them reads */

CREATE TABLE foreman.slow_finding (
    name text COLLATE "C" NOT NULL CONSTRAINT slow_finding_name_is_unique PRIMARY KEY,
    measured_at timestamptz NOT NULL,
    took_ms double precision NOT NULL,
    value double precision,
    meaning text,
    remedy text,
    subjects jsonb,
    reason text,
    reveal text,
    culprit text,
    memory jsonb
);
COMMENT ON TABLE foreman.slow_finding IS
    'What slow checks of health found last, written by the background worker or foreman.refresh_health(). memory is what a check wants to know the next time.';

-- Sizes are asked by what the catalog says (relpages), since the true size of a table that somebody has locked can't be had
-- without waiting for him. A table's own options override the settings; 18 has a setting that bounds the share.
CREATE VIEW foreman.table_upkeep AS
WITH setting AS MATERIALIZED (
    SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::double precision AS vacuum_base,
           pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::double precision AS vacuum_share,
           pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true)::double precision AS vacuum_most,
           pg_catalog.current_setting('autovacuum_analyze_threshold')::double precision AS analyze_base,
           pg_catalog.current_setting('autovacuum_analyze_scale_factor')::double precision AS analyze_share
), counted AS MATERIALIZED (
    SELECT c.oid, c.relnamespace, c.relname, c.relkind, c.reloptions, c.relpages,
           GREATEST(0, c.reltuples)::double precision AS row_count,
           pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead_rows,
           pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS changed_rows
    FROM pg_catalog.pg_class AS c
    WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'm', 't']::pg_catalog."char"[])
      AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
)
SELECT c.oid AS id,
       pg_catalog.format('%I.%I', n.nspname, c.relname) AS table_name,
       c.relkind OPERATOR(pg_catalog.=) 't' AS is_toast,
       c.row_count,
       c.relpages::bigint OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint AS bytes,
       c.dead_rows,
       -- NULL and -1 don't bound.
       LEAST(COALESCE(o.vacuum_base, s.vacuum_base)
                 OPERATOR(pg_catalog.+) (COALESCE(o.vacuum_share, s.vacuum_share) OPERATOR(pg_catalog.*) c.row_count),
             CASE WHEN COALESCE(o.vacuum_most, s.vacuum_most) OPERATOR(pg_catalog.>=) 0
                 THEN COALESCE(o.vacuum_most, s.vacuum_most) END) AS vacuum_trigger,
       c.changed_rows,
       COALESCE(o.analyze_base, s.analyze_base)
           OPERATOR(pg_catalog.+) (COALESCE(o.analyze_share, s.analyze_share) OPERATOR(pg_catalog.*) c.row_count)
           AS analyze_trigger,
       COALESCE(o.is_on, true) AS is_on,
       GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(c.oid), pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))
           AS vacuumed_at,
       GREATEST(pg_catalog.pg_stat_get_last_analyze_time(c.oid), pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))
           AS analyzed_at
FROM counted AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
CROSS JOIN setting AS s
LEFT JOIN LATERAL (
    SELECT pg_catalog.bool_and(p.option_value::boolean)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_enabled') AS is_on,
           pg_catalog.max(p.option_value::double precision)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_vacuum_threshold') AS vacuum_base,
           pg_catalog.max(p.option_value::double precision)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_vacuum_scale_factor') AS vacuum_share,
           pg_catalog.max(p.option_value::double precision)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_vacuum_max_threshold') AS vacuum_most,
           pg_catalog.max(p.option_value::double precision)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_analyze_threshold') AS analyze_base,
           pg_catalog.max(p.option_value::double precision)
               FILTER (WHERE p.option_name OPERATOR(pg_catalog.=) 'autovacuum_analyze_scale_factor') AS analyze_share
    FROM pg_catalog.pg_options_to_table(c.reloptions) AS p
) AS o ON true
WHERE c.dead_rows OPERATOR(pg_catalog.>) 0 OR c.changed_rows OPERATOR(pg_catalog.>) 0;
COMMENT ON VIEW foreman.table_upkeep IS
    'Tables of this database that have dead or changed rows, with how many of them autovacuum waits for in each.';

-- What keeps autovacuum from its work: why, whom to blame, and what ends it. At most one row for the whole database (id is
-- NULL), and one for each table that somebody has locked.
CREATE VIEW foreman.vacuum_hindrances AS
WITH holder AS (
    SELECT h.holder, h.application, h.remedy, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) h.open_for AS since
    FROM foreman.horizon_holders AS h
    WHERE NOT h.is_echo
      AND h.affects OPERATOR(pg_catalog.=) ANY (ARRAY['all databases', pg_catalog.current_database()::pg_catalog.text])
    ORDER BY h.transactions DESC, h.open_for DESC NULLS LAST, h.holder
    LIMIT 1
), worker AS (
    SELECT pg_catalog.count(*) AS busy
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_type OPERATOR(pg_catalog.=) 'autovacuum worker'
)
SELECT NULL::pg_catalog.oid AS id, 'off' AS kind, 'setting autovacuum' AS culprit, NULL::pg_catalog.timestamptz AS since,
       'autovacuum is off' AS why,
       'ALTER SYSTEM SET autovacuum = on; -- then SELECT pg_reload_conf();' AS remedy
WHERE pg_catalog.current_setting('autovacuum') OPERATOR(pg_catalog.=) 'off'
UNION ALL
SELECT NULL, 'starved', 'the autovacuum workers', NULL,
       pg_catalog.format('all %s autovacuum workers are busy with other tables', w.busy),
       'ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 2000; -- then SELECT pg_reload_conf(); or more autovacuum_max_workers, which before 18 takes a restart'
FROM worker AS w
WHERE w.busy OPERATOR(pg_catalog.>=) pg_catalog.current_setting('autovacuum_max_workers')::bigint
UNION ALL
SELECT NULL, 'horizon', h.holder, h.since,
       pg_catalog.format('%s%s keeps them from being removed', h.holder,
           CASE WHEN h.application OPERATOR(pg_catalog.<>) '' THEN pg_catalog.format(' (application %L)', h.application) ELSE '' END),
       h.remedy
FROM holder AS h
UNION ALL
SELECT l.relation, 'locked', pg_catalog.format('pid %s', pg_catalog.min(l.pid)), NULL,
       pg_catalog.format('pid %s has it locked, so that autovacuum passes over it', pg_catalog.min(l.pid)),
       pg_catalog.min(s.remedy)
FROM pg_catalog.pg_locks AS l
JOIN foreman.client_sessions AS s ON s.pid OPERATOR(pg_catalog.=) l.pid
WHERE l.locktype OPERATOR(pg_catalog.=) 'relation'
  AND l.database OPERATOR(pg_catalog.=) (
      SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
  AND l.granted
  AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY[
      'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'])
  AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid OPERATOR(pg_catalog.=) l.pid)
GROUP BY l.relation;
COMMENT ON VIEW foreman.vacuum_hindrances IS
    'What may keep autovacuum from its work in this database now: autovacuum off, no worker free, somebody who holds the horizon, a lock on a table.';

-- What enforces nothing and was not used since statistics were reset or the server started.
CREATE VIEW foreman.unused_indexes AS
SELECT pg_catalog.format('%I.%I', n.nspname, i.relname) AS index_name,
       pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name,
       i.relpages::bigint OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint AS bytes
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) i.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) x.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid OPERATOR(pg_catalog.=) t.relnamespace
WHERE i.relkind OPERATOR(pg_catalog.=) 'i'
  AND i.relpages OPERATOR(pg_catalog.>=) (10485760 OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::integer)
  AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog', 'pg_toast', 'foreman']::pg_catalog.name[])
  AND x.indisvalid
  AND NOT x.indisunique
  AND NOT x.indisexclusion
  AND NOT x.indisreplident
  AND pg_catalog.pg_stat_get_numscans(i.oid) OPERATOR(pg_catalog.=) 0;
COMMENT ON VIEW foreman.unused_indexes IS
    'Indexes of 10 MB and more that enforce nothing and that no query of this server has used since its statistics were reset or it was started; standbys count for themselves.';

-- As for db_health(): the planner takes five thousand tables for enough to compile.
ALTER FUNCTION foreman.refresh_health(text) SET jit = off;
ALTER FUNCTION foreman.refresh_health(text) SET max_parallel_workers_per_gather = 0;
