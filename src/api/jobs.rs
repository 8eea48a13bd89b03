//! Jobs: create, update, find, count, keep up.

use crate::arguments;
use crate::error::Error;
use crate::guard::function::Function;
use crate::guard::{self, Limits};
use crate::jobs::finish::Ending;
use crate::jobs::list::Filter;
use crate::jobs::new_job::Arguments;
use crate::jobs::status::Status;
use crate::jobs::transition::{self, Change};
use crate::jobs::{create, list, remove, stats, upkeep};
use crate::pg::datum::{BigintArray, Jsonb, Text, Timestamptz};
use pgrx::prelude::*;

/// Creates a job and answers its id.
///
/// - `queue`: 1 to 200 characters; the queue is made on first use. `payload`: any JSON up to
///   `foreman.max_payload_bytes`. `priority`: 0 (first) to 9; NULL is the queue's. `run_at`: not before then; NULL is now.
/// - `unique_key`: no second job with it in the queue while one is pending or running; `on_duplicate` says what
///   then: `skip` (answers the job that is there), `error` (`DUPLICATE_ENTRY`), `replace` (gives a pending one
///   the new payload, priority and time).
/// - `max_attempts`: 1 to 1000; NULL is the queue's. `metadata`: a JSON object. `options`: none yet.
/// - Replies: `success` with `job_id` and `created`; `skipped` with `job_id` and `reason`.
/// - Errors: `INVALID_PARAMS`, `DUPLICATE_ENTRY`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn create_job(
    queue: Option<Text>,
    payload: default!(Option<Jsonb>, "'{}'"),
    job_type: default!(Option<Text>, "NULL"),
    priority: default!(Option<i32>, "NULL"),
    run_at: default!(Option<Timestamptz>, "NULL"),
    unique_key: default!(Option<Text>, "NULL"),
    on_duplicate: default!(Option<Text>, "'skip'"),
    max_attempts: default!(Option<i32>, "NULL"),
    metadata: default!(Option<Jsonb>, "'{}'"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::CreateJob, || {
        create::one(&Arguments {
            queue,
            payload,
            job_type,
            priority,
            run_at,
            unique_key,
            on_duplicate,
            max_attempts,
            metadata,
            options,
        })
    })
}

/// Creates up to 10000 jobs, all or none.
///
/// - `jobs`: a JSON array of objects with the arguments of `create_job` as members; `queue` has to be there,
///   `run_at` is a string in ISO 8601 with a time zone.
/// - Replies: `success` with `job_ids` in the order of the array, the numbers `created` and `replaced`, and a
///   list `skipped` of those whose unique key was taken.
/// - Errors: `INVALID_PARAMS` (names the member, such as `jobs[3].priority`), `DUPLICATE_ENTRY`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn create_jobs(jobs: Option<Jsonb>) -> Jsonb {
    guard::run(Function::CreateJobs, || create::many(jobs))
}

/// Moves a job to another state.
///
/// - `status`: from `pending` to `running`, `completed`, `failed`, `cancelled`; from `running` to those and back
///   to `pending`, which forgets a requested cancel; from `failed` and `cancelled` back to `pending`. `result` and `error`: only where the job ends.
/// - `lease_token`: of a claimed job its token; of one that was never claimed NULL. Set running without a claim,
///   a job has the queue's `max_run_seconds` as its lease. `options`: none yet.
/// - Replies: `success` with `from`, `to` and `changed`, which is false where the job was in that state already.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION`, `LEASE_LOST`, `DUPLICATE_ENTRY` (the unique key
///   was taken meanwhile), `DB_DEADLOCK`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn update_job_status(
    job_id: Option<i64>,
    status: Option<Text>,
    result: default!(Option<Jsonb>, "NULL"),
    error: default!(Option<Text>, "NULL"),
    lease_token: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::UpdateJobStatus, || {
        let job_id = arguments::job_id(job_id)?;
        arguments::no_options(options)?;
        transition::one(job_id, &change(status_word(status)?, result, error, lease_token)?)
    })
}

