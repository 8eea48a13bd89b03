//! Checkpoints that come before their time.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "requested_checkpoints",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(50.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "The share of checkpoints that came before checkpoint_timeout was over, of 10 at least, over two \
            hours of readings. Mostly it is WAL that fills max_wal_size; a backup, CREATE DATABASE and \
            CHECKPOINT count as well.",
    advice: "Raise max_wal_size: a checkpoint has each page written whole once more.",
    run: Run::Fast(|_| rates::over(rates::ALL, measure)),
};

/// The share, of 10 at least.
fn measure(span: &Span) -> Measure {
    let (timed, early) = (span.growth(Figure::CheckpointsTimed), span.growth(Figure::CheckpointsRequested));
    let minutes = span.minutes();
    let meaning = format!("Checkpoints in the last {minutes:.0} minutes: {early} before their time, {timed} at it.");
    let remedy = "SHOW max_wal_size; -- raise it with ALTER SYSTEM, then SELECT pg_reload_conf();";
    rates::told(100.0 * early / (timed + early).max(10.0), meaning, remedy)
}
