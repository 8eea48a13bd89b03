//! The floors of all queues: in shared memory, one for all sessions, or else this session's own.
//!
//! What they pass over is looked at again now and then, since not everything is told: rows written by hand, by replication
//! or by a restore are not. That is done in short windows, which `window.rs` has. A floor of the session's own does not even
//! learn of what other sessions make ready: there such a look is made at once whenever it costs little, and what was made
//! ready of late is looked at for a twentieth of the time besides.

#[path = "floors/window.rs"]
mod window;

pub use window::{Stretch, Window};

use super::floor::{Floor, Look, Position, Range, Walked};
use crate::pg::shmem::{Array, Shareable};
use crate::pg::{process, xact};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Priorities of a queue, 0 to 9.
pub const PRIORITIES: usize = 10;
/// Microseconds for which a queue that is claimed from keeps its place at least.
const KEPT: i64 = 60_000_000;
/// From how far below a floor of the session's own it is looked, in microseconds.
const LOOKS_BACK: [i64; 3] = [i64::MAX, 10_000_000, 1_000_000];
/// Dead entries that such a look may come by as often as it likes; with more of them it waits for so many times what it has
/// taken.
const FEW: u64 = 64;
/// As above.
const PAUSE: i64 = 20;
/// Microseconds after which a look that goes some way below leaves the rest to windows: a million jobs may have become ready
/// at the same moment.
const LASTS: i64 = 5_000;
/// Microseconds that it waits at most.
const MAX_PAUSE: i64 = 600_000_000;
/// Microseconds that a floor may have fallen behind what was saved of it: as many dead entries are walked once, and what was
/// made ready as late and not told of, since the server had crashed, is found at once.
const SAVED_BEHIND: i64 = 60_000_000;
/// With so many dead entries and more below a floor of the session's own it is not looked at all of them at once: as many
/// take some milliseconds, a hundred times that where their pages are cleaned by the way.
const IN_WINDOWS: u64 = 2_000;
/// Dead entries that are walked in less time than it is worth to save floors.
const WORTH_SAVING: u64 = 100_000;

/// A queue of a database; its table tells one installation of the extension from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    database: u32,
    table: u32,
    queue: i32,
}

/// A queue that is claimed from. Free where the database is 0.
#[derive(Clone, Copy)]
pub struct Entry {
    key: Key,
    /// Tells this entry from another that was in its place, or in which it was before.
    born: u64,
    /// Whether what prepared transactions hold has been entered: before, nothing is cleared.
    is_complete: bool,
    looked_at: i64,
    /// Of the session's own floors.
    looks_back_at: [i64; LOOKS_BACK.len()],
    back: window::Back,
    floors: [Floor; PRIORITIES],
}

// SAFETY: plain values, changed under the lock; zeroes are a free entry.
unsafe impl Shareable for Entry {}

/// The entries of all sessions, with preload.
pub static ENTRIES: Array<Entry> = Array::new();

/// What lies in shared memory beside the entries.
pub struct Table {
    births: AtomicU64,
    /// The lowest time at which something was made ready in a queue that had no entry, in reverse order: zero is the last.
    untold: AtomicU64,
}

impl Table {
    /// Something was made ready at a place in time, and no entry was there to learn of it.
    fn is_untold(&self, at: i64) {
        self.untold.fetch_max(reversed(at), Ordering::AcqRel);
    }

    /// The lowest such place.
    fn untold(&self) -> i64 {
        let at = self.untold.load(Ordering::Acquire);
        (!at ^ (1 << 63)) as i64
    }
}

/// A number that is greater for a lesser one.
fn reversed(at: i64) -> u64 {
    !(at as u64 ^ (1 << 63))
}

thread_local! {
    /// The session's own, without preload.
    static OWN: RefCell<HashMap<Key, Box<Entry>>> = RefCell::new(HashMap::new());
    /// What the present transaction has made ready, by queue and priority: from the first place to the last.
    static MADE: RefCell<HashMap<(Key, usize), (Position, Position)>> = RefCell::new(HashMap::new());
    /// The transaction that is about to be prepared.
    static PREPARED_AS: Cell<u64> = const { Cell::new(0) };
}

/// Queues that a session keeps floors of its own for; with one more it forgets the one that it has not looked at longest.
const MAX_OWN: usize = 256;
/// Births without preload.
static OWN_BIRTHS: AtomicU64 = AtomicU64::new(0);

