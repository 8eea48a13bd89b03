//! How late standbys are.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "replication_delay",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(3600.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "By how long a standby is behind with what it replays, as the primary measured it last; on a standby, \
            this server. One that has replayed all that it got is not late, however long ago that was; a delay \
            that is wanted (recovery_min_apply_delay) counts on the primary alone.",
    advice: "See which of write, flush and replay is late in pg_stat_replication: the network, its disk, or a \
             query or a pause on the standby that holds up the replay.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH standby AS MATERIALIZED (
          SELECT r.standby, r.state, r.delay_seconds, r.behind_bytes, r.hidden_because, r.reveal
          FROM foreman.replication AS r
      ), total AS (
          SELECT pg_catalog.count(*) AS standbys,
                 pg_catalog.max(s.delay_seconds) AS most,
                 pg_catalog.min(s.hidden_because) AS reason,
                 pg_catalog.min(s.reveal) AS reveal
          FROM standby AS s
      ), worst AS (
          SELECT s.standby, s.delay_seconds, s.behind_bytes
          FROM standby AS s
          WHERE s.delay_seconds IS NOT NULL
          ORDER BY s.delay_seconds DESC, s.standby
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
                         ORDER BY s.delay_seconds DESC, s.standby)
              FROM standby AS s) AS subjects,
             t.reason,
             t.reveal
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
