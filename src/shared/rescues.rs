//! When leases were last looked through for those that have expired, by all sessions of a database together; without preload,
//! by this one alone. Under an old snapshot the index keeps an entry for each lease that ever was, so what was looked at is
//! not looked at each time.

use crate::pg::shmem::Guarded;
use crate::pg::{process, xact};
use std::cell::Cell;

/// Databases that are remembered; with one more, the one that was looked at longest ago is forgotten.
const MAX_DATABASES: usize = 64;
/// From how far before the last look on the next one goes, in microseconds: a claim may commit late.
const SLACK: i64 = 2_000_000;
/// A look at all leases takes this part of the time until the next one.
const PART_OF_TIME: i64 = 20;
/// One that took less can be made each time.
const SHORT: i64 = 20_000;
/// When another session looks at all of them, should the one that has begun never end. In microseconds.
const GIVEN_UP_AFTER: i64 = 60_000_000;

/// What lies in shared memory.
pub struct Table {
    looks: Guarded<[Looks; MAX_DATABASES]>,
}

/// The looks in one database. All zeroes is none so far.
#[derive(Clone, Copy)]
struct Looks {
    database: u32,
    table: u32,
    last: i64,
    /// When all leases are looked at next.
    all_at: i64,
}

thread_local! {
    /// This session's own, without preload.
    static OWN: Cell<Looks> = const { Cell::new(Looks { database: 0, table: 0, last: 0, all_at: 0 }) };
}

/// When a look began, and from where on it goes: leases that expired earlier were looked at before.
#[derive(Debug, Clone, Copy)]
struct Turn {
    began: i64,
    since: i64,
}

/// A look under way. It is over when it is dropped, also while an error unwinds: then it has not found all.
pub struct Look {
    table: u32,
    turn: Turn,
    found_all: bool,
}

impl Looks {
    /// Begins a look, unless the last one is no older than `pause`.
    fn begin(&mut self, now: i64, pause: i64) -> Option<Turn> {
        // The clock may have been put back.
        if self.last <= now && now - self.last < pause {
            return None;
        }
        let is_for_all = now >= self.all_at || self.last > now;
        let since = if is_for_all { i64::MIN } else { self.last - SLACK };
        if is_for_all {
            self.all_at = now + GIVEN_UP_AFTER;
        }
        self.last = now;
        Some(Turn { began: now, since })
    }

    /// Ends it.
    fn end(&mut self, turn: Turn, now: i64, found_all: bool) {
        if !found_all {
            self.all_at = i64::MIN;
        } else if turn.since == i64::MIN {
            let took = now - turn.began;
            self.all_at = if took < SHORT { i64::MIN } else { now + took * PART_OF_TIME };
        }
    }
}

/// Works on the looks in this database.
fn with<R>(table: u32, work: impl FnOnce(&mut Looks) -> R) -> R {
    let database = process::database();
    let is_here = |looks: &Looks| (looks.database, looks.table) == (database, table);
    let new = Looks { database, table, last: 0, all_at: i64::MIN };
    let Some(area) = super::area() else {
        let mut looks = if is_here(&OWN.get()) { OWN.get() } else { new };
        let result = work(&mut looks);
        OWN.set(looks);
        return result;
    };
    area.rescues.looks.with(|all| {
        let known = all.iter().position(is_here);
        let oldest = || (0..MAX_DATABASES).min_by_key(|place| all[*place].last).unwrap_or_default();
        let place = known.unwrap_or_else(oldest);
        if known.is_none() {
            all[place] = new;
        }
        work(&mut all[place])
    })
}

/// Begins a look through the leases of this table; `None` where somebody has begun one within the last `pause` microseconds.
pub fn begin(table: u32, now: i64, pause: i64) -> Option<Look> {
    with(table, |looks| looks.begin(now, pause)).map(|turn| Look { table, turn, found_all: false })
}

impl Look {
    /// From when on it goes.
    pub fn since(&self) -> i64 {
        self.turn.since
    }

    /// Ends it, and tells whether it has found all that have expired.
    pub fn end(mut self, found_all: bool) {
        self.found_all = found_all;
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        with(self.table, |looks| looks.end(self.turn, xact::clock(), self.found_all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn look(looks: &mut Looks, now: i64, took: i64, found_all: bool) -> i64 {
        let turn = looks.begin(now, SECOND).expect("it is time");
        looks.end(turn, now + took, found_all);
        turn.since
    }

    fn none() -> Looks {
        Looks { database: 1, table: 1, last: 0, all_at: i64::MIN }
    }

    #[test]
    fn a_look_at_all_leases_that_takes_long_is_not_made_each_time() {
        let (mut looks, start) = (none(), 100 * SECOND);
        assert_eq!(look(&mut looks, start, SECOND, true), i64::MIN);
        assert_eq!(look(&mut looks, start + 5 * SECOND, 1, true), start - SLACK);
        assert_eq!(look(&mut looks, start + 20 * SECOND, 1, true), start + 5 * SECOND - SLACK);
        assert_eq!(look(&mut looks, start + 21 * SECOND, 1, true), i64::MIN);
    }

    #[test]
    fn what_was_left_is_looked_at_next_and_so_is_all_after_a_clock_was_put_back() {
        let (mut looks, start) = (none(), 100 * SECOND);
        look(&mut looks, start, SECOND, true);
        look(&mut looks, start + 2 * SECOND, 1, false);
        assert_eq!(look(&mut looks, start + 4 * SECOND, SECOND, true), i64::MIN);
        assert_eq!(look(&mut looks, start, 1, true), i64::MIN);
    }

    #[test]
    fn nobody_looks_just_after_another() {
        let (mut looks, start) = (none(), 100 * SECOND);
        look(&mut looks, start, 1, true);
        assert!(looks.begin(start + SECOND / 2, SECOND).is_none());
        assert!(looks.begin(start + SECOND, SECOND).is_some());
    }
}
