//! How much WAL standbys have still to replay.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "replication_backlog",
    unit: "bytes",
    direction: Direction::Above,
    warn: Some(1073741824.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many bytes of WAL a standby has still to replay; on a standby, this server, of what it has \
            received. It grows too where the replay has been paused and time tells nothing.",
    advice: "See foreman.replication for which standby it is, and there whether its replay is paused (the check \
             recovery_paused) or a query holds it up.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH standby AS MATERIALIZED (
          SELECT r.standby, r.state, r.delay_seconds, r.behind_bytes, r.hidden_because, r.reveal
          FROM foreman.replication AS r
      ), total AS (
          SELECT pg_catalog.count(*) AS standbys,
                 pg_catalog.max(s.behind_bytes) AS most,
                 pg_catalog.min(s.hidden_because) AS reason,
                 pg_catalog.min(s.reveal) AS reveal
          FROM standby AS s
      ), worst AS (
          SELECT s.standby, s.delay_seconds, s.behind_bytes
          FROM standby AS s
          WHERE s.behind_bytes IS NOT NULL
          ORDER BY s.behind_bytes DESC, s.standby
          LIMIT 1
      )
      SELECT t.most AS value,
             CASE
                 WHEN t.standbys OPERATOR(pg_catalog.=) 0 THEN 'no standby is connected'
                 WHEN t.reason IS NULL AND t.most IS NULL THEN 'this server restores from an archive: what it has not got yet can''t be told'
                 WHEN w.standby IS NOT NULL THEN pg_catalog.format('Furthest behind: %s, by %s and %s s.',
                     w.standby, pg_catalog.pg_size_pretty(w.behind_bytes::numeric),
                     COALESCE(pg_catalog.round(w.delay_seconds::numeric, 1)::text, '?'))
             END AS meaning,
             'SELECT standby, state, delay_seconds, behind_bytes FROM foreman.replication;' AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) 'hidden_because') OPERATOR(pg_catalog.-) 'reveal'
                         ORDER BY s.behind_bytes DESC, s.standby)
              FROM standby AS s) AS subjects,
             t.reason,
             t.reveal
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
