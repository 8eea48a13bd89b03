//! How fast the tables grow that are large already.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "growing_tables",
    unit: "MB a day",
    direction: Direction::Above,
    warn: None,
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much the table that grows fastest, of the fifty largest that have 10 MB and more, has grown since it was \
             measured the time before, with its indexes, in MB a day. It never warns by itself: what is much is for you \
             to say. A table that somebody has locked is left out.",
    advice: "Set a threshold that leaves you time before the disk is full (disk_space), by \
             foreman.configure_check('growing_tables', warn => 10240).",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH largest AS MATERIALIZED (
          SELECT c.oid AS id, pg_catalog.format('%I.%I', n.nspname, c.relname) AS table_name
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
          WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'm']::\"char\"[])
            AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
            AND c.relpages OPERATOR(pg_catalog.>=) (10485760 OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::integer)
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_locks AS l
                WHERE l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock'
                  AND l.relation OPERATOR(pg_catalog.=) c.oid)
          ORDER BY c.relpages DESC, c.oid
          LIMIT 50
      ), sized AS MATERIALIZED (
          SELECT l.id, l.table_name, pg_catalog.pg_total_relation_size(l.id) AS bytes,
                 ($1 OPERATOR(pg_catalog.->>) l.id::text)::bigint AS bytes_before
          FROM largest AS l
      ), grown AS MATERIALIZED (
          SELECT s.table_name, s.bytes,
                 (s.bytes OPERATOR(pg_catalog.-) s.bytes_before) OPERATOR(pg_catalog.*) 86400.0
                     OPERATOR(pg_catalog./) GREATEST($2, 1) AS bytes_a_day
          FROM sized AS s
          WHERE s.bytes IS NOT NULL
      ), fastest AS (
          SELECT g.table_name, g.bytes, g.bytes_a_day
          FROM grown AS g
          WHERE g.bytes_a_day OPERATOR(pg_catalog.>) 0
          ORDER BY g.bytes_a_day DESC, g.table_name
          LIMIT 1
      )
      SELECT CASE WHEN $2 IS NOT NULL THEN COALESCE(f.bytes_a_day, 0) OPERATOR(pg_catalog./) 1048576 END::double precision AS value,
             CASE
                 WHEN $2 IS NULL THEN 'sizes have been measured once, and growth takes twice'
                 WHEN f.table_name IS NULL THEN 'No larger table has grown.'
                 ELSE pg_catalog.format('%s has %s and grows by %s a day.', f.table_name, pg_catalog.pg_size_pretty(f.bytes),
                     pg_catalog.pg_size_pretty(f.bytes_a_day::bigint))
             END AS meaning,
             NULL::text AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(g) ORDER BY g.bytes DESC, g.table_name)
              FROM (SELECT a.table_name, a.bytes, pg_catalog.round(a.bytes_a_day::numeric) AS bytes_a_day FROM grown AS a
                    ORDER BY a.bytes DESC, a.table_name LIMIT 20) AS g) AS subjects,
             NULL::text AS reason,
             NULL::text AS reveal,
             NULL::text AS culprit,
             (SELECT pg_catalog.jsonb_object_agg(s.id::text, s.bytes) FROM sized AS s WHERE s.bytes IS NOT NULL) AS memory
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN fastest AS f ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
