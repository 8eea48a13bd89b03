//! Waiting for jobs.

use crate::arguments;
use crate::error::Error;
use crate::guard;
use crate::guard::function::Function;
use crate::jobs::waiting;
use crate::pg::datum::{Jsonb, TextArray};
use crate::pg::procedure::{self, Invocation};
use crate::pg::xact;
use pgrx::prelude::*;
use std::time::Duration;

/// Says whether there are jobs to claim in one of these queues: what `wait_for_jobs` looks at.
///
/// - `queues`: 1 to 100 different names. One that is not there yet, or paused, has no jobs to claim.
/// - Replies: `success` with `ready` and `next_due_seconds`, the time until the next delayed job becomes due; null where
///   there is none.
/// - Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn ready_in(queues: Option<TextArray>) -> Jsonb {
    guard::run(Function::ReadyIn, || Ok(waiting::ready(&arguments::queues(queues)?)))
}

/// Waits until there may be jobs to claim in one of these queues, or the time is over: to be called, not selected.
///
/// - `queues`: 1 to 100 different names, of queues that are there or that may come. `timeout_seconds`: above 0, up to
///   3600. A session's `statement_timeout` ends it earlier, with an error.
/// - Ends without a word; then claim, and wait again where there was nothing. While it waits it holds no snapshot.
/// - Preloaded, a commit that makes a job ready wakes one waiter; what wakes nobody (COMMIT PREPARED) is found within
///   10 s. Not preloaded, it polls: every 50 ms at first, every second later on.
/// - Errors are raised, there being no reply: JF004 (an argument), 25001 (in a transaction block or a function: use
///   autocommit), 42501 (the role may not call `ready_in`), 25006 (on a standby).
#[pg_extern(sql = false)]
fn wait_for_jobs(queues: Option<TextArray>, timeout_seconds: Option<f64>, invocation: Invocation) {
    let result =
        checked(queues, timeout_seconds, invocation).and_then(|(queues, timeout)| waiting::wait(&queues, timeout));
    if let Err(error) = result {
        guard::raise(error)
    }
}

/// The arguments and the circumstances, checked.
fn checked(
    queues: Option<TextArray>,
    timeout_seconds: Option<f64>,
    invocation: Invocation,
) -> Result<(Vec<String>, Duration), Error> {
    /// An hour, in seconds.
    const MOST: f64 = 3600.0;
    if !procedure::may_commit(invocation) {
        return Err(Error::WaitInTransaction);
    }
    if xact::in_recovery() {
        return Err(Error::ReadOnly);
    }
    let queues = arguments::queues(queues)?;
    let timeout = arguments::seconds("timeout_seconds", timeout_seconds, MOST)?.ok_or_else(|| {
        Error::invalid("timeout_seconds", "NULL", format!("a number of seconds above 0 and up to {MOST}"))
    })?;
    Ok((queues, timeout))
}
