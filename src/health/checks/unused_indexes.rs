//! Indexes that no query uses.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "unused_indexes",
    unit: "percent of the database",
    direction: Direction::Above,
    warn: Some(20.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "What part of the database the indexes make up that no query has used since statistics were reset, or since \
             the server's start if that is later; 30 days at least. Only those of 10 MB and more that enforce nothing: no \
             key, no exclusion, no replica identity. Whether a standby's queries use them is not known here.",
    advice: "Look whether a standby or a yearly report needs them, and drop the others by the remedy: each write keeps \
             them up.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH observed AS MATERIALIZED (
          SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)
                     GREATEST(d.stats_reset, pg_catalog.pg_postmaster_start_time())) OPERATOR(pg_catalog./) 86400 AS days
          FROM pg_catalog.pg_stat_database AS d
          WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
      ), whole AS MATERIALIZED (
          SELECT GREATEST(1, pg_catalog.sum(c.relpages::bigint)) OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint AS bytes
          FROM pg_catalog.pg_class AS c
          WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'i', 'm', 't']::\"char\"[])
      ), unused AS MATERIALIZED (
          SELECT u.index_name, u.table_name, u.bytes FROM foreman.unused_indexes AS u
      ), largest AS MATERIALIZED (
          SELECT u.index_name, u.table_name, u.bytes FROM unused AS u ORDER BY u.bytes DESC, u.index_name LIMIT 20
      ), worst AS (
          SELECT l.index_name, l.table_name, l.bytes FROM largest AS l ORDER BY l.bytes DESC, l.index_name LIMIT 1
      )
      SELECT CASE WHEN o.days OPERATOR(pg_catalog.>=) 30 THEN
                 100.0 OPERATOR(pg_catalog.*) (SELECT COALESCE(pg_catalog.sum(u.bytes), 0) FROM unused AS u)
                     OPERATOR(pg_catalog./) a.bytes
             END::double precision AS value,
             CASE
                 WHEN o.days OPERATOR(pg_catalog.<) 30 THEN pg_catalog.format(
                     'use of indexes has been counted for %s days, and a month''s is what says something', pg_catalog.floor(o.days))
                 WHEN w.index_name IS NULL THEN 'No larger index is unused.'
                 ELSE pg_catalog.format('Unused for %s days: index %s of %s, %s. Such indexes in all: %s, %s.', pg_catalog.floor(o.days),
                     w.index_name, w.table_name, pg_catalog.pg_size_pretty(w.bytes),
                     (SELECT pg_catalog.count(*) FROM unused AS u),
                     pg_catalog.pg_size_pretty((SELECT pg_catalog.sum(u.bytes) FROM unused AS u)))
             END AS meaning,
             pg_catalog.format('DROP INDEX CONCURRENTLY %s; -- takes the table''s owner', w.index_name) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(l) ORDER BY l.bytes DESC, l.index_name) FROM largest AS l) AS subjects
      FROM observed AS o
      CROSS JOIN whole AS a
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
