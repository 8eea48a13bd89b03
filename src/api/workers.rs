//! What workers call: claim, keep alive, finish, give back, hold; and what is said of jobs that run.

use crate::arguments;
use crate::error::Error;
use crate::guard;
use crate::guard::function::Function;
use crate::jobs::claim::{self, Wanted};
use crate::jobs::finish::Ending;
use crate::jobs::heartbeat::{self, Beat};
use crate::jobs::lists::{self, Said};
use crate::jobs::settle::{self, Settlement, Verdict};
use crate::jobs::{cancel, explain, hold, rescue};
use crate::pg::datum::{Jsonb, Text, TextArray, Timestamptz};
use crate::reply::Reply;
use pgrx::prelude::*;

/// Hands out ready jobs of a queue: each becomes running, under a lease.
///
/// - `max_jobs`: 1 to 1000. `lease_seconds`: 0.1 to 604800; NULL is the queue's. `worker`: a name to show, up to 200
///   characters. `options`: none yet.
/// - By priority, then the time since when they are ready, then id. Jobs that are not due, or locked by another session,
///   are passed over; nobody waits. A job whose lease has expired before is handed out alone: should it kill its worker
///   again, it takes no others with it.
/// - Replies: `success` with `jobs`, each with `job_id`, `payload`, `attempt`, `lease_token`, `lease_expires_at` and
///   more; an empty list where none is ready. `paused` where the queue is, `warning` where there is no such queue yet.
/// - Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`, `DB_DEADLOCK` (under REPEATABLE READ: use READ COMMITTED), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn claim_jobs(
    queue: Option<Text>,
    max_jobs: default!(Option<i32>, 1),
    lease_seconds: default!(Option<f64>, "NULL"),
    worker: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::ClaimJobs, || {
        let queues = vec![arguments::name("queue", queue)?];
        arguments::no_options(options)?;
        claim::claim(&wanted(queues, max_jobs, lease_seconds, worker)?)
    })
}

/// Hands out ready jobs of several queues, as `claim_jobs` does of one.
///
/// - `queues`: 1 to 100 different names, looked at in this order: a later one only for what the former had not enough of.
///   The other arguments are those of `claim_jobs`.
/// - Replies and errors: as for `claim_jobs`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn claim_jobs_from(
    queues: Option<TextArray>,
    max_jobs: default!(Option<i32>, 1),
    lease_seconds: default!(Option<f64>, "NULL"),
    worker: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::ClaimJobsFrom, || {
        let queues = arguments::queues(queues)?;
        arguments::no_options(options)?;
        claim::claim(&wanted(queues, max_jobs, lease_seconds, worker)?)
    })
}

/// Extends the lease of a job that the caller works on, and tells whether its cancel was requested.
///
/// - `extend_seconds`: the lease ends no earlier than so many seconds from now, 0.1 to 604800; NULL is the length that it
///   was claimed for. It never becomes shorter. `progress`: 0 to 100 percent. `note`: up to 120 bytes; both are shown by
///   `get_job`, and NULL leaves them. Preloaded, all this is kept in shared memory, and counts also where the transaction
///   is rolled back. `options`: none yet.
/// - Replies: `success` with `lease_expires_at` and `cancel_requested`, `cancel_reason` where one was given, and `held`
///   where another transaction has the job locked, as after `hold_lease`: the lease is left as it is until that ends.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (stop: another worker may have the job), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn heartbeat(
    job_id: Option<i64>,
    lease_token: Option<Text>,
    extend_seconds: default!(Option<f64>, "NULL"),
    progress: default!(Option<i32>, "NULL"),
    note: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::Heartbeat, || {
        arguments::no_options(options)?;
        heartbeat::one(Beat {
            job_id: arguments::job_id(job_id)?,
            lease_token: arguments::held_lease(lease_token)?,
            extend_seconds: arguments::lease_seconds("extend_seconds", extend_seconds)?,
            progress: arguments::optional_within("progress", progress, 0..=100)?,
            note: arguments::note(note)?,
        })
    })
}

/// Extends many leases in one call.
///
/// - `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `extend_seconds`,
///   `progress`, `note`, as for `heartbeat`. No job twice.
/// - Replies: `success` with `outcomes` in the order of the ids: `extended` (with `lease_expires_at` and
///   `cancel_requested`), `lease_lost` or `not_found`.
/// - Errors: `INVALID_PARAMS` (names the member, such as `leases[3].progress`), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn heartbeat_all(leases: Option<Jsonb>) -> Jsonb {
    guard::run(Function::HeartbeatAll, || Ok(heartbeat::many(&lists::beats(leases)?)))
}

