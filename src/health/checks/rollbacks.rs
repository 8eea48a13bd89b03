//! Transactions that come to nothing.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "rollbacks",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(10.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "The share of transactions in this database that were rolled back, of 100 at least, over the last ten \
            readings, which are one a minute.",
    advice: "Read the errors in the server's log. An application that rolls back by design has the threshold \
             raised.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// The share, of 100 at least, so that one of two is no alarm.
fn measure(span: &Span) -> Measure {
    let (back, kept) = (span.growth(Figure::Rollbacks), span.growth(Figure::Commits));
    let meaning =
        format!("Transactions in the last {:.1} minutes: {back} rolled back, {kept} committed.", span.minutes());
    let remedy = "SHOW log_min_error_statement; -- the server's log has the statements that failed";
    rates::told(100.0 * back / (back + kept).max(100.0), meaning, remedy)
}
