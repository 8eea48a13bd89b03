//! Replication slots that nobody reads from.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "inactive_slots",
    unit: "bytes",
    direction: Direction::Above,
    warn: Some(1073741824.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much WAL a replication slot keeps that nobody reads from. It grows until somebody does, the disk \
            is full, or max_slot_wal_keep_size ends it.",
    advice: "Start whoever reads from the slot, or drop it by the remedy. max_slot_wal_keep_size bounds what a \
             slot may keep.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH slot AS MATERIALIZED (
          SELECT s.slot, s.kind, s.database, s.active, s.retained_bytes,
                 pg_catalog.round(s.room_percent::numeric, 1) AS room_percent, s.lost_because, s.remedy
          FROM foreman.slots AS s
          WHERE NOT s.active AND s.lost_because IS NULL
      ), worst AS (
          SELECT s.slot, s.retained_bytes, s.room_percent, s.lost_because, s.remedy
          FROM slot AS s
          ORDER BY COALESCE(s.retained_bytes, 0) DESC, s.slot
          LIMIT 1
      ), total AS (
          SELECT pg_catalog.count(*) AS slots, pg_catalog.max(s.retained_bytes) AS value FROM slot AS s
      )
      SELECT COALESCE(t.value, 0)::double precision AS value,
             CASE
                 WHEN t.slots OPERATOR(pg_catalog.=) 0 THEN 'Every replication slot has its reader.'
                 ELSE pg_catalog.format('Replication slots without a reader: %s. %L keeps most, %s of WAL.', t.slots, w.slot, pg_catalog.pg_size_pretty(COALESCE(w.retained_bytes, 0)))
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) 'remedy' ORDER BY COALESCE(s.retained_bytes, 0) DESC, s.slot)
              FROM slot AS s) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('slot %s', w.slot) AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
