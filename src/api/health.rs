//! The server's health.

use crate::arguments;
use crate::guard::function::Function;
use crate::guard::{self, Limits};
use crate::health::thresholds::{self, Wanted};
use crate::health::{self, slow};
use crate::pg::datum::{Jsonb, Text, Timestamptz};
use pgrx::prelude::*;
use std::time::Duration;

/// A probe would rather hear at once that something is slow than wait. Each check has a bound of its own, far below this.
const LIMITS: Limits =
    Limits { max_retries: Some(0), timeout: Some(Duration::from_secs(2)), lock_timeout: None, skip_duplicates: false };

/// Answers how the server is, as one document: made for a dashboard, or for a probe that asks every second.
///
/// - `detail`: true has the checks that pass tell their `subjects`, too, and `query_performance` tell of each function.
/// - The document is the reply: its `status` is `healthy`, `degraded` (a check warns) or `unhealthy` (a check fails).
///   `complete` is false where something is `unknown`, which does not worsen the status.
/// - `connection_pool` is the server's own slots: `size` is those that ordinary roles can have, `checked_out` the
///   client sessions, `overflow` those in reserved slots. Degraded from 75 percent, unhealthy above 90.
/// - `database_stats` counts jobs, exactly as of `as_of` (see `job_stats`); `success_rate` is the percentage of completed
///   among completed and failed, null where there are none. `checks` are the rows of `foreman.health_checks`, worst
///   first; `warnings` names those that warn or fail; `skipped` says which were not made, and why.
/// - Every role that may call it gets all figures, with or without pg_monitor; a query's text is never among them.
///   In a transaction it looks at the sessions anew, and so forgets what pg_stat_activity showed before.
/// - A check that fails, or waits for a lock for more than 50 ms, is `unknown`. After half a second that was lost to such
///   ones, or a second and a half in all, no more are begun.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn db_health(detail: default!(Option<bool>, false)) -> Jsonb {
    guard::run_within(
        Function::DbHealth,
        || Ok(LIMITS),
        || Ok(health::document(arguments::yes_or_no("detail", detail)?)),
    )
}

/// Answers the checks as `foreman.health_checks` shows them, with the rights of whoever asks.
///
/// - Replies: `success` with `checks`. Errors are raised, whatever `foreman.on_error` says: a view without rows would
///   look well.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn read_health_checks() -> Jsonb {
    guard::run_within(Function::ReadHealthChecks, || Ok(LIMITS), || Ok(health::checks()))
}

/// A step of views: answers what checks read of the server, as far as whoever asks may see it.
///
/// - `of`: `sessions` (`foreman.client_sessions`), `horizon` (`foreman.horizon_holders`) or `transaction_ages`.
/// - Replies: `success` with `rows`. Errors are raised.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn read_server(of: Option<Text>) -> Jsonb {
    guard::run_within(Function::ReadServer, || Ok(LIMITS), || health::server(&arguments::name("of", of)?))
}

/// For readiness probes and load balancers: false where the other sessions hold every connection that an ordinary role can
/// have. Nothing else is helped by taking traffic away.
///
/// - The session that asks may have taken the last one itself. Errors are raised.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn is_ready() -> bool {
    health::is_ready()
}

/// Answers what each check is measured against: `foreman.health_thresholds` is made of it.
///
/// - Replies: `success` with `thresholds`. Errors are raised.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_health_thresholds() -> Jsonb {
    guard::run(Function::ReadHealthThresholds, || Ok(thresholds::list()))
}

/// Makes the slow checks now, which the background worker makes every `foreman.slow_check_interval`: those that go
/// through all tables, indexes or sequences of this database.
///
/// - `name`: one of them, a check of `foreman.health_thresholds` whose `tier` is `slow`; NULL makes all.
/// - It reads catalogs and statistics, takes no lock on a table of yours for longer than it takes to ask its size, and waits
///   50 ms at most for one; a check that fails costs only itself. With 5,000 tables all of them take some 300 ms.
/// - Replies: `success` with `checks`, each with `name`, `took_ms` and `error` (null where there is none). What was found
///   is in `db_health` and `foreman.health_checks`.
/// - Errors: `INVALID_PARAMS`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn refresh_health(name: default!(Option<Text>, "NULL")) -> Jsonb {
    guard::run(Function::RefreshHealth, || slow::refresh(arguments::optional_name("name", name)?.as_deref()))
}

/// Sets what a check is measured against, switches it off, or mutes it. What is NULL stays as it is.
///
/// - `name`: a check of `foreman.health_thresholds`. `warn`, `fail`: 0 to 1000000000000, in the check's unit; `fail` only
///   for a check that may fail. `enabled`: false skips it. `muted_until`: it is made and shown until then, and raises no
///   alarm; a time that is over ends that. `note`: up to 64 kB, why.
/// - `reset`: true forgets first what was configured before.
/// - Replies: `success` with what is in force, as a row of `foreman.health_thresholds`.
/// - Errors: `INVALID_PARAMS`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn configure_check(
    name: Option<Text>,
    warn: default!(Option<f64>, "NULL"),
    fail: default!(Option<f64>, "NULL"),
    enabled: default!(Option<bool>, "NULL"),
    muted_until: default!(Option<Timestamptz>, "NULL"),
    note: default!(Option<Text>, "NULL"),
    reset: default!(Option<bool>, false),
) -> Jsonb {
    const MOST: f64 = 1e12;
    guard::run(Function::ConfigureCheck, || {
        let check = thresholds::find(&arguments::name("name", name)?)?;
        let wanted = Wanted {
            warn: arguments::optional_number("warn", warn, 0.0, MOST, "a number")?,
            fail: arguments::optional_number("fail", fail, 0.0, MOST, "a number")?,
            enabled,
            muted_until: arguments::run_at("muted_until", muted_until)?,
            note: arguments::text("note", note)?,
            reset: arguments::yes_or_no("reset", reset)?,
        };
        thresholds::configure(check, &wanted)
    })
}
