//! Foreign keys whose check goes through a whole table.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "foreign_keys",
    unit: "keys",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many foreign keys have no index that begins with their columns, in whatever order, where rows have been \
             deleted from the table that they refer to, and the table that refers has 10,000 rows or more: each such \
             DELETE reads all of it.",
    advice: "Make the index by the remedy.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH bare AS MATERIALIZED (
          SELECT k.conname, k.conrelid, k.confrelid, k.conkey,
                 pg_catalog.pg_stat_get_tuples_deleted(k.confrelid) AS deleted,
                 c.reltuples::bigint AS row_count
          FROM pg_catalog.pg_constraint AS k
          JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) k.conrelid
          WHERE k.contype OPERATOR(pg_catalog.=) 'f'
            AND c.relkind OPERATOR(pg_catalog.=) 'r'
            AND c.reltuples OPERATOR(pg_catalog.>=) 10000
            AND pg_catalog.pg_stat_get_tuples_deleted(k.confrelid) OPERATOR(pg_catalog.>) 0
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_index AS x
                WHERE x.indrelid OPERATOR(pg_catalog.=) k.conrelid
                  AND x.indisvalid
                  AND x.indpred IS NULL
                  AND x.indnkeyatts OPERATOR(pg_catalog.>=) pg_catalog.cardinality(k.conkey)
                  AND (SELECT pg_catalog.array_agg(a.attribute) FROM (
                           SELECT u.attribute
                           FROM pg_catalog.unnest(x.indkey::smallint[]) WITH ORDINALITY AS u (attribute, place)
                           WHERE u.place OPERATOR(pg_catalog.<=) pg_catalog.cardinality(k.conkey)) AS a)
                      OPERATOR(pg_catalog.@>) k.conkey)
      ), named AS MATERIALIZED (
          SELECT b.conname::text AS key_name,
                 pg_catalog.format('%I.%I', n.nspname, c.relname) AS table_name,
                 pg_catalog.format('%I.%I', pn.nspname, p.relname) AS referred,
                 (SELECT pg_catalog.string_agg(pg_catalog.format('%I', a.attname), ', ' ORDER BY u.place)
                  FROM pg_catalog.unnest(b.conkey) WITH ORDINALITY AS u (attribute, place)
                  JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) b.conrelid
                      AND a.attnum OPERATOR(pg_catalog.=) u.attribute) AS columns,
                 b.row_count, b.deleted
          FROM bare AS b
          JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) b.conrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
          JOIN pg_catalog.pg_class AS p ON p.oid OPERATOR(pg_catalog.=) b.confrelid
          JOIN pg_catalog.pg_namespace AS pn ON pn.oid OPERATOR(pg_catalog.=) p.relnamespace
      ), worst AS (
          SELECT n.key_name, n.table_name, n.referred, n.columns, n.row_count, n.deleted
          FROM named AS n
          ORDER BY n.row_count::numeric OPERATOR(pg_catalog.*) n.deleted DESC, n.key_name
          LIMIT 1
      )
      SELECT (SELECT pg_catalog.count(*) FROM named AS n)::double precision AS value,
             CASE
                 WHEN w.key_name IS NULL THEN 'All foreign keys that are checked have their index.'
                 ELSE pg_catalog.format(
                     'Foreign key %s of %s (%s) has no index: each of the %s rows deleted from %s made the server read some %s rows.',
                     w.key_name, w.table_name, w.columns, w.deleted, w.referred, w.row_count)
             END AS meaning,
             pg_catalog.format('CREATE INDEX CONCURRENTLY ON %s (%s); -- takes the table''s owner', w.table_name, w.columns) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(b) ORDER BY b.row_count DESC, b.key_name)
              FROM (SELECT m.key_name, m.table_name, m.referred, m.columns, m.row_count, m.deleted FROM named AS m
                    ORDER BY m.row_count DESC, m.key_name LIMIT 20) AS b) AS subjects
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
