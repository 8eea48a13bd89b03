//! Tables that VACUUM does not come to, or can do nothing for.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "dead_rows",
    unit: "times the trigger",
    direction: Direction::Above,
    warn: Some(2.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "Of the tables that autovacuum has owed a VACUUM for three of its naptimes, the one with the most dead rows, \
             as a multiple of what autovacuum waits for in it (its trigger). Tables with fewer than 10,000 dead rows are \
             left out.",
    advice: "The meaning says what keeps VACUUM from its work: a holder of the horizon, a lock on the table, workers that \
             are busy elsewhere, or autovacuum that is off. End that by the remedy; VACUUM of the table itself only helps \
             where nothing of this is in the way.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH moment AS MATERIALIZED (
          SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::double precision AS at,
                 3::double precision OPERATOR(pg_catalog.*)
                     EXTRACT(epoch FROM pg_catalog.current_setting('autovacuum_naptime')::interval)::double precision AS patience
      ), hindrance AS MATERIALIZED (
          SELECT h.id, h.kind, h.culprit, h.since, h.why, h.remedy FROM foreman.vacuum_hindrances AS h
      ), late AS MATERIALIZED (
          SELECT t.id, t.table_name, t.dead_rows, t.vacuum_trigger, t.vacuumed_at,
                 t.dead_rows OPERATOR(pg_catalog./) GREATEST(1, t.vacuum_trigger) AS exact_times,
                 COALESCE(($1 OPERATOR(pg_catalog.->>) t.id::text)::double precision, m.at) AS since
          FROM foreman.table_upkeep AS t
          CROSS JOIN moment AS m
          WHERE t.is_on
            AND t.dead_rows OPERATOR(pg_catalog.>=) 10000
            AND t.dead_rows OPERATOR(pg_catalog.>) t.vacuum_trigger
      ), hindered AS MATERIALIZED (
          SELECT l.table_name, l.dead_rows, pg_catalog.round(l.vacuum_trigger) AS trigger,
                 pg_catalog.round(l.exact_times::numeric, 1) AS times, l.vacuumed_at, h.culprit,
                 h.why, h.remedy
          FROM late AS l
          CROSS JOIN moment AS m
          LEFT JOIN LATERAL (
              SELECT h.culprit, h.why, h.remedy
              FROM hindrance AS h
              WHERE (h.id IS NULL OR h.id OPERATOR(pg_catalog.=) l.id)
                -- It is to blame where a VACUUM has come since, and could do nothing.
                AND (h.kind OPERATOR(pg_catalog.<>) 'horizon'
                     OR l.vacuumed_at OPERATOR(pg_catalog.>) COALESCE(h.since, '-infinity'::timestamptz))
              ORDER BY pg_catalog.array_position(ARRAY['off', 'locked', 'horizon', 'starved'], h.kind)
              LIMIT 1
          ) AS h ON true
          WHERE (m.at OPERATOR(pg_catalog.-) l.since) OPERATOR(pg_catalog.>=) m.patience
            AND (h.why IS NOT NULL OR NOT EXISTS (
                SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v
                WHERE v.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND v.relid OPERATOR(pg_catalog.=) l.id))
          ORDER BY l.exact_times DESC, l.table_name
          LIMIT 20
      ), worst AS (
          SELECT h.table_name, h.dead_rows, h.trigger, h.times, h.vacuumed_at, h.culprit, h.why, h.remedy
          FROM hindered AS h
          ORDER BY h.times DESC, h.table_name
          LIMIT 1
      )
      SELECT COALESCE(w.times, 0)::double precision AS value,
             CASE
                 WHEN w.table_name IS NULL THEN 'Autovacuum keeps up with all tables.'
                 ELSE pg_catalog.format('%s has %s dead rows, %s times what autovacuum waits for (%s): %s.%s',
                     w.table_name, w.dead_rows, w.times, w.trigger,
                     COALESCE(w.why, CASE
                         WHEN w.vacuumed_at IS NULL THEN 'it was never vacuumed'
                         ELSE pg_catalog.format('it was vacuumed last at %s',
                             pg_catalog.to_jsonb(pg_catalog.date_trunc('second', w.vacuumed_at)) OPERATOR(pg_catalog.#>>) '{}')
                     END),
                     (SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.>) 1
                              THEN pg_catalog.format(' So have %s others.', pg_catalog.count(*) OPERATOR(pg_catalog.-) 1) END
                      FROM hindered AS h))
             END AS meaning,
             COALESCE(w.remedy, pg_catalog.format('VACUUM %s; -- keeps nobody waiting; takes the table''s owner', w.table_name))
                 AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(h) OPERATOR(pg_catalog.-) 'remedy'
                         ORDER BY h.times DESC, h.table_name) FROM hindered AS h) AS subjects,
             NULL::text AS reason,
             NULL::text AS reveal,
             w.culprit,
             (SELECT pg_catalog.jsonb_object_agg(l.id::text, l.since) FROM late AS l) AS memory
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
