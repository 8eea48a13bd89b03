//! Queues: their policies, and whether jobs are handed out from them.

use crate::arguments;
use crate::guard;
use crate::guard::function::Function;
use crate::jobs::new_job::{MAX_ATTEMPTS, PRIORITIES};
use crate::jobs::policy::{self, Policy};
use crate::pg::datum::{Jsonb, Text};
use pgrx::prelude::*;

/// Sets a queue's policy, and makes the queue if there is none. What is NULL stays as it is.
///
/// - `lease_seconds`: of claims that name none, 0.1 to 604800 (300). `max_attempts`: of jobs that name none, 1 to 1000
///   (25). `default_priority`: of jobs that name none, 0 to 9 (5).
/// - `backoff`: the pause before the next attempt: `exponential` (base * factor ^ (attempt - 1)), `linear`
///   (base * attempt) or `fixed` (base), of which `backoff_jitter`, 0 to 1 (0.2), is the part that may be less, by chance.
///   `backoff_base_seconds`: 0 to a year (5). `backoff_factor`: 1 to 10 (2). `backoff_cap_seconds`: the base to a year
///   (3600).
/// - `max_run_seconds`: the lease of jobs set running without a claim, 0.1 to 31536000 (3600).
/// - `completed_retention_seconds`, `failed_retention_seconds` (of cancelled jobs too): from 1; 'infinity' keeps for ever
///   (a week, 30 days). They count from the end of the day (UTC) on which a job ended.
/// - `notify`: whether NOTIFY foreman_jobs, with the queue's name, tells of new jobs (false). `options`: none yet.
/// - `ready_target_seconds`: for how long the oldest ready job may have been waiting before the check `late_queues` warns,
///   up to a year; 0 takes the target away (none: then the check `oldest_ready_job` judges the queue).
/// - Replies: `success` with the whole policy, where a retention of null is for ever, a target of null is none.
/// - Errors: `INVALID_PARAMS`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn configure_queue(
    queue: Option<Text>,
    lease_seconds: default!(Option<f64>, "NULL"),
    max_attempts: default!(Option<i32>, "NULL"),
    backoff: default!(Option<Text>, "NULL"),
    backoff_base_seconds: default!(Option<f64>, "NULL"),
    backoff_factor: default!(Option<f64>, "NULL"),
    backoff_cap_seconds: default!(Option<f64>, "NULL"),
    backoff_jitter: default!(Option<f64>, "NULL"),
    max_run_seconds: default!(Option<f64>, "NULL"),
    completed_retention_seconds: default!(Option<f64>, "NULL"),
    failed_retention_seconds: default!(Option<f64>, "NULL"),
    notify: default!(Option<bool>, "NULL"),
    default_priority: default!(Option<i32>, "NULL"),
    ready_target_seconds: default!(Option<f64>, "NULL"),
    options: default!(Option<Jsonb>, "'{}'"),
) -> Jsonb {
    const SECONDS: &str = "a number of seconds";
    const YEAR: f64 = 31_536_000.0;
    const WAYS: [&str; 3] = ["exponential", "linear", "fixed"];
    guard::run(Function::ConfigureQueue, || {
        let name = arguments::name("queue", queue)?;
        arguments::no_options(options)?;
        let number = arguments::optional_number;
        let retention = |argument: &'static str, value| number(argument, value, 1.0, f64::INFINITY, SECONDS);
        let policy = Policy {
            lease_seconds: arguments::lease_seconds("lease_seconds", lease_seconds)?,
            max_attempts: arguments::optional_within("max_attempts", max_attempts, 1..=MAX_ATTEMPTS)?,
            backoff: backoff.map(|word| arguments::word("backoff", Some(word), &WAYS)).transpose()?,
            backoff_base_seconds: arguments::pause("backoff_base_seconds", backoff_base_seconds)?,
            backoff_factor: arguments::optional_number("backoff_factor", backoff_factor, 1.0, 10.0, "a number")?,
            backoff_cap_seconds: arguments::pause("backoff_cap_seconds", backoff_cap_seconds)?,
            backoff_jitter: arguments::optional_number("backoff_jitter", backoff_jitter, 0.0, 1.0, "a number")?,
            max_run_seconds: arguments::optional_number("max_run_seconds", max_run_seconds, 0.1, YEAR, SECONDS)?,
            completed_retention_seconds: retention("completed_retention_seconds", completed_retention_seconds)?,
            failed_retention_seconds: retention("failed_retention_seconds", failed_retention_seconds)?,
            notify,
            default_priority: arguments::optional_within("default_priority", default_priority, PRIORITIES)?,
            ready_target_seconds: number("ready_target_seconds", ready_target_seconds, 0.0, YEAR, SECONDS)?,
        };
        policy::configure(&name, &policy)
    })
}

/// Stops handing out a queue's jobs; those that run go on, and new ones are taken.
///
/// - Replies: `success` with `paused` and `changed`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn pause_queue(queue: Option<Text>) -> Jsonb {
    guard::run(Function::PauseQueue, || policy::pause(&arguments::name("queue", queue)?, true))
}

/// Hands out a queue's jobs again.
///
/// - Replies: `success` with `paused` and `changed`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn resume_queue(queue: Option<Text>) -> Jsonb {
    guard::run(Function::ResumeQueue, || policy::pause(&arguments::name("queue", queue)?, false))
}

/// Lists all queues with their policies, by name; job_stats counts their jobs.
///
/// - Replies: `success` with `queues`, as of `configure_queue`, with `paused_at` besides.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn list_queues() -> Jsonb {
    guard::run(Function::ListQueues, || Ok(policy::list()))
}