impl Entry {
    /// A new one.
    fn new(key: Key, now: i64) -> Self {
        let births = super::area().map_or(&OWN_BIRTHS, |area| &area.floors.births);
        Entry {
            key,
            born: births.fetch_add(1, Ordering::Relaxed) + 1,
            is_complete: false,
            looked_at: now,
            looks_back_at: [now; LOOKS_BACK.len()],
            back: window::Back::new(now),
            floors: [Floor::default(); PRIORITIES],
        }
    }

    /// Which look below the session's own floors is due, if one is.
    fn look_below(&self, now: i64) -> Option<usize> {
        // The clock may have been put back.
        let is_due = |at: &i64| *at <= now || *at > now + MAX_PAUSE;
        let first = usize::from(self.is_in_windows());
        let due = self.looks_back_at[first..].iter().position(is_due).map(|place| first + place);
        due.filter(|_| self.is_complete && !are_shared())
    }

    /// Whether windows look at all that looks pass over.
    fn is_in_windows(&self) -> bool {
        are_shared() || self.back.dead() >= IN_WINDOWS
    }

    /// Such a look is over that came by so many dead entries. The shorter ones were part of it.
    fn has_looked_below(&mut self, which: usize, dead: u64, began: i64) {
        if which == 0 {
            self.back.passes_over(dead);
        }
        let now = xact::clock();
        let pause = if dead < FEW { 0 } else { ((now - began) * PAUSE).clamp(0, MAX_PAUSE) };
        self.looks_back_at[which..].fill(now + pause);
    }

    /// Begins with what is known.
    fn begin(&mut self, known: &Known, now: i64) {
        let untold = super::area().map_or(i64::MIN, |area| area.floors.untold());
        for (priority, at) in &known.saved {
            if let Some(floor) = self.floors.get_mut(*priority) {
                floor.begin_at(Position { at: at.saturating_sub(SAVED_BEHIND).min(untold), id: i64::MIN });
                self.back.hurries();
            }
        }
        for holder in &known.prepared {
            let held = |floor: &mut Floor| floor.arrived(Position::FIRST, Position::LAST, *holder, now);
            self.floors.iter_mut().for_each(held);
        }
        self.is_complete = true;
    }

    /// What a claim is to walk.
    fn look(&mut self, now: i64) -> View {
        self.looked_at = now;
        self.view(now, self.look_below(now))
    }

    /// What is to be walked: what is known to be there, or all from some way below on.
    fn view(&self, now: i64, below: Option<usize>) -> View {
        let back = below.map_or(0, |which| LOOKS_BACK[which]);
        let made = made_here(self.key);
        let mut looks = [None; PRIORITIES];
        for (priority, (floor, look)) in self.floors.iter().zip(&mut looks).enumerate() {
            *look = match made[priority] {
                _ if !are_shared() => Some(floor.look_below(back)),
                Some(own) => Some(floor.look_from(own)),
                None => floor.look(now),
            };
        }
        let idle = self.floors.iter().zip(&looks).filter(|(_, look)| !look.is_some_and(|look| look.has_open()));
        let next_due = idle.map(|(floor, _)| floor.next_due()).min().unwrap_or(i64::MAX);
        let began = below.map_or(now, |_| xact::clock());
        View { key: self.key, born: self.born, is_complete: self.is_complete, looks, next_due, below, began }
    }
}

/// What a claim is to walk of a queue, priority by priority.
pub struct View {
    key: Key,
    born: u64,
    is_complete: bool,
    looks: [Option<Look>; PRIORITIES],
    next_due: i64,
    /// How far below the session's own floors it goes, if it does.
    below: Option<usize>,
    began: i64,
}

/// Works on a queue's entry, if it has one.
fn with_entry<R>(key: Key, work: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    if !are_shared() {
        return OWN.with_borrow_mut(|own| own.get_mut(&key).map(|entry| work(entry)));
    }
    ENTRIES.with_part(part(key), |entries| entries.iter_mut().find(|entry| entry.key == key).map(work)).flatten()
}

/// The part of the array that a queue is in.
fn part(key: Key) -> u32 {
    (key.queue as u32).wrapping_add(key.table)
}

/// Works on a queue's entry, which is made where it has none; `None` where all are in use.
fn with_made_entry<R>(key: Key, now: i64, work: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    if !are_shared() {
        return OWN.with_borrow_mut(|own| {
            if own.len() >= MAX_OWN && !own.contains_key(&key) {
                let oldest = own.values().min_by_key(|entry| entry.looked_at).map(|entry| entry.key);
                oldest.and_then(|oldest| own.remove(&oldest));
            }
            let entry = own.entry(key).or_insert_with(|| Box::new(Entry::new(key, now)));
            Some(work(entry))
        });
    }
    ENTRIES
        .with_part(part(key), |entries| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
                return Some(work(entry));
            }
            let oldest = entries.iter_mut().min_by_key(|entry| (entry.key.database != 0, entry.looked_at))?;
            let is_free = oldest.key.database == 0 || (now - oldest.looked_at).abs() >= KEPT;
            is_free.then(|| {
                *oldest = Entry::new(key, now);
                work(oldest)
            })
        })
        .flatten()
}

