//! Jobs that claims would have passed over.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::floors;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "floor_misses",
    unit: "jobs",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "How many jobs were found only by looking back at what claims pass over (foreman.floor_stats), over two hours \
            of readings. They are done, but late. Rows that were written by hand, by replication or by a restore are \
            found so; those that were made ready by a call are not.",
    advice: "Create jobs with foreman.create_job, and never write to foreman.live_job. Where nobody does, and none of \
             the cases that docs/claiming.md names has come up, it is a mistake of pg_foreman: please tell.",
    run: Run::Fast(|_| if floors::are_shared() { rates::over(rates::ALL, measure) } else { Some(nothing()) }),
};

/// The floors that a session keeps for itself are not relied on.
fn nothing() -> Measure {
    let meaning = Some("there are no floors for all sessions: they take preloading".to_owned());
    Measure { meaning, ..Measure::default() }
}

/// How many more were found. A queue that has lost its place has taken its own with it.
fn measure(span: &Span) -> Measure {
    let found = span.growth(Figure::FloorMisses).max(0.0);
    let meaning = format!("Jobs found only by looking back, in the last {:.1} minutes: {found}.", span.minutes());
    let remedy = "SELECT queue, found_by_look_back FROM foreman.floor_stats WHERE found_by_look_back > 0;";
    rates::told(found, meaning, remedy)
}