/// Completes a job that the caller holds.
///
/// - `lease_token`: as claimed. `result`: any JSON up to `foreman.max_payload_bytes`. `options`: none yet.
/// - Replies: `success` with `from`, `to` and `changed`, which is false where the same was said before under the same
///   lease: so a call whose reply was lost may be made again.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn complete_job(
    job_id: Option<i64>,
    lease_token: Option<Text>,
    result: default!(Option<Jsonb>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::CompleteJob, || {
        arguments::no_options(options)?;
        let ending = Ending { result: arguments::optional_json("result", result)?, error: None };
        settle::one(settlement(job_id, lease_token, Verdict::Completed, ending)?)
    })
}

/// Completes many jobs that the caller holds, each with an outcome of its own.
///
/// - `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `result`. No job twice.
/// - Replies: `success` with `outcomes` in the order of the ids: `completed`, `unchanged`, `lease_lost` or `not_found`.
/// - Errors: `INVALID_PARAMS` (names the member, such as `leases[3].job_id`), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn complete_jobs(leases: Option<Jsonb>) -> Jsonb {
    guard::run(Function::CompleteJobs, || Ok(settle::many(&lists::settlements(leases, Said::Completed)?)))
}

/// Says that an attempt at a job failed: it is tried again later, or ends as failed.
///
/// - `error`: up to 64 kB of text, shown by `get_job`. `retry_in_seconds`: 0 to a year; NULL is the queue's backoff.
///   `final`: true ends the job at once. `options`: none yet.
/// - Replies: `success` with `from` and `to`: `pending` (with `ready_at`, `attempt`, `max_attempts`), `failed` where the
///   attempts are used up or this was final, `cancelled` where a cancel was requested.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.
// Spelt out, since pgrx would name the argument "r#final".
#[pg_extern(
    schema = "foreman",
    sql = r#"
CREATE FUNCTION foreman.fail_job(job_id bigint, lease_token text, error text DEFAULT NULL,
    retry_in_seconds double precision DEFAULT NULL, final boolean DEFAULT false, options jsonb DEFAULT '{}')
RETURNS jsonb
VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#
)]
fn fail_job(
    job_id: Option<i64>,
    lease_token: Option<Text>,
    error: Option<Text>,
    retry_in_seconds: Option<f64>,
    r#final: Option<bool>,
    options: Option<Jsonb>,
) -> Jsonb {
    guard::run(Function::FailJob, || {
        arguments::no_options(options)?;
        let retry_in = arguments::pause("retry_in_seconds", retry_in_seconds)?;
        let verdict = Verdict::Failed { retry_in, is_final: arguments::yes_or_no("final", r#final)? };
        let ending = Ending { result: None, error: arguments::text("error", error)? };
        settle::one(settlement(job_id, lease_token, verdict, ending)?)
    })
}

/// Says of many jobs that an attempt failed, each with an outcome of its own.
///
/// - `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `error`,
///   `retry_in_seconds`, `final`, as for `fail_job`. No job twice.
/// - Replies: `success` with `outcomes` in the order of the ids: `pending` (with `ready_at`), `failed`, `cancelled`,
///   `unchanged`, `lease_lost` or `not_found`.
/// - Errors: `INVALID_PARAMS` (names the member, such as `leases[3].final`), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn fail_jobs(leases: Option<Jsonb>) -> Jsonb {
    guard::run(Function::FailJobs, || Ok(settle::many(&lists::settlements(leases, Said::Failed)?)))
}

/// Gives a job back unfinished, at a shutdown or to look again later; no attempt is used up.
///
/// - `run_at`: not before then; NULL is now. `options`: none yet.
/// - Replies: `success` with `from` and `to`: `pending` (with `ready_at`), or `cancelled` where a cancel was requested.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn release_job(
    job_id: Option<i64>,
    lease_token: Option<Text>,
    run_at: default!(Option<Timestamptz>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::ReleaseJob, || {
        arguments::no_options(options)?;
        let verdict = Verdict::Released { run_at: arguments::run_at("run_at", run_at)? };
        settle::one(settlement(job_id, lease_token, verdict, Ending::default())?)
    })
}

