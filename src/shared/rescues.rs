//! How far leases were looked through for those that have expired, by all sessions of a database together; without preload,
//! by this one alone. Under an old snapshot the index keeps an entry for each lease that ever was, millions after a while: so
//! the last moments are looked at each time, and what is older bit by bit, from the beginning on and then again.

use crate::pg::process;
use crate::pg::shmem::Guarded;
use std::cell::Cell;

/// Databases that are remembered; with one more, the one that was looked at longest ago is forgotten.
const MAX_DATABASES: usize = 64;
/// From how far before the last look on the next one goes, in microseconds: a claim may commit late.
const SLACK: i64 = 2_000_000;
/// The last moments, in microseconds, where nobody has looked for longer.
const LATEST: i64 = 10_000_000;

/// What lies in shared memory.
pub struct Table {
    looks: Guarded<[Looks; MAX_DATABASES]>,
}

/// The looks in one database. All zeroes is none so far.
#[derive(Clone, Copy)]
struct Looks {
    database: u32,
    table: u32,
    /// When the last one began.
    last: i64,
    /// All that expired up to then and could be seen then was found.
    seen: i64,
    /// How far what is older was looked through.
    older: i64,
}

thread_local! {
    /// This session's own, without preload.
    static OWN: Cell<Looks> = const { Cell::new(Looks::new(0, 0)) };
}

/// Leases that expire from a moment on and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub before: i64,
}

/// A look under way.
pub struct Look {
    table: u32,
    latest: Range,
}

impl Looks {
    const fn new(database: u32, table: u32) -> Looks {
        Looks { database, table, last: 0, seen: 0, older: i64::MIN }
    }

    /// Begins a look, unless the last one is no older than `pause`, and gives the last moments.
    fn begin(&mut self, now: i64, pause: i64) -> Option<Range> {
        // The clock may have been put back.
        if self.last <= now && now - self.last < pause {
            return None;
        }
        self.last = now;
        self.seen = self.seen.min(now);
        Some(Range { from: (self.seen - SLACK).max(now - LATEST), before: now })
    }
}

/// Works on the looks in this database.
fn with<R>(table: u32, work: impl FnOnce(&mut Looks) -> R) -> R {
    let database = process::database();
    let is_here = |looks: &Looks| (looks.database, looks.table) == (database, table);
    let Some(area) = super::area() else {
        let mut looks = if is_here(&OWN.get()) { OWN.get() } else { Looks::new(database, table) };
        let result = work(&mut looks);
        OWN.set(looks);
        return result;
    };
    area.rescues.looks.with(|all| {
        let known = all.iter().position(is_here);
        let oldest = || (0..MAX_DATABASES).min_by_key(|place| all[*place].last).unwrap_or_default();
        let place = known.unwrap_or_else(oldest);
        if known.is_none() {
            all[place] = Looks::new(database, table);
        }
        work(&mut all[place])
    })
}

/// Begins a look through the leases of this table; `None` where somebody has begun one within the last `pause` microseconds.
pub fn begin(table: u32, now: i64, pause: i64) -> Option<Look> {
    with(table, |looks| looks.begin(now, pause)).map(|latest| Look { table, latest })
}

impl Look {
    /// The last moments.
    pub fn latest(&self) -> Range {
        self.latest
    }

    /// All that expired in the last moments was found.
    pub fn found_latest(&self) {
        with(self.table, |looks| looks.seen = looks.seen.max(self.latest.before));
    }

    /// What is older and was not looked through yet.
    pub fn older(&self) -> Range {
        let from = with(self.table, |looks| looks.older);
        Range { from: if from < self.latest.from { from } else { i64::MIN }, before: self.latest.from }
    }

    /// It was looked through up to here; `None` is to its end, after which it begins anew.
    pub fn looked_to(&self, at: Option<i64>) {
        with(self.table, |looks| looks.older = at.unwrap_or(i64::MIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_000_000 * SECOND;

    /// Looks whose last moments were seen at NOW.
    fn looks() -> Looks {
        let mut looks = Looks::new(1, 1);
        looks.begin(NOW, SECOND);
        looks.seen = NOW;
        looks
    }

    #[test]
    fn the_last_moments_begin_a_little_before_those_seen_before() {
        let mut looks = looks();
        let next = Range { from: NOW - SLACK, before: NOW + SECOND };
        assert_eq!(looks.begin(NOW + SECOND, SECOND), Some(next));
        // They were not looked through to the end: the same again.
        let again = Range { before: NOW + 2 * SECOND, ..next };
        assert_eq!(looks.begin(NOW + 2 * SECOND, SECOND), Some(again));
    }

    #[test]
    fn after_a_pause_they_are_no_longer_than_some_seconds() {
        let now = NOW + 3_600 * SECOND;
        assert_eq!(looks().begin(now, SECOND), Some(Range { from: now - LATEST, before: now }));
    }

    #[test]
    fn nobody_looks_just_after_another_unless_the_clock_was_put_back() {
        let mut looks = looks();
        assert!(looks.begin(NOW + SECOND / 2, SECOND).is_none());
        let back = looks.begin(NOW - 3_600 * SECOND, SECOND).expect("it is time");
        assert_eq!(back.before, NOW - 3_600 * SECOND);
        assert!(back.from < back.before);
    }
}
