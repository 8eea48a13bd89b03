//! What became of jobs in each database since the server's start, and how long they waited and ran: for
//! `foreman.metrics()`. Preloaded only. Added to by relaxed atomics when it happens, since a claim has no time for a lock;
//! so what is rolled back later is counted all the same.
//!
//! By database and not by queue: each has 32 series of its own, and a backend knows its database's place once and for all.

use crate::pg::{names, process};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Databases that have a place. One more takes that of a database that was dropped, or is not counted.
const MAX_DATABASES: usize = 64;
/// Where the buckets of a histogram end, in microseconds: from 5 ms to four hours.
pub const BOUNDS: [u64; 14] = [
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
];

/// What can become of a job, beside being claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Created,
    Completed,
    Failed,
    Cancelled,
    /// Failed, and to be tried again.
    Retried,
    Released,
    /// Its lease expired.
    Rescued,
}

/// How many events there are.
const EVENTS: usize = Event::Rescued as usize + 1;

/// How many of what took how long.
struct Histogram {
    /// The last one has no end.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// A copy of a histogram.
pub struct Durations {
    /// How many took no longer than each of the bounds; the last is of all.
    pub up_to: [u64; BOUNDS.len() + 1],
    pub seconds: f64,
}

/// The counts of a database.
struct Place {
    /// 0 where the place is free.
    database: AtomicU32,
    events: [AtomicU64; EVENTS],
    waits: Histogram,
    runs: Histogram,
}

/// What lies in shared memory.
pub struct Table([Place; MAX_DATABASES]);

/// A copy of a database's counts.
pub struct Tally {
    events: [u64; EVENTS],
    /// From ready to claimed.
    pub waits: Durations,
    /// From claimed to ended.
    pub runs: Durations,
}

thread_local! {
    /// The place of this backend's database, which stays its own for as long as the backend is there; the inner `None`: there
    /// was none, and it is not looked for again.
    static OWN: Cell<Option<Option<usize>>> = const { Cell::new(None) };
}

impl Histogram {
    /// Adds one.
    fn add(&self, microseconds: i64) {
        let took = u64::try_from(microseconds).unwrap_or_default();
        self.buckets[BOUNDS.partition_point(|bound| *bound < took)].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// A copy.
    fn read(&self) -> Durations {
        let mut total = 0;
        let up_to = self.buckets.each_ref().map(|bucket| {
            total += bucket.load(Ordering::Relaxed);
            total
        });
        Durations { up_to, seconds: self.microseconds.load(Ordering::Relaxed) as f64 / 1e6 }
    }

    /// Forgets all.
    fn clear(&self) {
        self.buckets.iter().chain([&self.microseconds]).for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

impl Place {
    /// Makes it this database's, if it is still the other's.
    fn take(&self, from: u32, database: u32) -> bool {
        let is_taken = self.database.compare_exchange(from, database, Ordering::AcqRel, Ordering::Acquire);
        if is_taken.is_ok() && from != 0 {
            self.events.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
            self.waits.clear();
            self.runs.clear();
        }
        is_taken.is_ok() || is_taken == Err(database)
    }
}

impl Table {
    /// The place of a database.
    fn place(&self, database: u32) -> Option<usize> {
        let of = |place: &Place| place.database.load(Ordering::Acquire);
        // The first that is free is behind all that are taken, since a place is never free again.
        let first = || self.0.iter().position(|place| of(place) == database || place.take(0, database));
        first().or_else(|| {
            let gone = self.0.iter().find(|place| names::database(of(place)).is_none())?;
            gone.take(of(gone), database);
            // Another session of this database may have taken one before.
            first()
        })
    }
}

/// The counts of this database; `None` without preload, and where there was no place.
fn own() -> Option<&'static Place> {
    let area = super::area()?;
    let place = OWN.get().unwrap_or_else(|| {
        let place = area.tally.place(process::database());
        OWN.set(Some(place));
        place
    });
    place.map(|place| &area.tally.0[place])
}

/// So many jobs have come to this.
pub fn count(event: Event, jobs: u64) {
    if let Some(place) = own().filter(|_| jobs > 0) {
        place.events[event as usize].fetch_add(jobs, Ordering::Relaxed);
    }
}

/// A job was claimed that had been ready for so many microseconds.
pub fn claimed(waited: i64) {
    if let Some(place) = own() {
        place.waits.add(waited);
    }
}

/// A job has ended that had run for so many microseconds.
pub fn ran(microseconds: i64) {
    if let Some(place) = own() {
        place.runs.add(microseconds);
    }
}

/// The counts of this database.
pub fn read() -> Option<Tally> {
    own().map(|place| Tally {
        events: place.events.each_ref().map(|counter| counter.load(Ordering::Relaxed)),
        waits: place.waits.read(),
        runs: place.runs.read(),
    })
}

impl Tally {
    /// How many jobs have come to this.
    pub fn of(&self, event: Event) -> u64 {
        self.events[event as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_took_as_long_as_its_bound_and_no_longer() {
        let histogram =
            Histogram { buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1], microseconds: AtomicU64::new(0) };
        [-1, 0, 5_000, 5_001, 14_400_000_000, 14_400_000_001].into_iter().for_each(|took| histogram.add(took));
        let read = histogram.read();
        assert_eq!(read.up_to, [3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6]);
        assert_eq!(read.seconds, 28_800.010_002);
    }
}
