//! Metrics, for what collects them.

use crate::arguments;
use crate::guard::function::Function;
use crate::guard::{self, Limits};
use crate::metrics::{self, Format};
use crate::pg::datum::{Jsonb, Text};
use crate::pg::jsonb;
use pgrx::prelude::*;

/// Answers all metrics as text, for Prometheus and what reads the same: the rows of `foreman.metric_samples`.
///
/// - `format`: `prometheus` (text format 0.0.4) or `openmetrics` (1.0).
/// - Queues are told by name up to the 100th that was made; those after it together as `_other`.
/// - Every role that may call it gets all figures, with or without pg_monitor. In a transaction it looks at the sessions
///   anew, and so forgets what pg_stat_activity showed before.
/// - Errors are raised, whatever `foreman.on_error` says, since text is no reply: JF004 (another format), 55P03 (somebody
///   has a table of ours locked for more than 50 ms).
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn metrics(format: default!(Option<Text>, "'prometheus'")) -> Option<Text> {
    /// A scrape would rather fail at once than wait, as `db_health` would.
    const LOCK_TIMEOUT: i32 = 50;
    let limits = Limits { lock_timeout: Some(LOCK_TIMEOUT), max_retries: Some(0), ..Limits::default() };
    let reply = guard::run_within(
        Function::Metrics,
        || Ok(limits),
        || arguments::word("format", format, &Format::WORDS).map(|word| metrics::text(Format::of_word(word))),
    );
    jsonb::text_of(reply, "text")
}

/// Answers the samples that only shared memory has, and the settings: `foreman.metric_samples` is made of it.
///
/// - Replies: `success` with `samples`, and with `looks`, what claims have found below their floors.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_metrics() -> Jsonb {
    guard::run(Function::ReadMetrics, || Ok(metrics::samples()))
}
