//! Deadlocks.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "deadlocks",
    unit: "per minute",
    direction: Direction::Above,
    warn: Some(5.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many deadlocks the server has ended in this database, a minute, over the last ten readings, \
            which are one a minute. An application that tries again lives with some.",
    advice: "Read in the server's log which statements they were; have all transactions take their locks in the \
             same order.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// Deadlocks a minute.
fn measure(span: &Span) -> Measure {
    let meaning = format!("Deadlocks in the last {:.1} minutes: {}.", span.minutes(), span.growth(Figure::Deadlocks));
    let remedy = "SHOW log_lock_waits; -- the server's log has the statements of each deadlock";
    rates::told(span.per_minute(Figure::Deadlocks), meaning, remedy)
}
