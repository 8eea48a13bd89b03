//! How much is found in the server's own memory.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::rates;
use crate::shared::samples::{Figure, Span};

pub const CHECK: Check = Check {
    name: "cache_hits",
    unit: "percent",
    direction: Direction::Below,
    warn: Some(90.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "The share of blocks in this database that were found in shared_buffers, of 10,000 at least, over the \
            last ten readings, which are one a minute. What comes from the system's own cache counts as not \
            found.",
    advice: "Look in pg_stat_statements by shared_blks_read for what reads so much; raise shared_buffers if the \
             machine has the memory.",
    run: Run::Fast(|_| rates::over(rates::SOME, measure)),
};

/// The share, of 10,000 at least: what a start reads is no alarm.
fn measure(span: &Span) -> Measure {
    let (hit, read) = (span.growth(Figure::BlocksHit), span.growth(Figure::BlocksRead));
    let meaning = format!(
        "Blocks in the last {:.1} minutes: {hit} found in shared_buffers, {read} had to be read.",
        span.minutes()
    );
    let remedy = "SHOW shared_buffers; -- pg_stat_statements tells by shared_blks_read what reads so much";
    rates::told(100.0 - 100.0 * read / (hit + read).max(10_000.0), meaning, remedy)
}
