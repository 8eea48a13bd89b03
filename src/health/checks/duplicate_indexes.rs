//! Indexes that another one of the same table equals.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "duplicate_indexes",
    unit: "indexes",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many indexes of 10 MB and more there are besides one of the same table, columns, order and condition. \
             The one that enforces a key is not counted.",
    advice: "Drop the one that is named by the remedy: each write keeps both up, and one serves as well.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH candidate AS MATERIALIZED (
          SELECT x.indexrelid, x.indrelid,
                 pg_catalog.row_number() OVER (
                     PARTITION BY x.indrelid, i.relam, x.indkey::text, x.indclass::text, x.indcollation::text, x.indoption::text,
                                  x.indnkeyatts, x.indexprs::text, x.indpred::text, i.reloptions
                     ORDER BY x.indisprimary DESC, x.indisreplident DESC, x.indisexclusion DESC, x.indisunique DESC,
                              EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                                      WHERE k.conindid OPERATOR(pg_catalog.=) x.indexrelid) DESC, x.indexrelid) AS place,
                 pg_catalog.first_value(x.indexrelid) OVER (
                     PARTITION BY x.indrelid, i.relam, x.indkey::text, x.indclass::text, x.indcollation::text, x.indoption::text,
                                  x.indnkeyatts, x.indexprs::text, x.indpred::text, i.reloptions
                     ORDER BY x.indisprimary DESC, x.indisreplident DESC, x.indisexclusion DESC, x.indisunique DESC,
                              EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                                      WHERE k.conindid OPERATOR(pg_catalog.=) x.indexrelid) DESC, x.indexrelid) AS keeper,
                 x.indisunique,
                 i.relpages::bigint OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint AS bytes
          FROM pg_catalog.pg_index AS x
          JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) x.indexrelid
          WHERE x.indisvalid AND i.relkind OPERATOR(pg_catalog.=) 'i'
      ), duplicate AS MATERIALIZED (
          SELECT pg_catalog.format('%I.%I', n.nspname, i.relname) AS index_name,
                 pg_catalog.format('%I', k.relname) AS equals,
                 pg_catalog.format('%I.%I', tn.nspname, t.relname) AS table_name,
                 c.bytes
          FROM candidate AS c
          JOIN pg_catalog.pg_class AS i ON i.oid OPERATOR(pg_catalog.=) c.indexrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) i.relnamespace
          JOIN pg_catalog.pg_class AS k ON k.oid OPERATOR(pg_catalog.=) c.keeper
          JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) c.indrelid
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid OPERATOR(pg_catalog.=) t.relnamespace
          WHERE c.place OPERATOR(pg_catalog.>) 1
            AND c.bytes OPERATOR(pg_catalog.>=) 10485760
            -- A foreign key may refer to it, or a partition's be attached.
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_depend AS d
                WHERE d.refobjid OPERATOR(pg_catalog.=) c.indexrelid
                  AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass)
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid OPERATOR(pg_catalog.=) c.indexrelid)
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_constraint AS o WHERE o.conindid OPERATOR(pg_catalog.=) c.indexrelid)
      ), worst AS (
          SELECT d.index_name, d.equals, d.table_name, d.bytes FROM duplicate AS d ORDER BY d.bytes DESC, d.index_name LIMIT 1
      )
      SELECT (SELECT pg_catalog.count(*) FROM duplicate AS d)::double precision AS value,
             CASE
                 WHEN w.index_name IS NULL THEN 'No larger index is there twice.'
                 ELSE pg_catalog.format('Index %s of %s, %s, is the same as %s.', w.index_name, w.table_name,
                     pg_catalog.pg_size_pretty(w.bytes), w.equals)
             END AS meaning,
             pg_catalog.format('DROP INDEX CONCURRENTLY %s; -- takes the table''s owner', w.index_name) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(d) ORDER BY d.bytes DESC, d.index_name)
              FROM (SELECT u.index_name, u.equals, u.table_name, u.bytes FROM duplicate AS u
                    ORDER BY u.bytes DESC, u.index_name LIMIT 20) AS d) AS subjects
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