/// Moves a job to `completed`: `update_job_status` by a name of its own.
///
/// - `result`: any JSON up to `foreman.max_payload_bytes`. `lease_token`: as for `update_job_status`.
/// - Replies and errors: as for `update_job_status`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn update_job_success(
    job_id: Option<i64>,
    result: default!(Option<Jsonb>, "NULL"),
    lease_token: default!(Option<Text>, "NULL"),
) -> Jsonb {
    guard::run(Function::UpdateJobSuccess, || {
        transition::one(arguments::job_id(job_id)?, &change(Status::Completed, result, None, lease_token)?)
    })
}

/// Moves a job to `failed`, for good: `update_job_status` by a name of its own.
///
/// - `error`: up to 64 kB of text. `lease_token`: as for `update_job_status`.
/// - Replies and errors: as for `update_job_status`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn update_job_failure(
    job_id: Option<i64>,
    error: default!(Option<Text>, "NULL"),
    lease_token: default!(Option<Text>, "NULL"),
) -> Jsonb {
    guard::run(Function::UpdateJobFailure, || {
        transition::one(arguments::job_id(job_id)?, &change(Status::Failed, None, error, lease_token)?)
    })
}

/// Moves many jobs to a state, each with an outcome of its own.
///
/// - `job_ids`: 1 to 10000 different ids. The other arguments are those of `update_job_status`, for all of them.
///   Rows are locked in the order of their ids.
/// - Replies: `success` with the numbers `updated`, `unchanged`, `not_found`, `refused`, and `outcomes`, a list
///   with each job's, in the order of their ids.
/// - Errors: `INVALID_PARAMS`, `DB_DEADLOCK`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn bulk_update_job_status(
    job_ids: Option<BigintArray>,
    status: Option<Text>,
    result: default!(Option<Jsonb>, "NULL"),
    error: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::BulkUpdateJobStatus, || {
        let ids = arguments::job_ids(job_ids)?;
        arguments::no_options(options)?;
        Ok(transition::many(&ids, &change(status_word(status)?, result, error, None)?))
    })
}

/// Answers a job with all that is known of it, payload and result as they were given.
///
/// - Replies: `success` with `job`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn get_job(job_id: Option<i64>) -> Jsonb {
    guard::run(Function::GetJob, || list::get(arguments::job_id(job_id)?))
}

/// Lists jobs, newest first.
///
/// - `queue`, `status`, `job_type`: only those; NULL is all. `page_size`: 1 to 100.
/// - `cursor`: the `next_cursor` of the page before, asked for with the same filters; NULL is the first page.
///   Jobs that come or end meanwhile neither repeat nor hide others.
/// - Replies: `success` with `jobs` and, where more follow, `next_cursor`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue).
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn list_jobs(
    queue: default!(Option<Text>, "NULL"),
    status: default!(Option<Text>, "NULL"),
    job_type: default!(Option<Text>, "NULL"),
    page_size: default!(Option<i32>, 20),
    cursor: default!(Option<Text>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    guard::run(Function::ListJobs, || {
        arguments::no_options(options)?;
        let filter = Filter {
            queue: arguments::optional_name("queue", queue)?,
            status: status.map(|status| status_word(Some(status))).transpose()?,
            job_type: arguments::optional_name("job_type", job_type)?,
        };
        let size = arguments::page_size(page_size)?;
        list::page(&filter, size, arguments::cursor(cursor).as_deref())
    })
}

/// Cancels a job, whoever holds its lease.
///
/// - `reason`: up to 64 kB of text, kept as the job's error.
/// - Replies: as for `update_job_status`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it has ended otherwise), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn cancel_job(job_id: Option<i64>, reason: default!(Option<Text>, "NULL")) -> Jsonb {
    guard::run(Function::CancelJob, || {
        let ending = Ending { result: None, error: arguments::text("reason", reason)? };
        let change = Change { to: Status::Cancelled, ending, lease_token: None, forced: true, only_ended: false };
        transition::one(arguments::job_id(job_id)?, &change)
    })
}

/// Deletes a job for good, in any state but `running`.
///
/// - Replies: `success` with `deleted` and the state it was in.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it is running: cancel it first), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn delete_job(job_id: Option<i64>) -> Jsonb {
    guard::run(Function::DeleteJob, || remove::one(arguments::job_id(job_id)?))
}

