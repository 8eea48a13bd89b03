//! What does not fit into memory.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "temp_files",
    unit: "bytes per minute",
    direction: Direction::Above,
    warn: Some(1073741824.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much was written to temporary files in this database, a minute, over the last ten readings, \
            which are one a minute.",
    advice: "Find the statements with log_temp_files, or in pg_stat_statements by temp_blks_written; raise \
             work_mem for them.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// Bytes a minute.
fn measure(span: &Span) -> Measure {
    let grown = span.growth(Figure::TempBytes);
    let meaning = format!("Written to temporary files in the last {:.1} minutes: {}.", span.minutes(), rates::bytes(grown));
    let remedy = "ALTER SYSTEM SET log_temp_files = '100MB'; -- then SELECT pg_reload_conf(); and read the server's log";
    rates::told(span.per_minute(Figure::TempBytes), meaning, remedy)
}
