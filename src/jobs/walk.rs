//! The way through the jobs of a queue that are due, in their order: by the ready index, from the queue's floors on.

use super::live::column;
use crate::pg::rows::{Key, Rows, Scan, Step, Taken};
use crate::pg::spi::{self, Statement};
use crate::pg::xact;
use crate::shared::floor::{Blocked, Position, Range, Walked};
use crate::shared::floors::{self, View};
use pgrx::pg_sys;

static PREPARED: Statement = Statement::new(
    c"SELECT p.transaction::text::bigint
      FROM pg_catalog.pg_prepared_xact() AS p
      JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) p.dbid
      WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
    &[],
);

/// Entries that can't be seen, after which a walk tells what it has cleared: it may be interrupted.
const WINDOW: u32 = 1_024;
/// Entries that can't be seen and are due later, which are passed over to find when the next job is due.
const MAX_LATER: u32 = 64;

/// Whether a walk goes on behind a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    On,
    /// There are enough.
    Home,
}

/// What to do at a job that the snapshot sees pending.
type Meet<'a> = &'a mut dyn FnMut(&mut Scan, Taken) -> Go;

/// Walks through what is due at `now`, and gives the time from which on more may be; `None` where it takes a statement.
pub fn due(rows: &Rows, queue: i32, now: i64, meet: Meet) -> Option<i64> {
    let view = floors::look(rows.oid(), queue, now, prepared);
    if view.is_idle() {
        return Some(view.next_due());
    }
    let columns = &[column::QUEUE_ID, column::PRIORITY, column::READY_AT, column::ID];
    // Its snapshot is younger than the look.
    let mut scan = rows.scan(c"live_job_ready", columns)?;
    let mut dead = 0;
    let next_due = through(&mut scan, &view, queue, now, meet, &mut dead);
    view.is_done(dead);
    Some(next_due)
}

/// Walks through all priorities, and counts the dead entries.
fn through(scan: &mut Scan, view: &View, queue: i32, now: i64, meet: Meet, dead: &mut u32) -> i64 {
    let mut next_due = view.next_due();
    for (priority, look) in view.looks() {
        let mut walk = Walk { now, dead, later: 0, next_due: i64::MAX, is_empty: true };
        for range in look.walks() {
            let (from, to) = (range.from, range.to);
            let [from, to] = [Key::place_from(from.at, from.id), Key::place_to(to.at, to.id)];
            scan.start(&[Key::integer(queue), Key::smallint(priority as i16), from, to]);
            let tell = |walked: &Walked| view.settle(priority, look, &range, walked, now);
            if walk.range(scan, &range, meet, &tell) == Go::Home {
                return now;
            }
        }
        next_due = next_due.min(walk.next_due);
        if walk.is_empty && look.has_open() {
            view.is_empty_until(priority, look, walk.next_due);
        }
    }
    next_due
}

/// The prepared transactions of this database.
fn prepared() -> Vec<u64> {
    spi::connect(|connection| {
        let rows = connection.run(&PREPARED, &[]);
        let ids = rows.iter().filter_map(|row| u32::try_from(row.bigint(1)?).ok());
        ids.map(|id| xact::full_id(pg_sys::TransactionId::from(id))).collect()
    })
}

/// A walk through one priority.
struct Walk<'a> {
    now: i64,
    /// Entries come by that can't be seen.
    dead: &'a mut u32,
    /// Entries seen that are due later.
    later: u32,
    next_due: i64,
    /// Whether nothing pending was met so far.
    is_empty: bool,
}

impl Walk<'_> {
    /// Walks through a range, and tells what it has found.
    fn range(&mut self, scan: &mut Scan, range: &Range, meet: Meet, tell: &dyn Fn(&Walked)) -> Go {
        let mut track = Track::of(range);
        let go = loop {
            let step = scan.step();
            let place = match step {
                Step::End => {
                    track.has_ended(range);
                    break Go::On;
                }
                Step::Row => Position { at: scan.bigint(column::READY_AT), id: scan.bigint(column::ID) },
                Step::Unseen => Position { at: scan.entry(2), id: scan.entry(3) },
            };
            if place.at > self.now {
                if self.is_found_later(step, place) {
                    break Go::On;
                }
                continue;
            }
            // The index has no others, unless somebody has made it anew without its condition.
            if step == Step::Row && scan.is_label(column::STATUS, c"pending") {
                let taken = scan.taken();
                track.pending(place, taken);
                if meet(scan, taken) == Go::Home {
                    break Go::Home;
                }
            } else {
                track.not_pending(place);
                *self.dead += 1;
                if self.dead.is_multiple_of(WINDOW) {
                    tell(&track.walked());
                    pgrx::check_for_interrupts!();
                }
            }
        };
        self.is_empty &= track.first.is_none() && go == Go::On;
        let walked = track.walked();
        if walked.clear_to > range.from || walked.blocked.is_some() {
            tell(&walked);
        }
        go
    }

    /// Notes an entry that is due later; whether it says when the next job is.
    fn is_found_later(&mut self, step: Step, place: Position) -> bool {
        self.later += 1;
        let is_found = step == Step::Row || self.later >= MAX_LATER;
        if is_found {
            self.next_due = self.next_due.min(place.at);
        }
        is_found
    }
}

/// What a walk through a range has come by, as far as the floor needs to know.
struct Track {
    clear_to: Position,
    /// Behind the last entry.
    reached: Position,
    first: Option<Position>,
    /// The entries that it begins with and one transaction holds.
    run: Option<(Position, Position, pg_sys::TransactionId)>,
    /// The first one behind the run.
    behind: Option<Position>,
}

impl Track {
    /// At the beginning.
    fn of(range: &Range) -> Track {
        Track { clear_to: range.from, reached: range.from, first: None, run: None, behind: None }
    }

    /// Nothing pending is here.
    fn not_pending(&mut self, place: Position) {
        self.reached = place.next();
        if self.first.is_none() {
            self.clear_to = place.next();
        }
    }

    /// A job that the snapshot sees pending.
    fn pending(&mut self, place: Position, taken: Taken) {
        self.reached = place.next();
        if self.behind.is_some() {
            return;
        }
        match (self.first, &mut self.run, taken) {
            (None, _, Taken::By(holder)) => self.run = Some((place, place, holder)),
            (Some(_), Some((_, last, holder)), Taken::By(other)) if *holder == other => *last = place,
            (Some(_), ..) => self.behind = Some(place),
            (None, ..) => {}
        }
        if self.first.is_none() {
            self.first = Some(place);
            self.clear_to = place;
        }
    }

    /// The index has no more in this range.
    fn has_ended(&mut self, range: &Range) {
        if self.first.is_none() && range.to < Position::LAST {
            self.clear_to = range.to.next();
        }
    }

    /// What to tell the floor.
    fn walked(&self) -> Walked {
        let blocked = self.run.map(|(first, last, holder)| Blocked {
            first,
            last,
            holder: xact::full_id(holder),
            behind: self.behind.unwrap_or(self.reached),
        });
        Walked { clear_to: self.clear_to, blocked }
    }
}
