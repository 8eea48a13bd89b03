//! Standbys that were there and are gone. Of those with a slot `inactive_slots` tells.

use crate::health::check::{Check, Direction, Run, Status};
use crate::pg::spi::Statement;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "missing_standbys",
    unit: "standbys",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many standbys without a replication slot, by their application name, were connected within the last day and are \
            not now: nobody else tells of one that is gone, and after a while it lacks WAL that it would need. After a failover \
            it begins anew. A standby with a slot is told of by inactive_slots.",
    advice: "Start the standby again, before the WAL that it lacks is gone from here. Where it was taken away on purpose it is \
             forgotten after a day; until then mute the check by the remedy.",
    run: Run::Slow(&ROW),
};

// After a failover those of the server before would be missing here, this one among them: its timeline tells.
static ROW: Statement = Statement::new(
    c"WITH connected AS MATERIALIZED (
          SELECT r.application_name AS standby, pg_catalog.count(*) AS number
          FROM pg_catalog.pg_stat_replication AS r
          WHERE r.state OPERATOR(pg_catalog.<>) 'backup'
            AND r.application_name OPERATOR(pg_catalog.<>) 'pg_basebackup'
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_replication_slots AS s WHERE s.active_pid OPERATOR(pg_catalog.=) r.pid)
          GROUP BY r.application_name
      ), here AS MATERIALIZED (
          SELECT pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS timeline
      ), remembered AS MATERIALIZED (
          SELECT m.standby, m.number, m.seen_at
          FROM here AS h
          CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset($1 OPERATOR(pg_catalog.->) h.timeline)
              AS m (standby text, number bigint, seen_at timestamptz)
          WHERE m.seen_at OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '1 day')
      ), known AS MATERIALIZED (
          SELECT COALESCE(c.standby, r.standby) AS standby,
                 COALESCE(c.number, 0) AS connected,
                 GREATEST(c.number, r.number) AS number,
                 CASE WHEN COALESCE(c.number, 0) OPERATOR(pg_catalog.>=) COALESCE(r.number, 0) THEN pg_catalog.clock_timestamp()
                      ELSE r.seen_at END AS seen_at
          FROM connected AS c
          FULL JOIN remembered AS r ON r.standby OPERATOR(pg_catalog.=) c.standby
      ), missing AS MATERIALIZED (
          SELECT k.standby, k.connected, k.number, k.seen_at
          FROM known AS k
          WHERE k.connected OPERATOR(pg_catalog.<) k.number
      ), total AS (
          SELECT COALESCE(pg_catalog.sum(m.number OPERATOR(pg_catalog.-) m.connected), 0) AS number,
                 pg_catalog.string_agg(pg_catalog.format('%s (last seen at %s)', m.standby, pg_catalog.to_jsonb(m.seen_at)
                     OPERATOR(pg_catalog.#>>) '{}'), ', ' ORDER BY m.seen_at, m.standby) AS names,
                 pg_catalog.jsonb_agg(pg_catalog.to_jsonb(m) ORDER BY m.seen_at, m.standby) AS subjects
          FROM missing AS m
      )
      SELECT CASE WHEN EXISTS (SELECT FROM known AS k) THEN t.number::double precision END AS value,
             CASE
                 WHEN NOT EXISTS (SELECT FROM known AS k) THEN 'no standby without a slot has been connected within the last day'
                 WHEN t.names IS NULL THEN 'Every standby without a slot that was connected within the last day still is.'
                 ELSE pg_catalog.format('Standbys without a slot that were connected within the last day and are not now: %s.', t.names)
             END AS meaning,
             'SELECT foreman.configure_check(''missing_standbys'', muted_until => now() + interval ''1 day''); -- where it was taken away on purpose'
                 AS remedy,
             t.subjects,
             NULL::text AS reason,
             NULL::text AS reveal,
             NULL::text AS culprit,
             (SELECT pg_catalog.jsonb_build_object(h.timeline, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                         'standby', k.standby, 'number', k.number, 'seen_at', k.seen_at)))
              FROM here AS h
              CROSS JOIN known AS k
              GROUP BY h.timeline) AS memory
      FROM total AS t",
    &[pg_sys::JSONBOID, pg_sys::FLOAT8OID],
);
