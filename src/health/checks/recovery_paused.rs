//! Whether somebody has paused the replay.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

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
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"WITH standby AS MATERIALIZED (
          SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_get_wal_replay_pause_state() END AS state
      )
      SELECT CASE
                 WHEN s.state OPERATOR(pg_catalog.=) 'not paused' THEN 0
                 WHEN s.state IS NOT NULL THEN 1
             END::double precision AS value,
             CASE
                 WHEN s.state IS NULL THEN 'this server is no standby'
                 ELSE pg_catalog.format('The replay is %s.', s.state)
             END AS meaning,
             'SELECT pg_wal_replay_resume();' AS remedy
      FROM standby AS s",
    &[],
);
