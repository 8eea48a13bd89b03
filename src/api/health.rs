//! The server's health.

use crate::guard::function::Function;
use crate::guard::{self, Limits};
use crate::health;
use crate::pg::datum::Jsonb;
use pgrx::prelude::*;

/// Answers how the server is, as one document: made for a dashboard, or for a probe that asks every second.
///
/// - The document is the reply: its `status` is `healthy`, `degraded` (a check warns) or `unhealthy` (a check fails).
///   `complete` is false where a check is `unknown`, which does not worsen the status.
/// - `connection_pool` is the server's own slots: `size` is those that ordinary roles can have, `checked_out` the
///   client sessions, `overflow` those in reserved slots. Degraded from 75 percent, unhealthy above 90.
/// - `database_stats` counts jobs, exactly as of `as_of` (see `job_stats`); `success_rate` is the percentage of completed
///   among completed and failed, null where there are none. `checks` are the rows of `foreman.health_checks`, worst first; `warnings` names those that
///   warn or fail.
/// - Every role that may call it gets all figures, with or without pg_monitor; a query's text is never among them.
///   In a transaction it looks at the sessions anew, and so forgets what pg_stat_activity showed before.
/// - Errors: `DB_TIMEOUT_ERROR` (somebody has a table of ours locked for more than 50 ms).
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn db_health() -> Jsonb {
    /// A probe would rather hear at once that somebody has locked our tables than wait.
    const LOCK_TIMEOUT: i32 = 50;
    let limits = Limits { lock_timeout: Some(LOCK_TIMEOUT), max_retries: Some(0), ..Limits::default() };
    guard::run_within(Function::DbHealth, || Ok(limits), || Ok(health::document()))
}
