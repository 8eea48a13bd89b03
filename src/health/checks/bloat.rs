//! Tables and indexes that are mostly empty.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "bloat",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(80.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much of the emptiest table or B-tree index of 100 MB and more is estimated to hold nothing, by its \
             number of rows and their average width as ANALYZE saw them. What a fillfactor leaves free is not counted; \
             values that are stored apart (TOAST) are not seen.",
    advice: "Rows that are gone leave room for others, so that a table whose size is steady needs nothing. An index is \
             built anew by the remedy without keeping anybody waiting; of a table, extensions such as pg_repack do that. \
             Estimates err: pgstattuple measures.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH block AS MATERIALIZED (
          SELECT pg_catalog.current_setting('block_size')::double precision AS bytes
      ), width AS MATERIALIZED (
          SELECT t.schemaname, t.tablename, t.attname,
                 (1 OPERATOR(pg_catalog.-) t.null_frac) OPERATOR(pg_catalog.*) t.avg_width AS bytes
          FROM pg_catalog.pg_stats AS t
          WHERE NOT t.inherited
      ), large AS MATERIALIZED (
          SELECT c.oid, c.relkind, n.nspname, c.relname, c.relpages, c.reltuples, c.reloptions, x.indrelid, x.indkey::smallint[] AS keys
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
          LEFT JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) c.relam
          LEFT JOIN pg_catalog.pg_index AS x ON x.indexrelid OPERATOR(pg_catalog.=) c.oid
          CROSS JOIN block AS b
          WHERE (c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'm']::\"char\"[]) OR m.amname OPERATOR(pg_catalog.=) 'btree')
            AND c.relpages OPERATOR(pg_catalog.>=) (104857600 OPERATOR(pg_catalog./) b.bytes)
            AND c.reltuples OPERATOR(pg_catalog.>=) 0
            -- Expressions have no statistics under a column's name.
            AND (x.indkey IS NULL OR 0 OPERATOR(pg_catalog.<>) ALL (x.indkey::smallint[]))
      ), measured AS MATERIALIZED (
          SELECT l.oid, l.relkind, l.nspname, l.relname, l.relpages, l.reltuples, w.columns, w.known,
                 COALESCE((SELECT pg_catalog.max(o.option_value::double precision) FROM pg_catalog.pg_options_to_table(l.reloptions) AS o
                           WHERE o.option_name OPERATOR(pg_catalog.=) 'fillfactor'),
                          CASE WHEN l.relkind OPERATOR(pg_catalog.=) 'i' THEN 90 ELSE 100 END) AS fillfactor,
                 -- A row has a header of 24 bytes and a pointer of 4, an entry of an index 8 and 4; both are aligned to 8.
                 CASE WHEN l.relkind OPERATOR(pg_catalog.=) 'i' THEN 12 ELSE 28 END
                     OPERATOR(pg_catalog.+) (8 OPERATOR(pg_catalog.*) pg_catalog.ceil(w.bytes OPERATOR(pg_catalog./) 8)) AS row_bytes
          FROM large AS l
          CROSS JOIN LATERAL (
              SELECT pg_catalog.count(*) AS columns, pg_catalog.count(d.bytes) AS known,
                     COALESCE(pg_catalog.sum(d.bytes), 0)::double precision AS bytes
              FROM pg_catalog.pg_attribute AS a
              LEFT JOIN pg_catalog.pg_class AS t ON t.oid OPERATOR(pg_catalog.=) a.attrelid
              LEFT JOIN pg_catalog.pg_namespace AS s ON s.oid OPERATOR(pg_catalog.=) t.relnamespace
              LEFT JOIN width AS d ON d.schemaname OPERATOR(pg_catalog.=) s.nspname AND d.tablename OPERATOR(pg_catalog.=) t.relname
                  AND d.attname OPERATOR(pg_catalog.=) a.attname
              WHERE a.attrelid OPERATOR(pg_catalog.=) COALESCE(l.indrelid, l.oid)
                AND a.attnum OPERATOR(pg_catalog.>) 0
                AND NOT a.attisdropped
                AND (l.keys IS NULL OR a.attnum OPERATOR(pg_catalog.=) ANY (l.keys))
          ) AS w
      ), estimated AS MATERIALIZED (
          SELECT pg_catalog.format('%I.%I', m.nspname, m.relname) AS name,
                 CASE WHEN m.relkind OPERATOR(pg_catalog.=) 'i' THEN 'index' ELSE 'table' END AS kind,
                 m.relpages::bigint OPERATOR(pg_catalog.*) b.bytes::bigint AS bytes,
                 GREATEST(0, 100 OPERATOR(pg_catalog.*) (1 OPERATOR(pg_catalog.-) (
                     pg_catalog.ceil(m.reltuples OPERATOR(pg_catalog.*) m.row_bytes OPERATOR(pg_catalog./)
                         ((b.bytes OPERATOR(pg_catalog.-) 40) OPERATOR(pg_catalog.*) m.fillfactor OPERATOR(pg_catalog./) 100))
                     OPERATOR(pg_catalog./) m.relpages))) AS percent
          FROM measured AS m
          CROSS JOIN block AS b
          WHERE m.known OPERATOR(pg_catalog.=) m.columns
      ), emptiest AS MATERIALIZED (
          SELECT e.name, e.kind, e.bytes, pg_catalog.round(e.percent::numeric, 1) AS percent
          FROM estimated AS e
          ORDER BY e.percent DESC, e.name
          LIMIT 20
      ), worst AS (
          SELECT e.name, e.kind, e.bytes, e.percent FROM emptiest AS e ORDER BY e.percent DESC, e.name LIMIT 1
      ), hidden AS (
          SELECT pg_catalog.count(*) AS number, pg_catalog.min(pg_catalog.format('%I.%I', m.nspname, m.relname)) AS name
          FROM measured AS m
          WHERE m.known OPERATOR(pg_catalog.<) m.columns AND m.reltuples OPERATOR(pg_catalog.>) 0
      )
      SELECT COALESCE(w.percent, 0)::double precision AS value,
             CASE
                 WHEN w.name IS NULL THEN 'No table and no index is that large.'
                 ELSE pg_catalog.format('Of %s %s, %s, some %s percent hold nothing.', w.kind, w.name,
                     pg_catalog.pg_size_pretty(w.bytes), pg_catalog.round(w.percent))
             END AS meaning,
             CASE
                 WHEN w.kind OPERATOR(pg_catalog.=) 'index' THEN pg_catalog.format(
                     'REINDEX INDEX CONCURRENTLY %s; -- takes room for both, and the table''s owner', w.name)
                 ELSE pg_catalog.format('SELECT * FROM pgstattuple_approx(%L); -- CREATE EXTENSION pgstattuple; what it measures', w.name)
             END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(e) ORDER BY e.percent DESC, e.name) FROM emptiest AS e) AS subjects,
             CASE WHEN h.number OPERATOR(pg_catalog.>) 0 THEN pg_catalog.format(
                 'of %s, and %s others, not all columns have statistics that the extension''s owner may see',
                 h.name, h.number OPERATOR(pg_catalog.-) 1) END AS reason,
             CASE WHEN h.number OPERATOR(pg_catalog.>) 0 THEN 'ANALYZE;' END AS reveal
      FROM hidden AS h
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
