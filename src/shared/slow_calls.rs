//! The last calls that took long: the server's with preload, else this backend's own. A ring that nobody locks: who finds
//! its next place being written, which takes a thousand slow calls within that moment, leaves its call out.

use crate::error::Code;
use crate::guard::function::Function;
use crate::pg::{process, xact};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

/// Calls that are kept: 64 kB.
const KEPT: usize = 1_000;

/// A place of the ring. `turn` is odd while the rest is written, and then tells whose call it is: twice its number.
struct Place {
    turn: AtomicU64,
    ended_at: AtomicI64,
    took: AtomicU64,
    lost: AtomicU64,
    query_id: AtomicI64,
    database: AtomicU32,
    attempts: AtomicU32,
    function: AtomicU32,
    /// Counted from 1; 0 is no error.
    error: AtomicU32,
}

/// The ring.
pub struct Table {
    /// Calls so far.
    count: AtomicU64,
    places: [Place; KEPT],
}

/// This backend's own, used without preload.
static OWN: Table = Table { count: AtomicU64::new(0), places: [const { Place::new() }; KEPT] };

/// A slow call.
pub struct SlowCall {
    /// Microseconds since 2000-01-01 UTC.
    pub ended_at: i64,
    pub took: Duration,
    /// Until its last attempt began.
    pub lost: Duration,
    /// 0 where the server computes none.
    pub query_id: i64,
    pub database: u32,
    pub attempts: u32,
    pub function: Function,
    pub error: Option<Code>,
}

/// A duration as it is kept.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl SlowCall {
    /// A call of this backend's that ends now.
    pub fn ended(function: Function, took: Duration) -> Self {
        let (ended_at, database) = (xact::clock(), process::database());
        Self { ended_at, took, lost: Duration::ZERO, query_id: 0, database, attempts: 1, function, error: None }
    }
}

impl Place {
    /// One that nothing was written to.
    const fn new() -> Self {
        Self {
            turn: AtomicU64::new(0),
            ended_at: AtomicI64::new(0),
            took: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            query_id: AtomicI64::new(0),
            database: AtomicU32::new(0),
            attempts: AtomicU32::new(0),
            function: AtomicU32::new(0),
            error: AtomicU32::new(0),
        }
    }

    /// Writes the call of this number, unless somebody is at it, or a later one is there.
    fn write(&self, number: u64, call: &SlowCall) {
        let turn = self.turn.load(Ordering::Relaxed);
        let is_ours = turn.is_multiple_of(2)
            && turn < 2 * number
            && self.turn.compare_exchange(turn, 2 * number - 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !is_ours {
            return;
        }
        fence(Ordering::Release);
        self.ended_at.store(call.ended_at, Ordering::Relaxed);
        self.took.store(micros(call.took), Ordering::Relaxed);
        self.lost.store(micros(call.lost), Ordering::Relaxed);
        self.query_id.store(call.query_id, Ordering::Relaxed);
        self.database.store(call.database, Ordering::Relaxed);
        self.attempts.store(call.attempts, Ordering::Relaxed);
        self.function.store(call.function as u32, Ordering::Relaxed);
        self.error.store(call.error.map_or(0, |code| code as u32 + 1), Ordering::Relaxed);
        self.turn.store(2 * number, Ordering::Release);
    }

    /// Reads the call of this number, if it is there and stays so.
    fn read(&self, number: u64) -> Option<SlowCall> {
        let is_there = |turn: u64| (turn == 2 * number).then_some(());
        is_there(self.turn.load(Ordering::Acquire))?;
        let error = self.error.load(Ordering::Relaxed) as usize;
        let call = SlowCall {
            ended_at: self.ended_at.load(Ordering::Relaxed),
            took: Duration::from_micros(self.took.load(Ordering::Relaxed)),
            lost: Duration::from_micros(self.lost.load(Ordering::Relaxed)),
            query_id: self.query_id.load(Ordering::Relaxed),
            database: self.database.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            function: *Function::ALL.get(self.function.load(Ordering::Relaxed) as usize)?,
            error: error.checked_sub(1).and_then(|place| Code::ALL.get(place).copied()),
        };
        fence(Ordering::Acquire);
        is_there(self.turn.load(Ordering::Relaxed))?;
        Some(call)
    }
}

impl Table {
    /// Keeps a call.
    fn note(&self, call: &SlowCall) {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.places[number as usize % KEPT].write(number, call);
    }

    /// Those that are kept, the last one first.
    fn read(&self) -> Vec<SlowCall> {
        let last = self.count.load(Ordering::Relaxed);
        let first = last.saturating_sub(KEPT as u64) + 1;
        (first..=last).rev().filter_map(|number| self.places[number as usize % KEPT].read(number)).collect()
    }
}

/// The ring in force.
fn table() -> &'static Table {
    super::area().map_or(&OWN, |area| &area.slow_calls)
}

/// Keeps a call.
pub fn note(call: &SlowCall) {
    table().note(call);
}

/// The calls that are kept, the last one first.
pub fn read() -> Vec<SlowCall> {
    table().read()
}

/// How many there were so far.
pub fn count() -> u64 {
    table().count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn call(n: u64) -> SlowCall {
        SlowCall {
            ended_at: n as i64,
            took: Duration::from_micros(n),
            lost: Duration::from_micros(n),
            query_id: n as i64,
            database: n as u32,
            attempts: n as u32,
            function: Function::ALL[n as usize % Function::ALL.len()],
            error: n.checked_sub(1).map(|n| Code::ALL[n as usize % Code::ALL.len()]),
        }
    }

    #[test]
    fn the_last_thousand_calls_are_kept_and_the_last_comes_first() {
        let table = Box::new(Table { count: AtomicU64::new(0), places: [const { Place::new() }; KEPT] });
        (0..2_500).for_each(|n| table.note(&call(n)));
        let kept: Vec<u32> = table.read().iter().map(|call| call.attempts).collect();
        assert_eq!(kept, (1_500..2_500).rev().collect::<Vec<u32>>());
        assert_eq!(table.read()[999].error, call(1_500).error);
    }

    #[test]
    fn nobody_reads_one_half_of_a_call_and_one_half_of_another() {
        let (table, done) =
            (Table { count: AtomicU64::new(0), places: [const { Place::new() }; KEPT] }, AtomicBool::new(false));
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3u64)
                .map(|w| {
                    scope.spawn({
                        let table = &table;
                        move || (0..200_000).for_each(|n| table.note(&call(w * 200_000 + n)))
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for read in table.read() {
                        let n = u64::from(read.attempts);
                        let whole = call(n);
                        assert_eq!(
                            (read.ended_at, read.took, read.query_id, read.function, read.error),
                            (whole.ended_at, whole.took, whole.query_id, whole.function, whole.error)
                        );
                    }
                }
            });
            writers.into_iter().for_each(|writer| writer.join().expect("it writes"));
            done.store(true, Ordering::Relaxed);
        });
    }
}
