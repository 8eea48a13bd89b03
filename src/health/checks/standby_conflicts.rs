//! Queries that a standby has cancelled.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::pg::xact;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "standby_conflicts",
    unit: "per minute",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many queries the replay has cancelled in this database, a minute, over the last ten readings, \
            which are one a minute. Skipped on a primary, which has none.",
    advice: "Set hot_standby_feedback, which has the primary keep what is looked at here, or max_standby_streaming_delay, \
             which has the replay wait.",
    run: Run::Fast(|_| if xact::in_recovery() { rates::over(rates::SOME, measure) } else { Some(no_standby()) }),
};

/// Nothing to be measured.
fn no_standby() -> Measure {
    Measure { meaning: Some("this server is no standby".to_owned()), ..Measure::default() }
}

/// Conflicts a minute.
fn measure(span: &Span) -> Measure {
    let meaning = format!(
        "Queries that the replay has cancelled in the last {:.1} minutes: {}.",
        span.minutes(),
        span.growth(Figure::Conflicts)
    );
    let remedy = "SELECT * FROM pg_stat_database_conflicts WHERE datname = current_database();";
    rates::told(span.per_minute(Figure::Conflicts), meaning, remedy)
}
