//! The samples that SQL can't tell: what shared memory counts, and the settings in force. Without preload those of shared
//! memory are left out and not zero: a session's own counters would tell of the scrapes alone.

use super::sample;
use crate::diagnostics::time;
use crate::error::Code;
use crate::guc;
use crate::jobs::live::LIVE_JOB;
use crate::pg::process;
use crate::reply::Reply;
use crate::shared::counters::{self, Snapshot};
use crate::shared::floors::{self, Figures};
use crate::shared::tally::{self, BOUNDS, Durations, Event, Tally};
use crate::shared::workers::{self, Report};
use crate::shared::{leases, slow_calls, wakes};
use crate::worker;
use serde_json::{Value, json};
use std::time::Duration;

/// `read_metrics`.
pub fn samples() -> Reply {
    let mut samples = vec![
        sample("foreman_build_info", None, json!({"version": env!("CARGO_PKG_VERSION")}), 1.0),
        plain("foreman_preloaded", f64::from(u8::from(workers::is_possible()))),
    ];
    samples.extend(settings());
    if workers::is_possible() {
        samples.extend(calls());
        samples.extend(tally::read().iter().flat_map(jobs));
        samples.extend(places());
        samples.extend(steps());
    }
    let looks: Vec<Value> = floors::figures(LIVE_JOB.oid()).into_iter().map(looks).collect();
    Reply::success().field("samples", samples).field("looks", looks)
}

/// A sample without labels.
fn plain(family: &'static str, value: f64) -> Value {
    sample(family, None, json!({}), value)
}

/// The settings that what is measured depends on; what is off is -1 where it can be 0 as well, and else 0.
fn settings() -> impl Iterator<Item = Value> {
    let seconds = |duration: Option<Duration>, off: f64| duration.map_or(off, |duration| duration.as_secs_f64());
    let of = |family, name: &'static str, value| sample(family, None, json!({"setting": name}), value);
    let timed = [
        ("query_timeout", seconds(guc::query_timeout(), 0.0)),
        ("lock_timeout", guc::lock_timeout().map_or(0.0, |milliseconds| f64::from(milliseconds) / 1000.0)),
        ("retry_base_delay", guc::retry_base_delay().as_secs_f64()),
        ("slow_call_threshold", seconds(guc::slow_call_threshold(), -1.0)),
        ("upkeep_interval", guc::upkeep_interval().as_secs_f64()),
        ("slow_check_interval", seconds(guc::slow_check_interval(), -1.0)),
        ("notify_interval", guc::notify_interval().as_secs_f64()),
        ("relax_claims_after", seconds(guc::relax_claims_after(), -1.0)),
    ];
    let counted = [("max_retries", f64::from(guc::max_retries())), ("max_workers", guc::max_workers() as f64)];
    let timed = timed.map(|(name, value)| of("foreman_setting_seconds", name, value));
    let counted = counted.map(|(name, value)| of("foreman_setting", name, value));
    let bytes = of("foreman_setting_bytes", "max_payload_bytes", guc::max_payload_bytes() as f64);
    timed.into_iter().chain(counted).chain([bytes])
}

/// The calls of all functions; by code those of functions that were called.
fn calls() -> impl Iterator<Item = Value> {
    let slow = plain("foreman_slow_calls_total", slow_calls::count() as f64);
    let of = |snapshot: Snapshot| {
        let function = snapshot.function.name();
        let counted = [
            ("foreman_calls_total", snapshot.calls as f64),
            ("foreman_call_seconds_total", snapshot.time_total.as_secs_f64()),
            ("foreman_call_retries_total", snapshot.retries as f64),
            ("foreman_call_deadlocks_total", snapshot.deadlocks as f64),
        ];
        let codes = if snapshot.calls > 0 { &Code::ALL[..] } else { &[] };
        let errors = codes.iter().map(move |code| {
            let count = snapshot.errors.iter().find(|(of, _)| of == code).map_or(0, |(_, count)| *count);
            let labels = json!({"function": function, "code": code.name()});
            sample("foreman_call_errors_total", None, labels, count as f64)
        });
        counted
            .map(|(family, value)| sample(family, None, json!({"function": function}), value))
            .into_iter()
            .chain(errors)
    };
    counters::read().0.into_iter().flat_map(of).chain([slow])
}

/// What became of jobs.
fn jobs(tally: &Tally) -> Vec<Value> {
    let ended = [("completed", Event::Completed), ("failed", Event::Failed), ("cancelled", Event::Cancelled)];
    let others = [
        ("foreman_jobs_created_total", Event::Created),
        ("foreman_jobs_retried_total", Event::Retried),
        ("foreman_jobs_released_total", Event::Released),
        ("foreman_jobs_rescued_total", Event::Rescued),
    ];
    let count = |event| tally.of(event) as f64;
    let ended =
        ended.map(|(status, event)| sample("foreman_jobs_ended_total", None, json!({"status": status}), count(event)));
    let others = others.map(|(family, event)| plain(family, count(event)));
    let waits = histogram("foreman_job_wait_seconds", &tally.waits);
    let runs = histogram("foreman_job_run_seconds", &tally.runs);
    ended.into_iter().chain(others).chain(waits).chain(runs).collect()
}

/// A histogram.
fn histogram(family: &'static str, durations: &Durations) -> impl Iterator<Item = Value> {
    let ends = BOUNDS.iter().map(|bound| format!("{:?}", *bound as f64 / 1e6)).chain(["+Inf".to_owned()]);
    let bucket = move |(end, count): (String, u64)| sample(family, Some("_bucket"), json!({"le": end}), count as f64);
    let [.., all] = durations.up_to;
    let whole = [("_sum", durations.seconds), ("_count", all as f64)];
    let whole = whole.map(|(suffix, value)| sample(family, Some(suffix), json!({}), value));
    ends.zip(durations.up_to).map(bucket).chain(whole)
}

/// How full the server's tables are.
fn places() -> impl Iterator<Item = Value> {
    let tables = [("leases", leases::used()), ("queues", floors::used())];
    let places =
        tables.into_iter().filter_map(|(table, used)| Some((table, used?))).flat_map(|(table, (taken, places))| {
            let of = |family, value| sample(family, None, json!({"table": table}), value as f64);
            [of("foreman_shared_places_taken", taken), of("foreman_shared_places", places)]
        });
    places.chain([plain("foreman_waiting_sessions", wakes::used().map_or(0.0, |(taken, _)| taken as f64))])
}

/// What the background worker did in this database, step by step.
fn steps() -> impl Iterator<Item = Value> {
    let reports: Vec<Report> =
        workers::reports().into_iter().filter(|report| report.database == process::database()).collect();
    let names = (0..).map_while(worker::step_name).enumerate();
    names.flat_map(move |(place, name)| {
        let report = reports.iter().find(|report| report.step == place);
        let of = |value: fn(&Report) -> f64| report.map_or(0.0, value);
        [
            ("foreman_worker_step_runs_total", of(|report| report.runs as f64)),
            ("foreman_worker_step_errors_total", of(|report| report.errors as f64)),
            ("foreman_worker_step_seconds_total", of(|report| report.took_in_all as f64 / 1e6)),
            ("foreman_worker_step_last_run_timestamp_seconds", of(|report| time(report.last_at).unwrap_or(0.0))),
        ]
        .map(|(family, value)| sample(family, None, json!({"step": name}), value))
    })
}

/// What claims from a queue have found below its floors; the queue's name is SQL's to tell.
fn looks(figures: Figures) -> Value {
    json!({"queue_id": figures.queue, "looks_back": figures.looks_back, "found": figures.found})
}