/// Finishes what is done and claims the next jobs, in one call and one commit.
///
/// - `outcomes`: a JSON array of up to 10000 objects with `job_id`, `lease_token` and `outcome`: `completed` (with
///   `result`), `failed` (with `error`, `retry_in_seconds`, `final`) or `released` (with `run_at`). No job twice. The
///   other arguments are those of `claim_jobs`.
/// - Replies: `success` with `outcomes` as of `complete_jobs` and `fail_jobs`, and `jobs` as of `claim_jobs`.
/// - Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`, `READ_ONLY`; then nothing was finished and nothing claimed.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn finish_and_claim(
    outcomes: Option<Jsonb>,
    queue: Option<Text>,
    max_jobs: default!(Option<i32>, 1),
    lease_seconds: default!(Option<f64>, "NULL"),
    worker: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::FinishAndClaim, || {
        let list = lists::settlements(outcomes, Said::Outcome)?;
        let queues = vec![arguments::name("queue", queue)?];
        arguments::no_options(options)?;
        let wanted = wanted(queues, max_jobs, lease_seconds, worker)?;
        let outcomes = settle::told(&list, &settle::settle(&list));
        Ok(claim::claimed(Reply::success().field("outcomes", outcomes), &wanted))
    })
}

/// Holds a lease until the caller's transaction ends: nobody else can be given the job before.
///
/// - To be called first in the transaction that has the job's effect; `complete_job` in the same transaction makes the
///   effect happen once.
/// - Replies: `success`. Errors are raised, whatever `foreman.on_error` says, so that the effect can't commit:
///   `LEASE_LOST` (JF011), `NOT_FOUND` (JF005), `INVALID_PARAMS` (JF004) and those of the server.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn hold_lease(job_id: Option<i64>, lease_token: Option<Text>) -> Jsonb {
    guard::run(Function::HoldLease, || hold::hold(arguments::job_id(job_id)?, &arguments::held_lease(lease_token)?))
}

/// Says why a job does not run, by the conditions of the claim itself.
///
/// - Replies: `success` with `job_status`, `runnable` (the next claim with room takes it), `jobs_ahead` (ready ones of the
///   queue that come first; 1000 with `jobs_ahead_is_at_least` where there are more) and `reasons`, each with a `reason` (`queue_paused`, `not_due`, `leased`,
///   `lease_expired`, `cancel_requested`, `attempts_used_up`, `ended`; of a runnable one, and only where the library is preloaded,
///   `not_claimed_from`) and a `message`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn explain_job(job_id: Option<i64>) -> Jsonb {
    guard::run(Function::ExplainJob, || explain::explain(arguments::job_id(job_id)?))
}

/// Asks for a job's cancel: a pending one is cancelled at once, a running one's worker learns it by its next heartbeat.
///
/// - `reason`: up to 64 kB of text. A running job may still be completed; failed, given back or past its lease it is
///   cancelled. `cancel_job` does not wait for the worker.
/// - Replies: `success` with `from`, `to`, `changed` and, where the job runs, `cancel_requested`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it has ended otherwise), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn request_cancel(job_id: Option<i64>, reason: default!(Option<Text>, "NULL")) -> Jsonb {
    guard::run(Function::RequestCancel, || {
        cancel::request(arguments::job_id(job_id)?, arguments::text("reason", reason)?)
    })
}

/// Takes jobs back whose lease has expired: pending again, or ended where they can't be tried again.
///
/// - `max_jobs`: 1 to 10000, those that expired first. A job that another session has locked, by `hold_lease` or in
///   finishing it, is left alone. `maintain` does this too.
/// - Replies: `success` with the numbers `rescued`, `failed` (attempts used up) and `cancelled` (as was requested).
/// - Errors: `INVALID_PARAMS`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn rescue_expired(max_jobs: default!(Option<i32>, 100)) -> Jsonb {
    guard::run(Function::RescueExpired, || {
        rescue::expired(arguments::within("max_jobs", max_jobs.map(i64::from), 1..=10_000)? as i32)
    })
}

/// What a claim asks for.
fn wanted(
    queues: Vec<String>,
    max_jobs: Option<i32>,
    lease_seconds: Option<f64>,
    worker: Option<Text>,
) -> Result<Wanted, Error> {
    Ok(Wanted {
        queues,
        max_jobs: arguments::within("max_jobs", max_jobs.map(i64::from), 1..=1000)?,
        lease_seconds: arguments::lease_seconds("lease_seconds", lease_seconds)?,
        worker: arguments::optional_name("worker", worker)?,
    })
}

/// What is said of one job.
fn settlement(
    job_id: Option<i64>,
    lease_token: Option<Text>,
    verdict: Verdict,
    ending: Ending,
) -> Result<Settlement, Error> {
    let (job_id, lease_token) = (arguments::job_id(job_id)?, arguments::held_lease(lease_token)?);
    Ok(Settlement { job_id, lease_token, verdict, ending })
}
