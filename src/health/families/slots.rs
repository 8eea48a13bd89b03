//! Replication slots, by what is wrong with them.

use crate::health::check::Measure;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

/// What is wrong with a slot.
pub struct Trouble {
    /// As the statement has it: `lost`, `inactive` or `room`.
    pub name: &'static str,
    /// What it means that it is so of none.
    pub none: &'static str,
    /// What it means that it is so of some: of their number, and of the worst its name, why it is lost, how much WAL it
    /// keeps, and which percentage of its limit that is.
    pub some: &'static str,
}

// Where there is none, as on most servers, the statement below need not be planned: in a new session that takes 3 ms.
static ANY: Statement = Statement::new(
    c"SELECT EXISTS (SELECT FROM pg_catalog.pg_get_replication_slots() AS s WHERE NOT s.temporary)",
    &[],
);

static WORST: Statement = Statement::new(
    c"WITH slot AS MATERIALIZED (
          SELECT s.slot, s.kind, s.database, s.active, s.retained_bytes,
                 pg_catalog.round(s.room_percent::numeric, 1) AS room_percent, s.lost_because, s.remedy,
                 CASE
                     WHEN $1 OPERATOR(pg_catalog.=) 'lost' THEN 1
                     WHEN $1 OPERATOR(pg_catalog.=) 'room' THEN s.room_percent
                     ELSE COALESCE(s.retained_bytes, 0)
                 END AS much
          FROM foreman.slots AS s
          WHERE CASE
                    WHEN $1 OPERATOR(pg_catalog.=) 'lost' THEN s.lost_because IS NOT NULL
                    WHEN $1 OPERATOR(pg_catalog.=) 'room' THEN s.lost_because IS NULL AND s.room_percent IS NOT NULL
                    ELSE s.lost_because IS NULL AND NOT s.active
                END
      ), worst AS (
          SELECT s.slot, s.retained_bytes, s.room_percent, s.lost_because, s.remedy
          FROM slot AS s
          ORDER BY s.much DESC, s.slot
          LIMIT 1
      ), total AS (
          SELECT pg_catalog.count(*) AS slots,
                 CASE WHEN $1 OPERATOR(pg_catalog.=) 'lost' THEN pg_catalog.count(*) ELSE pg_catalog.max(s.much) END AS value
          FROM slot AS s
      )
      SELECT COALESCE(t.value, 0)::double precision AS value,
             CASE
                 WHEN w.slot IS NULL THEN $2
                 ELSE pg_catalog.format($3, t.slots, w.slot, w.lost_because,
                     pg_catalog.pg_size_pretty(COALESCE(w.retained_bytes, 0)), w.room_percent)
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(
                         (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) 'remedy') OPERATOR(pg_catalog.-) 'much'
                         ORDER BY s.much DESC, s.slot)
              FROM slot AS s) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('slot %s', w.slot) AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
);

/// Whether there is a slot that stays.
pub fn any(connection: &Connection) -> bool {
    connection.run(&ANY, &[]).first().is_some_and(|row| row.boolean(1))
}

/// How it stands with the slots of which it is so.
pub fn with(connection: &Connection, trouble: &Trouble) -> Option<Measure> {
    if !any(connection) {
        return Some(Measure::none(trouble.none));
    }
    Measure::of_answer(connection, &WORST, &[&trouble.name, &trouble.none, &trouble.some])
}
