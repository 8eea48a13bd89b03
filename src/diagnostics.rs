//! The guard's counters as a reply, and replies turned back into errors.

use crate::error::{Code, Error};
use crate::guc;
use crate::jobs::live::LIVE_JOB;
use crate::pg::datum::Jsonb;
use crate::pg::jsonb::{self, Kind};
use crate::reply::Reply;
use crate::shared::counters::{self, Snapshot};
use crate::shared::floors::{self, Figures};
use crate::shared::slow_calls::{self, SlowCall};
use crate::shared::workers;
use crate::worker;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Bytes of a reply's texts that are repeated in an error.
const MAX_TEXT: usize = 8 * 1024;

/// What replies without an error say: those of calls, and of `db_health`.
const STATUSES: [&str; 5] = ["success", "skipped", "healthy", "degraded", "unhealthy"];

/// What calls have cost.
fn performance() -> [(&'static str, Value); 5] {
    let (snapshots, scope) = counters::read();
    let called = || snapshots.iter().filter(|snapshot| snapshot.calls > 0);
    let errors = called().flat_map(|snapshot| &snapshot.errors).map(|(_, count)| count).sum::<u64>();
    [
        ("scope", scope.into()),
        ("calls", called().map(|snapshot| snapshot.calls).sum::<u64>().into()),
        ("errors", errors.into()),
        ("slow_calls", slow_calls::count().into()),
        ("functions", called().map(|snapshot| entry(snapshot, scope)).collect()),
    ]
}

/// `read_call_stats`.
pub fn call_stats() -> Reply {
    performance().into_iter().fold(Reply::success(), |reply, (name, value)| reply.field(name, value))
}

/// The same as a part of the health document; function by function only with `detail`.
pub fn query_performance(detail: bool) -> Value {
    let told = performance().into_iter().filter(|(name, _)| detail || *name != "functions");
    told.map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

/// `read_slow_calls`.
pub fn slow_calls() -> Reply {
    let scope = counters::read().1;
    let call = |call: SlowCall| {
        json!({
            "ended_at": time(call.ended_at),
            "function": call.function.name(),
            "took": call.took.as_secs_f64(),
            "lost": call.lost.as_secs_f64(),
            "attempts": call.attempts,
            "error_code": call.error.map(Code::name),
            "query_id": (call.query_id != 0).then_some(call.query_id),
            "database": call.database,
            "scope": scope,
        })
    };
    Reply::success().field("calls", slow_calls::read().into_iter().map(call).collect::<Value>())
}

/// One function's counters.
fn entry(snapshot: &Snapshot, scope: &str) -> Value {
    let by_code: serde_json::Map<_, _> =
        snapshot.errors.iter().map(|(code, count)| (code.name().to_owned(), (*count).into())).collect();
    json!({
        "function": snapshot.function.name(),
        "calls": snapshot.calls,
        "errors": snapshot.errors.iter().map(|(_, count)| count).sum::<u64>(),
        "errors_by_code": by_code,
        "retries": snapshot.retries,
        "deadlocks": snapshot.deadlocks,
        "time_total_ms": snapshot.time_total.as_micros() as f64 / 1000.0,
        "time_max_ms": snapshot.time_max.as_micros() as f64 / 1000.0,
        "scope": scope,
    })
}

/// A time as seconds since 1970; 0 is never.
pub fn time(at: i64) -> Option<f64> {
    /// Seconds from 1970 to 2000.
    const EPOCH: f64 = 946_684_800.0;
    (at != 0).then_some(at as f64 / 1e6 + EPOCH)
}

/// `read_floor_stats`.
pub fn floor_stats() -> Reply {
    let queue = |figures: Figures| {
        json!({
            "queue_id": figures.queue,
            "last_claim": time(figures.looked_at),
            "looks_back": figures.looks_back,
            "found_by_look_back": figures.found,
        })
    };
    let queues: Value = floors::figures(LIVE_JOB.oid()).into_iter().map(queue).collect();
    Reply::success().field("queues", queues)
}

/// `read_worker_status`.
pub fn worker_status() -> Reply {
    let steps: Value = workers::reports()
        .into_iter()
        .map(|report| {
            json!({
                "database": report.database,
                "step": worker::step_name(report.step),
                "last_run": time(report.last_at),
                "took_ms": report.took as f64 / 1000.0,
                "runs": report.runs,
                "errors": report.errors,
                "last_error": report.error,
                "last_error_at": time(report.error_at),
                "next_visit": time(report.next_visit),
            })
        })
        .collect();
    let is_on = workers::is_possible() && guc::max_workers() > 0;
    Reply::success().field("enabled", is_on).field("steps", steps)
}

/// `check`: the reply as it is, or the error that it tells of.
pub fn check(reply: Option<Jsonb>) -> Result<Reply, Error> {
    const ALLOWED: &str = "a reply: an object with a status";
    let reply = reply.ok_or_else(|| Error::invalid("reply", "NULL", ALLOWED))?;
    if jsonb::kind(reply) != Kind::Object {
        return Err(Error::invalid("reply", reply.to_utf8(256), ALLOWED));
    }
    let mut words: HashMap<String, String> = jsonb::members(reply)
        .filter_map(|(key, value)| Some((key?, value)))
        .filter(|(key, value)| {
            matches!(key.as_str(), "status" | "error_code" | "sqlstate" | "message" | "constraint")
                && value.kind() == Kind::String
        })
        .filter_map(|(key, value)| Some((key, value.scalar_text(MAX_TEXT)?)))
        .collect();
    match words.get("status").map(String::as_str) {
        Some("error") => Err(told(&mut words)),
        Some(status) if STATUSES.contains(&status) => Ok(Reply::verbatim(reply)),
        _ => Err(Error::invalid("reply", reply.to_utf8(256), ALLOWED)),
    }
}

/// The error that a reply tells of. A SQLSTATE that would mean success, or none at all, is replaced by the code's.
fn told(words: &mut HashMap<String, String>) -> Error {
    let code = words.get("error_code").and_then(|name| Code::of_name(name)).unwrap_or(Code::DbQueryError);
    let is_error = |state: &String| {
        state.len() == 5
            && state.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && !matches!(&state[..2], "00" | "01" | "02")
    };
    Error::Told {
        code,
        sqlstate: words.remove("sqlstate").filter(is_error).unwrap_or_else(|| code.own_sqlstate().to_owned()),
        constraint: words.remove("constraint"),
        message: words.remove("message").unwrap_or_else(|| "The call failed.".to_owned()),
    }
}
