//! Jobs whose workers were not heard of again.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "rescued_jobs",
    unit: "per minute",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "How many leases have expired and been taken back, a minute, over the last ten readings, which are \
            one a minute: workers died, or lost touch, or their leases are too short.",
    advice: "Read in foreman.list_jobs(status => 'failed') and the workers' logs what ended them; send \
             heartbeats, or claim for longer.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// Leases a minute.
fn measure(span: &Span) -> Measure {
    let meaning =
        format!("Leases taken back in the last {:.1} minutes: {}.", span.minutes(), span.growth(Figure::Rescued));
    let remedy = "SELECT worker, count(*) FROM foreman.jobs WHERE attempt > 1 GROUP BY worker ORDER BY 2 DESC;";
    rates::told(span.per_minute(Figure::Rescued), meaning, remedy)
}