/// What is known elsewhere of a queue that has no entry yet.
#[derive(Default)]
pub struct Known {
    /// The prepared transactions: what they have made ready is found once they have ended.
    pub prepared: Vec<u64>,
    /// What was saved of the floors: the priority, and where it began.
    pub saved: Vec<(usize, i64)>,
}

/// What a claim from a queue is to walk. The snapshot has to be taken after. `known` is asked where there is no entry.
pub fn look(table: u32, queue: i32, now: i64, known: impl FnOnce() -> Known) -> View {
    let key = Key { database: process::database(), table, queue };
    // On a standby nobody tells of what is replayed.
    let Some(view) = (!xact::in_recovery()).then(|| with_made_entry(key, now, |entry| entry.look(now))).flatten()
    else {
        return View::of_everything(key);
    };
    let mut view = if view.is_complete { view } else { complete(key, now, &known()) };
    view.release_ended(now);
    view
}

/// Enters what is known into a new entry, and looks.
fn complete(key: Key, now: i64, known: &Known) -> View {
    let view = with_made_entry(key, now, |entry| {
        if !entry.is_complete {
            entry.begin(known, now);
        }
        entry.look(now)
    });
    view.unwrap_or(View::of_everything(key))
}

impl View {
    /// For a queue without floors.
    fn of_everything(key: Key) -> View {
        let look = Some(Floor::default().look_below(0));
        let looks = [look; PRIORITIES];
        View { key, born: 0, is_complete: true, looks, next_due: i64::MAX, below: None, began: i64::MAX }
    }

    /// When the next job of the priorities that are not to be walked is due.
    pub fn next_due(&self) -> i64 {
        self.next_due
    }

    /// What is to be walked, by priority.
    pub fn looks(&self) -> impl Iterator<Item = (usize, &Look)> {
        self.looks.iter().enumerate().filter_map(|(priority, look)| Some((priority, look.as_ref()?)))
    }

    /// Whether there is nothing to walk at all.
    pub fn is_idle(&self) -> bool {
        self.looks.iter().flatten().all(|look| look.walks().next().is_none())
    }

    /// Looks again where a transaction that held something has ended.
    fn release_ended(&mut self, now: i64) {
        let ranges = self.looks.iter().flatten().flat_map(Look::ranges);
        let holders = ranges.map(|range| range.holder).filter(|holder| *holder != 0);
        let mut ended: Vec<u64> = holders.collect();
        ended.dedup();
        ended.retain(|holder| !xact::is_running(*holder));
        if !ended.is_empty()
            && let Some(view) = with_entry(self.key, |entry| {
                entry.floors.iter_mut().for_each(|floor| floor.release(&ended));
                entry.view(now, self.below)
            })
        {
            *self = view;
        }
    }

    /// Works on a floor, unless the queue has another entry by now.
    fn with_floor(&self, priority: usize, work: impl FnOnce(&mut Floor)) {
        with_entry(self.key, |entry| {
            if entry.born == self.born && entry.is_complete {
                work(&mut entry.floors[priority]);
            }
        });
    }

    /// Tells what a walk of a range has found, under a snapshot taken after the look.
    pub fn settle(&self, priority: usize, look: &Look, range: &Range, walked: &Walked, now: i64) {
        self.with_floor(priority, |floor| floor.settle(look, range, walked, now));
    }

    /// Tells that the walk is over, and how many dead entries it came by.
    pub fn is_done(&self, dead: u64) {
        if let Some(which) = self.below {
            with_entry(self.key, |entry| entry.has_looked_below(which, dead, self.began));
        }
    }

    /// Whether what lies below the floors is to be left: all of it is looked at where that is little, or in windows.
    pub fn leaves_below(&self) -> bool {
        self.below.is_some_and(|which| which > 0) && xact::clock() - self.began >= LASTS
    }

    /// Tells that nothing pending was found, and when the next one is due.
    pub fn is_empty_until(&self, priority: usize, look: &Look, next_due: i64) {
        self.with_floor(priority, |floor| floor.is_empty_until(look, next_due));
    }
}