/// Makes a job that failed or was cancelled pending again, with the same id and at least one attempt left.
///
/// - Replies: as for `update_job_status`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it is running, or completed), `DUPLICATE_ENTRY`
///   (its unique key was taken meanwhile), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn retry_job(job_id: Option<i64>) -> Jsonb {
    guard::run(Function::RetryJob, || {
        let change = Change { only_ended: true, ..change(Status::Pending, None, None, None)? };
        transition::one(arguments::job_id(job_id)?, &change)
    })
}

/// Counts jobs by state, of one queue or of all.
///
/// - `since_seconds`: of the jobs that ended, counts those of the last so many seconds, up to 10 years; NULL is all.
///   Live jobs are counted in any case. `since` in the reply is the moment from which was counted: that one, or where so
///   many have ended the beginning of its quarter of an hour, of its hour on days that are over.
/// - Replies: `success` with `pending` (of which `scheduled` are not due yet), `running`, `completed`, `failed`,
///   `cancelled`, `total`, `success_rate` (percent of completed and failed; null where none) and
///   `oldest_ready_seconds`, exact as of a moment: `live_as_of` for the first three and the last, `as_of` for those that
///   ended. It is now where tables are small, else that of the last count by upkeep; docs/operations.md.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue).
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn job_stats(queue: default!(Option<Text>, "NULL"), since_seconds: default!(Option<f64>, "NULL")) -> Jsonb {
    /// Ten years, in seconds.
    const MOST: f64 = 315_360_000.0;
    guard::run(Function::JobStats, || {
        let queue = arguments::optional_name("queue", queue)?;
        let since = arguments::seconds("since_seconds", since_seconds, MOST)?;
        stats::of(queue.as_deref(), since.map(|since| since.as_secs_f64()))
    })
}

/// Does the upkeep: expired leases, partitions for the week ahead, finished jobs moved into them, what no queue keeps any
/// longer deleted, and jobs counted.
///
/// - To be called every few seconds where leases are to be rescued, outside of a transaction block, which would hold its
///   locks for longer. It waits at most 50 ms for a lock; what it can't do at once the next call does.
/// - Replies: `success` with the numbers `rescued`, `failed`, `cancelled` (as of `rescue_expired`), `partitions_made`,
///   `jobs_moved`, `jobs_deleted`, `partitions_emptied`, `partitions_dropped`, `days_changed`, `days_counted`, `days_closed`,
///   `roll_ups` (of figures), `floors_saved`, `queues_woken`, and `postponed`, the steps that could not have their lock;
///   `skipped` where another session is at it.
/// - Errors: `DB_QUERY_ERROR` 25001 (in a transaction block), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn maintain() -> Jsonb {
    /// Longest wait for a lock: others queue up behind a waiting one.
    const LOCK_TIMEOUT: i32 = 50;
    let limits = Limits { lock_timeout: Some(LOCK_TIMEOUT), ..Limits::default() };
    guard::run_within(Function::Maintain, || Ok(limits), upkeep::run)
}

/// A state by its name.
fn status_word(status: Option<Text>) -> Result<Status, Error> {
    let word = arguments::word("status", status, &Status::NAMES)?;
    Status::of_name(word).ok_or_else(|| Error::invalid("status", word, arguments::one_of(&Status::NAMES)))
}

/// The change that these arguments ask for.
fn change(to: Status, result: Option<Jsonb>, error: Option<Text>, lease_token: Option<Text>) -> Result<Change, Error> {
    let ending =
        Ending { result: arguments::optional_json("result", result)?, error: arguments::text("error", error)? };
    if !to.is_final() && (ending.result.is_some() || ending.error.is_some()) {
        let argument = if ending.result.is_some() { "result" } else { "error" };
        return Err(Error::invalid(argument, "a value", format!("NULL for a job that becomes {to}")));
    }
    Ok(Change { to, ending, lease_token: arguments::lease_token(lease_token)?, forced: false, only_ended: false })
}
