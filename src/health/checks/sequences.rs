//! Sequences that come to their end.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "sequences",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(85.0),
    fail: Some(95.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How much the fullest sequence has used of its numbers, or of what the column that it fills can hold, if that \
             is less. Those that begin anew (CYCLE) are left out.",
    advice: "Widen the column and the sequence before it is full: every INSERT fails from then on. Of a large table that \
             takes a new column that is filled bit by bit, and then its rename.",
    run: Run::Slow(&ROW),
};

static ROW: Statement = Statement::new(
    c"WITH sequence AS MATERIALIZED (
          SELECT s.seqrelid AS id, s.seqincrement, s.seqmin, s.seqmax, s.seqstart,
                 pg_catalog.format('%I.%I', n.nspname, c.relname) AS sequence_name,
                 pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') AS is_visible,
                 EXISTS (
                     SELECT FROM pg_catalog.pg_locks AS l
                     WHERE l.relation OPERATOR(pg_catalog.=) s.seqrelid
                       AND l.database OPERATOR(pg_catalog.=) (
                           SELECT d.oid FROM pg_catalog.pg_database AS d
                           WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
                       AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY[
                           'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'])) AS is_locked
          FROM pg_catalog.pg_sequence AS s
          JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) s.seqrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
          WHERE NOT s.seqcycle
            AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
      ), filled AS MATERIALIZED (
          -- The column that owns it or whose default asks it, and the largest number that it holds.
          SELECT DISTINCT ON (d.sequence) d.sequence, pg_catalog.format('%I.%I', n.nspname, c.relname) AS table_name, a.attname,
                 CASE
                     WHEN a.atttypid OPERATOR(pg_catalog.=) 'int2'::pg_catalog.regtype THEN 32767
                     WHEN a.atttypid OPERATOR(pg_catalog.=) 'int4'::pg_catalog.regtype THEN 2147483647
                     ELSE 9223372036854775807
                 END AS most
          FROM (
              SELECT d.objid AS sequence, d.refobjid AS table_id, d.refobjsubid AS attribute
              FROM pg_catalog.pg_depend AS d
              JOIN sequence AS s ON s.id OPERATOR(pg_catalog.=) d.objid
              WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.deptype OPERATOR(pg_catalog.=) ANY (ARRAY['a', 'i']::\"char\"[])
              UNION ALL
              SELECT d.refobjid, f.adrelid, f.adnum
              FROM pg_catalog.pg_depend AS d
              JOIN sequence AS s ON s.id OPERATOR(pg_catalog.=) d.refobjid
              JOIN pg_catalog.pg_attrdef AS f ON f.oid OPERATOR(pg_catalog.=) d.objid
              WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          ) AS d
          JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) d.table_id
          JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) d.table_id
              AND a.attnum OPERATOR(pg_catalog.=) d.attribute
          ORDER BY d.sequence, most
      ), valued AS MATERIALIZED (
          SELECT s.sequence_name, f.table_name, f.attname,
                 CASE WHEN s.is_visible AND NOT s.is_locked THEN pg_catalog.pg_sequence_last_value(s.id) END AS last_value,
                 s.is_visible, s.is_locked, s.seqincrement, s.seqstart,
                 CASE WHEN s.seqincrement OPERATOR(pg_catalog.>) 0 THEN LEAST(s.seqmax, f.most)
                      ELSE GREATEST(s.seqmin, (0 OPERATOR(pg_catalog.-) f.most) OPERATOR(pg_catalog.-) 1) END AS last_one,
                 f.most OPERATOR(pg_catalog.<) s.seqmax AS is_bound_by_column
          FROM sequence AS s
          LEFT JOIN filled AS f ON f.sequence OPERATOR(pg_catalog.=) s.id
      ), used AS MATERIALIZED (
          SELECT v.sequence_name, v.table_name, v.attname AS column_name, v.last_value, v.last_one,
                 COALESCE(v.is_bound_by_column, false) AS is_bound_by_column,
                 (100.0 OPERATOR(pg_catalog.*) (v.last_value::numeric OPERATOR(pg_catalog.-) v.seqstart)
                  OPERATOR(pg_catalog./) GREATEST(1, pg_catalog.abs(v.last_one::numeric OPERATOR(pg_catalog.-) v.seqstart)))
                     OPERATOR(pg_catalog.*) pg_catalog.sign(v.seqincrement::numeric) AS percent
          FROM valued AS v
          WHERE v.last_value IS NOT NULL
      ), fullest AS MATERIALIZED (
          SELECT u.sequence_name, u.table_name, u.column_name, u.last_value, u.last_one, u.is_bound_by_column,
                 pg_catalog.round(u.percent, 1) AS percent
          FROM used AS u
          ORDER BY u.percent DESC, u.sequence_name
          LIMIT 20
      ), worst AS (
          SELECT f.sequence_name, f.table_name, f.column_name, f.last_value, f.last_one, f.is_bound_by_column, f.percent
          FROM fullest AS f
          ORDER BY f.percent DESC, f.sequence_name
          LIMIT 1
      ), hidden AS (
          SELECT pg_catalog.min(v.sequence_name) FILTER (WHERE NOT v.is_visible) AS unseen,
                 pg_catalog.min(v.sequence_name) FILTER (WHERE v.is_visible AND v.is_locked) AS locked
          FROM valued AS v
      )
      SELECT GREATEST(0, COALESCE(w.percent, 0))::double precision AS value,
             CASE
                 WHEN w.sequence_name IS NULL THEN 'No sequence has given a number.'
                 ELSE pg_catalog.format('Sequence %s has come to %s of %s%s.', w.sequence_name, w.last_value, w.last_one,
                     CASE WHEN w.is_bound_by_column
                         THEN pg_catalog.format(', which is all that column %I of %s holds', w.column_name, w.table_name) END)
             END AS meaning,
             CASE
                 WHEN w.is_bound_by_column OR (w.table_name IS NOT NULL
                      AND pg_catalog.abs(w.last_one) OPERATOR(pg_catalog.<=) 2147483647)
                     THEN pg_catalog.format(
                         'ALTER SEQUENCE %s AS bigint MAXVALUE 9223372036854775807; ALTER TABLE %s ALTER COLUMN %I TYPE bigint; -- writes the table anew, and keeps everybody out meanwhile; takes its owner',
                         w.sequence_name, w.table_name, w.column_name)
                 ELSE pg_catalog.format(
                     'ALTER SEQUENCE %s AS bigint MAXVALUE 9223372036854775807; -- takes its owner', w.sequence_name)
             END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) ORDER BY f.percent DESC, f.sequence_name) FROM fullest AS f)
                 AS subjects,
             CASE
                 WHEN h.unseen IS NOT NULL
                     THEN pg_catalog.format('the extension''s owner may not read %s and perhaps others', h.unseen)
                 WHEN h.locked IS NOT NULL THEN pg_catalog.format('somebody is changing %s', h.locked)
             END AS reason,
             CASE
                 WHEN h.unseen IS NOT NULL THEN pg_catalog.format('GRANT SELECT ON SEQUENCE %s TO %I;', h.unseen, CURRENT_USER)
                 WHEN h.locked IS NOT NULL THEN 'SELECT foreman.refresh_health(''sequences'');'
             END AS reveal
      FROM hidden AS h
      LEFT JOIN worst AS w ON true",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