/// Entries of these positions have become ready, as far as this transaction commits.
pub fn made_ready(table: u32, queue: i32, priority: i32, from: Position, to: Position) {
    let Some(priority) = usize::try_from(priority).ok().filter(|priority| *priority < PRIORITIES) else { return };
    let key = Key { database: process::database(), table, queue };
    super::at_transaction_end();
    MADE.with_borrow_mut(|made| {
        let (first, last) = made.entry((key, priority)).or_insert((from, to));
        (*first, *last) = ((*first).min(from), (*last).max(to));
    });
}

/// From where on this transaction has made something ready in each priority of a queue.
fn made_here(key: Key) -> [Option<Position>; PRIORITIES] {
    MADE.with_borrow(|made| std::array::from_fn(|priority| Some(made.get(&(key, priority))?.0)))
}

/// The transaction is about to be prepared: COMMIT PREPARED runs elsewhere, and tells nobody.
pub fn about_to_prepare() {
    PREPARED_AS.set(xact::own_id());
}

/// Tells of what was made ready, as soon as others see it, or once a prepared transaction has ended. Must not raise.
pub fn transaction_ended(event: xact::End) {
    MADE.with_borrow_mut(|made| {
        let holder = PREPARED_AS.take();
        for ((key, priority), (from, to)) in made.drain().filter(|_| event != xact::End::Aborted) {
            let tell = || with_entry(key, |entry| entry.floors[priority].arrived(from, to, holder, xact::clock()));
            if tell().is_none()
                && let Some(area) = super::area()
            {
                area.floors.is_untold(from.at);
                // An entry that came meanwhile may not have heard of it.
                tell();
            }
        }
    });
}

/// Whether they are the server's, and not this session's own.
pub fn are_shared() -> bool {
    super::area().is_some()
}

/// Notes that somebody looks for jobs of a queue otherwise than from its floors on.
pub fn note_look(table: u32, queue: i32, now: i64) {
    let key = Key { database: process::database(), table, queue };
    with_made_entry(key, now, |entry| entry.looked_at = now);
}

/// When somebody last looked for jobs of a queue; `None` where that was never, or is no longer known.
pub fn looked_at(table: u32, queue: i32) -> Option<i64> {
    with_entry(Key { database: process::database(), table, queue }, |entry| entry.looked_at)
}

/// What is known of a queue that has floors.
pub struct Figures {
    pub queue: i32,
    pub looked_at: i64,
    pub looks_back: u64,
    /// Jobs that only a look back has found.
    pub found: u64,
}

/// The queues of a table that have floors in shared memory.
pub fn figures(table: u32) -> Vec<Figures> {
    of_all(table, |entry| {
        let (looks_back, found) = (entry.back.passes, entry.floors.iter().map(Floor::found).sum());
        Some(Figures { queue: entry.key.queue, looked_at: entry.looked_at, looks_back, found })
    })
}

/// How many queues of the server have a place that no other may take, and how many places there are; `None` without preload.
pub fn used() -> Option<(usize, usize)> {
    let now = xact::clock();
    let mut used = 0;
    let is_kept = |entry: &&Entry| entry.key.database != 0 && (now - entry.looked_at).abs() < KEPT;
    ENTRIES.with_all(|entries| used += entries.iter().filter(is_kept).count());
    are_shared().then(|| (used, ENTRIES.length()))
}

/// Where the floors of a queue begin.
pub struct Lowest {
    pub queue: i32,
    pub places: [Position; PRIORITIES],
    /// Whether a claim that does not know it would walk for long.
    pub is_worth_saving: bool,
}

/// The queues of a table of which everything was looked through.
pub fn lowest(table: u32) -> Vec<Lowest> {
    of_all(table, |entry| {
        let places = std::array::from_fn(|priority| entry.floors[priority].lowest());
        let is_worth_saving = entry.back.dead() >= WORTH_SAVING;
        (entry.back.passes > 0).then_some(Lowest { queue: entry.key.queue, places, is_worth_saving })
    })
}

/// Something of the queues of a table that have floors in shared memory.
fn of_all<T>(table: u32, what: impl Fn(&Entry) -> Option<T>) -> Vec<T> {
    let database = process::database();
    // Nothing is allocated under the locks.
    let mut all = Vec::with_capacity(ENTRIES.length());
    ENTRIES.with_all(|entries| {
        let here = entries.iter().filter(|entry| entry.key.database == database && entry.key.table == table);
        all.extend(here.filter_map(&what));
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_large_as_the_documents_say() {
        assert_eq!(size_of::<Entry>().div_ceil(1024), 8);
    }
}
