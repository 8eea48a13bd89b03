//! Whether somebody has paused the replay.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;

pub const CHECK: Check = Check {
    name: "recovery_paused",
    unit: "pauses",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "Whether the replay on this standby has been paused. It then serves what is ever older, and keeps all \
            WAL that comes.",
    advice: "Have it go on: SELECT pg_wal_replay_resume(); on the standby.",
    run: Run::Fast(measure),
};

static ROW: Statement = Statement::new(
    c"SELECT CASE WHEN s.state OPERATOR(pg_catalog.=) 'not paused' THEN 0 ELSE 1 END::double precision AS value,
             pg_catalog.format('The replay is %s.', s.state) AS meaning,
             'SELECT pg_wal_replay_resume();' AS remedy
      FROM pg_catalog.pg_get_wal_replay_pause_state() AS s (state)",
    &[],
);

fn measure(connection: &Connection) -> Option<Measure> {
    if !xact::in_recovery() {
        return Some(Measure::inapplicable("this server is no standby"));
    }
    Measure::of_row(connection, &ROW)
}
