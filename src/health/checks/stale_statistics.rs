//! Tables whose statistics no longer tell the planner what is in them.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "stale_statistics",
    unit: "times the trigger",
    direction: Direction::Above,
    warn: Some(2.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "Of the tables that autovacuum has owed an ANALYZE for three of its naptimes, the one with the most changed \
             rows, as a multiple of what autovacuum waits for in it. Tables with fewer than 10,000 changed rows are left \
             out, and those that autovacuum is told to leave alone.",
    advice: "ANALYZE the table by the remedy; the meaning says what keeps autovacuum from it. Until then plans are made \
             for a table that is no more.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH moment AS MATERIALIZED (
          SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::double precision AS at,
                 3::double precision OPERATOR(pg_catalog.*)
                     EXTRACT(epoch FROM pg_catalog.current_setting('autovacuum_naptime')::interval)::double precision AS patience
      ), hindrance AS MATERIALIZED (
          SELECT h.id, h.kind, h.culprit, h.why FROM foreman.vacuum_hindrances AS h
          WHERE h.kind OPERATOR(pg_catalog.<>) 'horizon'
      ), late AS MATERIALIZED (
          SELECT t.id, t.table_name, t.changed_rows, t.analyze_trigger, t.analyzed_at,
                 t.changed_rows OPERATOR(pg_catalog./) GREATEST(1, t.analyze_trigger) AS exact_times,
                 COALESCE(($1 OPERATOR(pg_catalog.->>) t.id::text)::double precision, m.at) AS since
          FROM foreman.table_upkeep AS t
          CROSS JOIN moment AS m
          WHERE t.is_on
            AND NOT t.is_toast
            AND t.changed_rows OPERATOR(pg_catalog.>=) 10000
            AND t.changed_rows OPERATOR(pg_catalog.>) t.analyze_trigger
      ), hindered AS MATERIALIZED (
          SELECT l.table_name, l.changed_rows, pg_catalog.round(l.analyze_trigger) AS trigger,
                 pg_catalog.round(l.exact_times::numeric, 1) AS times, l.analyzed_at, h.culprit,
                 h.why
          FROM late AS l
          CROSS JOIN moment AS m
          LEFT JOIN LATERAL (
              SELECT h.culprit, h.why
              FROM hindrance AS h
              WHERE h.id IS NULL OR h.id OPERATOR(pg_catalog.=) l.id
              ORDER BY pg_catalog.array_position(ARRAY['off', 'locked', 'starved'], h.kind)
              LIMIT 1
          ) AS h ON true
          WHERE (m.at OPERATOR(pg_catalog.-) l.since) OPERATOR(pg_catalog.>=) m.patience
          ORDER BY l.exact_times DESC, l.table_name
          LIMIT 20
      ), worst AS (
          SELECT h.table_name, h.changed_rows, h.trigger, h.times, h.analyzed_at, h.culprit, h.why
          FROM hindered AS h
          ORDER BY h.times DESC, h.table_name
          LIMIT 1
      )
      SELECT COALESCE(w.times, 0)::double precision AS value,
             CASE
                 WHEN w.table_name IS NULL THEN 'Statistics of all tables are fresh.'
                 ELSE pg_catalog.format('%s rows of %s have changed since its last ANALYZE, %s times what autovacuum waits for (%s)%s.',
                     w.changed_rows, w.table_name, w.times, w.trigger, ': ' OPERATOR(pg_catalog.||) w.why)
             END AS meaning,
             pg_catalog.format('ANALYZE %s; -- keeps nobody waiting; takes the table''s owner', w.table_name) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(h) ORDER BY h.times DESC, h.table_name) FROM hindered AS h)
                 AS subjects,
             NULL::text AS reason,
             NULL::text AS reveal,
             w.culprit,
             (SELECT pg_catalog.jsonb_object_agg(l.id::text, l.since) FROM late AS l) AS memory
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
