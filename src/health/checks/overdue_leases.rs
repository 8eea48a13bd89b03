//! Jobs whose worker is gone, and that nobody takes back.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;

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
    run: Run::Fast(measure),
};

static OUTLOOK: Statement =
    Statement::new(c"SELECT l.expired_at, l.leases FROM foreman.lease_outlook AS l", &[]);

/// The lease that has been over for the longest.
fn measure(connection: &Connection) -> Option<Measure> {
    let rows = connection.run(&OUTLOOK, &[]);
    let row = rows.first()?;
    let Some(expired) = row.time(1) else { return Some(Measure::none("No lease is overdue.")) };
    let seconds = (xact::clock() - expired.microseconds()) as f64 / 1e6;
    let leases = row.bigint(2).unwrap_or_default();
    Some(Measure {
        value: Some(seconds),
        meaning: Some(format!("Running jobs whose lease is over: {leases}, the first for {seconds:.1} s.")),
        remedy: Some("SELECT foreman.rescue_expired(); -- takes the level admin".to_owned()),
        ..Measure::default()
    })
}
