//! Tables that autovacuum is told to leave alone, and that need it.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "autovacuum_off",
    unit: "tables",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many tables have autovacuum switched off (autovacuum_enabled) and more dead rows than it would wait for, \
             10,000 at least.",
    advice: "Switch it on again by the remedy, or vacuum the table at the times that suit you and mute the check.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH left_alone AS MATERIALIZED (
          SELECT t.table_name, t.is_toast, t.dead_rows, pg_catalog.round(t.vacuum_trigger) AS trigger, t.vacuumed_at
          FROM foreman.table_upkeep AS t
          WHERE NOT t.is_on
            AND t.dead_rows OPERATOR(pg_catalog.>=) 10000
            AND t.dead_rows OPERATOR(pg_catalog.>) t.vacuum_trigger
      ), worst AS (
          SELECT l.table_name, l.dead_rows, l.trigger, l.is_toast
          FROM left_alone AS l
          ORDER BY l.dead_rows DESC, l.table_name
          LIMIT 1
      )
      SELECT (SELECT pg_catalog.count(*) FROM left_alone AS l)::double precision AS value,
             CASE
                 WHEN w.table_name IS NULL THEN 'No table that autovacuum leaves alone needs it.'
                 ELSE pg_catalog.format('Autovacuum is off for %s, which has %s dead rows; it would have come at %s.',
                     w.table_name, w.dead_rows, w.trigger)
             END AS meaning,
             CASE
                 WHEN w.is_toast THEN pg_catalog.format('-- RESET (toast.autovacuum_enabled) of the table that %s belongs to', w.table_name)
                 ELSE pg_catalog.format('ALTER TABLE %s RESET (autovacuum_enabled); -- takes the table''s owner', w.table_name)
             END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(l) ORDER BY l.dead_rows DESC, l.table_name)
              FROM (SELECT a.table_name, a.dead_rows, a.trigger, a.vacuumed_at FROM left_alone AS a
                    ORDER BY a.dead_rows DESC, a.table_name LIMIT 20) AS l) AS subjects
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
