//! Replication slots that are about to be lost.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "slot_room",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(80.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much of max_slot_wal_keep_size a replication slot uses. Beyond 100 percent the next checkpoint \
            removes the WAL, and the slot is lost. 0 where there is no limit: the check configuration says so.",
    advice: "Have whoever reads from the slot catch up, raise max_slot_wal_keep_size, or drop the slot by the \
             remedy.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH slot AS MATERIALIZED (
          SELECT s.slot, s.kind, s.database, s.active, s.retained_bytes,
                 pg_catalog.round(s.room_percent::numeric, 1) AS room_percent, s.lost_because, s.remedy
          FROM foreman.slots AS s
          WHERE s.lost_because IS NULL AND s.room_percent IS NOT NULL
      ), worst AS (
          SELECT s.slot, s.retained_bytes, s.room_percent, s.lost_because, s.remedy
          FROM slot AS s
          ORDER BY COALESCE(s.room_percent, 0) DESC, s.slot
          LIMIT 1
      ), total AS (
          SELECT pg_catalog.count(*) AS slots, pg_catalog.max(s.room_percent) AS value FROM slot AS s
      )
      SELECT COALESCE(t.value, 0)::double precision AS value,
             CASE
                 WHEN t.slots OPERATOR(pg_catalog.=) 0 THEN 'No replication slot has a limit to come near to.'
                 ELSE pg_catalog.format('Replication slot %L keeps %s of WAL, %s percent of max_slot_wal_keep_size.', w.slot, pg_catalog.pg_size_pretty(COALESCE(w.retained_bytes, 0)), w.room_percent)
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) 'remedy' ORDER BY COALESCE(s.room_percent, 0) DESC, s.slot)
              FROM slot AS s) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('slot %s', w.slot) AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
