//! Counters for each function. Changed by single atomic additions, read without a lock: a reader may see a call
//! half counted, never a torn number.

use crate::error::Code;
use crate::guard::function::Function;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One function's counters; times in microseconds.
pub struct Counters {
    calls: AtomicU64,
    errors: [AtomicU64; Code::ALL.len()],
    retries: AtomicU64,
    deadlocks: AtomicU64,
    time_total: AtomicU64,
    time_max: AtomicU64,
}

/// All functions' counters.
pub struct Table([Counters; Function::ALL.len()]);

/// This backend's own, used without preload.
static OWN: Table = Table([const { Counters::new() }; Function::ALL.len()]);

/// A copy of one function's counters.
pub struct Snapshot {
    pub function: Function,
    pub calls: u64,
    pub errors: Vec<(Code, u64)>,
    pub retries: u64,
    pub deadlocks: u64,
    pub time_total: Duration,
    pub time_max: Duration,
}

impl Counters {
    /// Counters that counted nothing.
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; Code::ALL.len()],
            retries: AtomicU64::new(0),
            deadlocks: AtomicU64::new(0),
            time_total: AtomicU64::new(0),
            time_max: AtomicU64::new(0),
        }
    }
}

/// The table in force, and whether it is the server's.
fn table() -> (&'static Table, bool) {
    match super::area() {
        Some(area) => (&area.counters, true),
        None => (&OWN, false),
    }
}

/// Counts a call that has ended.
pub fn count(function: Function, error: Option<Code>, retries: u32, deadlocks: u32, took: Duration) {
    let counters = &table().0.0[function as usize];
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    counters.calls.fetch_add(1, Ordering::Relaxed);
    counters.time_total.fetch_add(micros, Ordering::Relaxed);
    if counters.time_max.load(Ordering::Relaxed) < micros {
        counters.time_max.fetch_max(micros, Ordering::Relaxed);
    }
    if let Some(code) = error {
        counters.errors[code as usize].fetch_add(1, Ordering::Relaxed);
    }
    if retries > 0 {
        counters.retries.fetch_add(u64::from(retries), Ordering::Relaxed);
    }
    if deadlocks > 0 {
        counters.deadlocks.fetch_add(u64::from(deadlocks), Ordering::Relaxed);
    }
}

/// The counters of all functions, and the scope that they cover.
pub fn read() -> (Vec<Snapshot>, &'static str) {
    let (table, shared) = table();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let snapshots = Function::ALL
        .iter()
        .zip(&table.0)
        .map(|(function, counters)| Snapshot {
            function: *function,
            calls: load(&counters.calls),
            errors: Code::ALL.into_iter().zip(counters.errors.iter().map(load)).filter(|(_, n)| *n > 0).collect(),
            retries: load(&counters.retries),
            deadlocks: load(&counters.deadlocks),
            time_total: Duration::from_micros(load(&counters.time_total)),
            time_max: Duration::from_micros(load(&counters.time_max)),
        })
        .collect();
    (snapshots, if shared { "server" } else { "backend" })
}
