//! Settings that let the server get worse.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::families::slots;
use crate::pg::setting;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "configuration",
    unit: "settings",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many of autovacuum, track_counts and track_activities are off. Told without being counted, as \
            advice: settings that wait for a restart, and replication slots without max_slot_wal_keep_size.",
    advice: "Switch them on by the remedy and reload. Tables that are to be left alone have a setting of their \
             own for it.",
    run: Run::Fast(measure),
};

const NONE: &str = "No setting stands out.";

// What a session has set for itself is not what the server runs with: reset_val.
static ROW: Statement = Statement::new(
    c"WITH setting AS MATERIALIZED (
          SELECT s.name, s.reset_val, s.pending_restart
          FROM pg_catalog.pg_settings AS s
      ), found AS MATERIALIZED (
          SELECT s.name AS setting, s.reset_val AS value, w.why, true AS counts
          FROM setting AS s
          JOIN (VALUES
              ('autovacuum', 'dead rows stay, and statistics grow old'),
              ('track_counts', 'autovacuum does not know what to do'),
              ('track_activities', 'nobody sees what sessions do')) AS w (name, why)
              ON w.name OPERATOR(pg_catalog.=) s.name
          WHERE s.reset_val OPERATOR(pg_catalog.=) 'off'
          UNION ALL
          SELECT s.name, s.reset_val, 'another value waits for a restart', false
          FROM setting AS s
          WHERE s.pending_restart
          UNION ALL
          SELECT 'max_slot_wal_keep_size', '-1', 'a replication slot may fill the disk', false
          WHERE pg_catalog.current_setting('max_slot_wal_keep_size') OPERATOR(pg_catalog.=) '-1'
            AND EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots AS t WHERE NOT t.temporary)
      )
      SELECT pg_catalog.count(*) FILTER (WHERE f.counts)::double precision AS value,
             COALESCE(pg_catalog.string_agg(pg_catalog.format('%s is %s: %s.', f.setting, f.value, f.why), ' '
                 ORDER BY f.counts DESC, f.setting), $1) AS meaning,
             pg_catalog.format('ALTER SYSTEM SET %s = on; -- then SELECT pg_reload_conf();',
                 pg_catalog.min(f.setting) FILTER (WHERE f.counts)) AS remedy,
             pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) ORDER BY f.counts DESC, f.setting) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             CASE WHEN pg_catalog.bool_or(f.counts AND f.setting OPERATOR(pg_catalog.=) 'autovacuum')
                 THEN 'setting autovacuum' END AS culprit
      FROM found AS f",
    &[pg_sys::TEXTOID],
);

/// All settings are listed, which takes 2 ms, only where one stands out, or the configuration has been read since the start:
/// nothing waits for a restart before.
fn measure(connection: &Connection) -> Option<Measure> {
    let all_on = [c"autovacuum", c"track_counts", c"track_activities"].into_iter().all(setting::is_on);
    let bounds_slots = setting::value(c"max_slot_wal_keep_size") != "-1";
    if all_on && !setting::were_read_again() && (bounds_slots || !slots::any(connection)) {
        return Some(Measure::none(NONE));
    }
    Measure::of_answer(connection, &ROW, &[&NONE])
}
