//! Indexes that cost and serve nobody.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "invalid_indexes",
    unit: "indexes",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many indexes are invalid: left behind by CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY that failed. \
             Most are kept up by each write, no query uses them, and what they were to make unique is not. One that is being \
             built is not counted.",
    advice: "Build it again or drop it, by the remedy.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH invalid AS MATERIALIZED (
          SELECT pg_catalog.format('%I.%I', n.nspname, i.relname) AS index_name,
                 pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name,
                 i.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$' AS is_remnant,
                 x.indisready AS is_written,
                 i.relpages::bigint OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint AS bytes
          FROM pg_catalog.pg_index AS x
          JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) x.indexrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) i.relnamespace
          JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) x.indrelid
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid OPERATOR(pg_catalog.=) t.relnamespace
          WHERE NOT x.indisvalid
            -- Of a partitioned table: some partition has none yet.
            AND i.relkind OPERATOR(pg_catalog.=) 'i'
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                WHERE p.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND p.relid OPERATOR(pg_catalog.=) t.oid)
      ), worst AS (
          SELECT i.index_name, i.table_name, i.is_remnant, i.is_written
          FROM invalid AS i
          ORDER BY i.bytes DESC, i.index_name
          LIMIT 1
      )
      SELECT (SELECT pg_catalog.count(*) FROM invalid AS i)::double precision AS value,
             CASE
                 WHEN w.index_name IS NULL THEN 'All indexes are valid.'
                 ELSE pg_catalog.format('Invalid: index %s of %s. %s queries don''t use it.', w.index_name, w.table_name,
                     CASE WHEN w.is_written THEN 'Writes keep it up, and' ELSE 'Writes don''t keep it up, and' END)
             END AS meaning,
             CASE
                 WHEN w.is_remnant THEN pg_catalog.format('DROP INDEX CONCURRENTLY %s; -- takes the table''s owner', w.index_name)
                 ELSE pg_catalog.format(
                     'REINDEX INDEX CONCURRENTLY %s; -- reads the table twice; or DROP INDEX CONCURRENTLY; takes the table''s owner', w.index_name)
             END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i) ORDER BY i.bytes DESC, i.index_name)
              FROM (SELECT v.index_name, v.table_name, v.is_written, v.bytes FROM invalid AS v
                    ORDER BY v.bytes DESC, v.index_name LIMIT 20) AS i) AS subjects
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
