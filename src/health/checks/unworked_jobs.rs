//! Jobs that come, and none that ends.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "unworked_jobs",
    unit: "jobs",
    direction: Direction::Above,
    warn: Some(10.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "By how much the ready jobs of all queues that are not paused have become more while no job at all \
            has ended, over the last ten readings, which are one a minute; of five readings at least. Jobs that \
            merely take long come to an end now and then. Of a queue that nobody works on while others go on, \
            oldest_ready_job tells, or late_queues.",
    advice: "See in foreman.list_queues() where they are, and start workers for it.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// Over so many readings at least: what has just come may well be taken the next moment.
const FEWEST: usize = 5;

/// How many more jobs wait.
fn measure(span: &Span) -> Measure {
    let (more, ended) = (span.growth(Figure::JobsReady), span.growth(Figure::JobsEnded));
    let is_stuck = span.steps >= FEWEST && ended == 0.0;
    let meaning = format!(
        "In the last {:.1} minutes {ended} jobs have ended, and ready ones have become {} {}.",
        span.minutes(),
        more.abs(),
        if more < 0.0 { "fewer" } else { "more" }
    );
    let remedy = "SELECT jsonb_pretty(foreman.list_queues());";
    rates::told(if is_stuck { more.max(0.0) } else { 0.0 }, meaning, remedy)
}
