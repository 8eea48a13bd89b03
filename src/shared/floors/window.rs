//! The look back: a claim walks for a moment through what looks pass over, and the next one goes on where it has stopped; of
//! shared floors the next one of whichever session.

use super::{Entry, Key, PRIORITIES, are_shared, with_entry};
use crate::pg::{process, xact};
use crate::shared::floor::{Floor, MAX_RANGES, Position};
use std::vec;

/// Microseconds that a window lasts: so much later is the claim in which it is done.
const LASTS: i64 = 5_000;
/// Of a process's time windows take one part in so many.
const SHARE: i64 = 50;
/// The same of floors of a session's own, which learn of nothing that others make ready.
const SHARE_OF_OWN: i64 = 20;
/// The same after a start from saved floors, until all was seen once.
const SHARE_IN_HASTE: i64 = 2;
/// Microseconds between the end of one look back and the beginning of the next.
const REST: i64 = 1_000_000;
/// When another session goes on, should the one that does it never end.
const GIVEN_UP_AFTER: i64 = 60_000_000;

/// How far the look back has come.
#[derive(Clone, Copy)]
pub struct Back {
    /// When the next window is due.
    next_at: i64,
    priority: usize,
    place: Position,
    /// How often everything was seen.
    pub passes: u64,
    /// Dead entries come by so far, and in all of the time before.
    dead: [u64; 2],
    is_in_haste: bool,
}

impl Back {
    /// Of a new entry.
    pub fn new(now: i64) -> Back {
        Back { next_at: now, priority: 0, place: Position::FIRST, passes: 0, dead: [0; 2], is_in_haste: false }
    }

    /// Everything is to be seen soon.
    pub fn hurries(&mut self) {
        self.is_in_haste = true;
    }

    /// Looks pass over so many dead entries.
    pub fn passes_over(&mut self, dead: u64) {
        self.dead = [0, dead];
    }

    /// How many dead entries looks pass over.
    pub fn dead(&self) -> u64 {
        self.dead.into_iter().max().unwrap_or_default()
    }

    /// Whether a window is due; nobody else begins one meanwhile.
    fn begin(&mut self, now: i64) -> bool {
        // The clock may have been put back.
        let is_due = self.next_at <= now || self.next_at > now + GIVEN_UP_AFTER;
        if is_due {
            self.next_at = now + GIVEN_UP_AFTER;
        }
        is_due
    }

    /// A window is over.
    fn end(&mut self, window: &Window) {
        let now = xact::clock();
        let share = match (self.is_in_haste, are_shared()) {
            (true, _) => SHARE_IN_HASTE,
            (false, true) => SHARE,
            (false, false) => SHARE_OF_OWN,
        };
        let pause = (now - window.began).max(0) * (share - 1);
        self.dead[0] += window.dead;
        if window.priority < PRIORITIES {
            (self.priority, self.place) = (window.priority, window.place);
            self.next_at = now + pause;
        } else {
            (self.priority, self.place) = (0, Position::FIRST);
            self.next_at = now + pause.max(REST);
            self.dead = [0, self.dead[0]];
            self.passes += 1;
            self.is_in_haste = false;
        }
    }
}

impl Entry {
    /// What looks pass over from where the look back has come.
    fn hidden(&self, now: i64, stretches: &mut Vec<Stretch>) {
        let mut place = self.back.place;
        for priority in self.back.priority..PRIORITIES {
            while let Some((from, to)) = self.floors[priority].hidden_from(place, now) {
                stretches.push(Stretch { priority, from, to });
                place = to.next();
            }
            place = Position::FIRST;
        }
    }
}

/// Some of a look back.
pub struct Window {
    key: Key,
    born: u64,
    /// The claim's time: what is due later is not found now.
    now: i64,
    began: i64,
    stretches: vec::IntoIter<Stretch>,
    priority: usize,
    place: Position,
    dead: u64,
}

/// What is to be walked: a priority's entries from one place to another, inclusive.
pub struct Stretch {
    pub priority: usize,
    pub from: Position,
    pub to: Position,
}

impl Window {
    /// The next one of a queue, if it is due. The snapshot has to be taken after.
    pub fn of(table: u32, queue: i32, now: i64) -> Option<Window> {
        if xact::in_recovery() {
            return None;
        }
        let key = Key { database: process::database(), table, queue };
        let is_due = |entry: &mut Entry| entry.is_complete && entry.is_in_windows() && entry.back.begin(now);
        with_entry(key, is_due).filter(|is_due| *is_due)?;
        // Nothing is allocated under the lock.
        let mut stretches = Vec::with_capacity(PRIORITIES * (MAX_RANGES + 1));
        let (born, priority, place) = with_entry(key, |entry| {
            entry.hidden(now, &mut stretches);
            (entry.born, entry.back.priority, entry.back.place)
        })?;
        let stretches = stretches.into_iter();
        Some(Window { key, born, now, began: xact::clock(), stretches, priority, place, dead: 0 })
    }

    /// Goes on to what is to be walked next; `None` where all was seen.
    pub fn next(&mut self) -> Option<Stretch> {
        let stretch = self.stretches.next();
        let priority = stretch.as_ref().map_or(PRIORITIES, |stretch| stretch.priority);
        if priority != self.priority {
            (self.priority, self.place) = (priority, Position::FIRST);
        }
        stretch
    }

    /// Whether it has lasted long enough.
    pub fn is_over(&self) -> bool {
        xact::clock() - self.began >= LASTS
    }

    /// The walk has come to an entry.
    pub fn reaches(&mut self, place: Position) {
        self.place = place.next();
    }

    /// So many can't be seen, or are of no use.
    pub fn passes(&mut self, dead: u64) {
        self.dead += dead;
    }

    /// It is a job that could be taken.
    pub fn meets(&self, place: Position) {
        self.with_floor(|window, floor| floor.meets(place, window.now));
    }

    /// The walk has met a job that is due later.
    pub fn is_due(&self, at: i64) {
        self.with_floor(|_, floor| floor.is_due(at));
    }

    /// The walk has come to the end of a stretch.
    pub fn ends(&mut self, stretch: &Stretch) {
        self.place = stretch.to.next();
    }

    /// Whoever comes next goes on from here.
    pub fn close(self) {
        with_entry(self.key, |entry| {
            if entry.born == self.born {
                entry.back.end(&self);
            }
        });
    }

    /// Works on the floor of the present priority, unless the queue has another entry by now.
    fn with_floor<R>(&self, work: impl FnOnce(&Window, &mut Floor) -> R) -> Option<R> {
        let floor = |entry: &mut Entry| entry.floors.get_mut(self.priority).map(|floor| work(self, floor));
        with_entry(self.key, |entry| if entry.born == self.born { floor(entry) } else { None }).flatten()
    }
}
