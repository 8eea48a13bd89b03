//! Jobs whose worker is gone, and that nobody takes back.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "overdue_leases",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "For how long the lease of a running job has been over without anybody taking the job back: its worker is gone, and \
            neither upkeep nor a claim has looked for it.",
    advice: "Have upkeep run: preload the library, or call foreman.maintain() every minute. A transaction that has the job \
             locked (hold_lease) keeps it from being taken back.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"SELECT COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.expired_at), 0)::double precision
                 AS value,
             CASE
                 WHEN l.expired_at IS NULL THEN 'No lease is overdue.'
                 ELSE pg_catalog.format('Running jobs whose lease is over: %s, the first for %s s.', l.leases, pg_catalog.round(
                     EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.expired_at), 1))
             END AS meaning,
             'SELECT foreman.rescue_expired(); -- takes the level admin' AS remedy
      FROM foreman.lease_outlook AS l",
    &[],
);
