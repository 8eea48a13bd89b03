//! What the guard counted, and the check that turns an error reply into an error.

use crate::diagnostics;
use crate::guard;
use crate::guard::function::Function;
use crate::pg::datum::Jsonb;
use pgrx::prelude::*;

/// Raises an error where the reply is one, else hands the reply back: for SQL and for thin clients.
///
/// - `reply`: what a function of this schema answered.
/// - Errors: raised, whatever `foreman.on_error` says, with the reply's `sqlstate` and `message`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn check(reply: Option<Jsonb>) -> Jsonb {
    guard::run(Function::Check, || diagnostics::check(reply))
}

/// Answers the counters of all functions that were called: `foreman.call_stats` is made of them.
///
/// - Replies: `success` with `functions`, and the sums `calls`, `errors` and `slow_calls`; `scope` is `server` (preloaded)
///   or `backend`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_call_stats() -> Jsonb {
    guard::run(Function::ReadCallStats, || Ok(diagnostics::call_stats()))
}

/// Answers the last 1,000 calls that took longer than `foreman.slow_call_threshold`: `foreman.slow_calls` is made of it.
///
/// - Replies: `success` with `calls`, the last one first; without preload those of this session alone.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_slow_calls() -> Jsonb {
    guard::run(Function::ReadSlowCalls, || Ok(diagnostics::slow_calls()))
}

/// Answers what the background worker did last, in each database: `foreman.worker_status` is made of it.
///
/// - Replies: `success` with `enabled`, which is false without preload and where `foreman.max_workers` is 0, and `steps`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_worker_status() -> Jsonb {
    guard::run(Function::ReadWorkerStatus, || Ok(diagnostics::worker_status()))
}

/// Answers what claims have found below their floors, queue by queue: `foreman.floor_stats` is made of it.
///
/// - Replies: `success` with `queues`, those of this database that have floors in shared memory: none without preload.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn read_floor_stats() -> Jsonb {
    guard::run(Function::ReadFloorStats, || Ok(diagnostics::floor_stats()))
}
