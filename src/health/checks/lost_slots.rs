//! Replication slots that are lost.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "lost_slots",
    unit: "slots",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many replication slots have been invalidated: the WAL or the rows that their reader needs are \
            gone.",
    advice: "Drop the slot by the remedy, and build the standby or the subscription anew.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH slot AS MATERIALIZED (
          SELECT s.slot, s.kind, s.database, s.active, s.retained_bytes,
                 pg_catalog.round(s.room_percent::numeric, 1) AS room_percent, s.lost_because, s.remedy
          FROM foreman.slots AS s
          WHERE s.lost_because IS NOT NULL
      ), worst AS (
          SELECT s.slot, s.retained_bytes, s.room_percent, s.lost_because, s.remedy
          FROM slot AS s
          ORDER BY s.slot DESC, s.slot
          LIMIT 1
      ), total AS (
          SELECT pg_catalog.count(*) AS slots, pg_catalog.count(*) AS value FROM slot AS s
      )
      SELECT COALESCE(t.value, 0)::double precision AS value,
             CASE
                 WHEN t.slots OPERATOR(pg_catalog.=) 0 THEN 'No replication slot is lost.'
                 ELSE pg_catalog.format('Replication slots that are lost: %s, among them %L (%s).', t.slots, w.slot, w.lost_because)
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) 'remedy' ORDER BY s.slot DESC, s.slot)
              FROM slot AS s) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('slot %s', w.slot) AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
