//! The way through the jobs of a queue that are due, in their order: by the ready index, from the queue's floors on.

use super::live::column;
use super::saved_floors;
use crate::pg::rows::{Key, Rows, Scan, Step, Taken};
use crate::pg::spi::{self, Statement};
use crate::pg::xact;
use crate::shared::floor::{Look, Position, Range, Track};
use crate::shared::floors::{self, Known, Stretch, View, Window};
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
/// Entries, after which a look back asks for the time.
const MOMENT: u32 = 256;
/// Dead entries that take as long as a page of those that the index does not show: it knows them to be dead for all, but keeps
/// them until VACUUM comes, half a million where ten thousand jobs a second are done and it comes once a minute.
const PAGE: u64 = 4;
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
    if let Some(window) = Window::of(rows.oid(), queue, now) {
        look_back(rows, window, queue, now)?;
    }
    let view = floors::look(rows.oid(), queue, now, || known(queue));
    if view.is_idle() {
        return Some(view.next_due());
    }
    // Its snapshot is younger than the look.
    let mut scan = scan(rows)?;
    let mut dead = 0;
    let next_due = through(&mut scan, &view, queue, now, meet, &mut dead);
    view.is_done(u64::from(dead) + passed(&scan));
    Some(next_due)
}

/// A walk by the ready index, over what can be seen now.
fn scan(rows: &Rows) -> Option<Scan<'_>> {
    rows.scan(c"live_job_ready", &[column::QUEUE_ID, column::PRIORITY, column::READY_AT, column::ID])
}

/// Begins a walk anew, from one place to another, inclusive; `step_to` ends it there.
fn start(scan: &mut Scan, queue: i32, priority: usize, from: Position, to: Position) {
    let [from, to] = [Key::place_from(from.at, from.id), Key::place_to(to.at, i64::MAX)];
    scan.start(&[Key::integer(queue), Key::smallint(priority as i16), from, to]);
}

/// Goes on for a moment with looking through what the floors pass over.
fn look_back(rows: &Rows, mut window: Window, queue: i32, now: i64) -> Option<()> {
    // Its snapshot is younger than the window.
    let mut scan = scan(rows)?;
    while let Some(stretch) = window.next() {
        start(&mut scan, queue, stretch.priority, stretch.from, stretch.to);
        if through_hidden(&mut scan, &mut window, &stretch, now) == Go::Home {
            break;
        }
    }
    window.passes(passed(&scan));
    window.close();
    Some(())
}

/// What a walk has passed over, as so many dead entries that take as long.
fn passed(scan: &Scan) -> u64 {
    scan.passed() * PAGE
}

/// Walks through what is passed over, for as long as the window lasts.
fn through_hidden(scan: &mut Scan, window: &mut Window, stretch: &Stretch, now: i64) -> Go {
    let (mut entries, mut later) = (0_u32, 0);
    while let Some((step, place)) = step_to(scan, stretch.to) {
        if place.at > now {
            later += 1;
            if step == Step::Row || later >= MAX_LATER {
                window.is_due(place.at);
                break;
            }
            continue;
        }
        window.reaches(place);
        if step == Step::Row && is_pending(scan) {
            // Of what is made ready in this transaction others will be told at its end.
            if scan.taken() == Taken::No && !scan.is_own() {
                window.meets(place);
            }
        } else {
            window.passes(1);
        }
        entries += 1;
        if entries.is_multiple_of(MOMENT) {
            pgrx::check_for_interrupts!();
            if window.is_over() {
                return Go::Home;
            }
        }
    }
    window.ends(stretch);
    Go::On
}

/// The next entry up to a place, and where it is. The index is asked for more, all of the moment of that place: by itself it
/// does not stop at the id, but reads on through all that became ready at the same moment, which may be millions.
fn step_to(scan: &mut Scan, to: Position) -> Option<(Step, Position)> {
    let step = scan.step();
    let place = match step {
        Step::Row => Position { at: scan.bigint(column::READY_AT), id: scan.bigint(column::ID) },
        Step::Unseen => Position { at: scan.entry(2), id: scan.entry(3) },
        Step::End => return None,
    };
    (place <= to).then_some((step, place))
}

/// Whether the job that a walk stands at is pending. The index has no others, unless somebody has made it anew without its
/// condition.
fn is_pending(scan: &mut Scan) -> bool {
    scan.is_label(column::STATUS, c"pending")
}

/// Walks through all priorities, and counts the dead entries.
fn through(scan: &mut Scan, view: &View, queue: i32, now: i64, meet: Meet, dead: &mut u32) -> i64 {
    let mut next_due = view.next_due();
    for (priority, look) in view.looks() {
        let mut walk = Walk {
            view,
            queue,
            priority,
            look,
            now,
            dead,
            later: 0,
            next_due: i64::MAX,
            is_empty: true,
            left_at: None,
        };
        if walk.all(scan, look.walks(), meet) == Go::Home {
            return now;
        }
        next_due = next_due.min(walk.next_due);
        if walk.is_empty && look.has_open() {
            view.is_empty_until(priority, look, walk.next_due);
        }
    }
    next_due
}

/// What is known of a queue that has no floors yet.
fn known(queue: i32) -> Known {
    Known { prepared: prepared(), saved: saved_floors::of(queue) }
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
    view: &'a View,
    queue: i32,
    priority: usize,
    look: &'a Look,
    now: i64,
    /// Entries come by that can't be seen.
    dead: &'a mut u32,
    /// Entries seen that are due later.
    later: u32,
    next_due: i64,
    /// Whether nothing pending was met so far.
    is_empty: bool,
    /// Where it has left what lies below the open end.
    left_at: Option<Position>,
}

impl Walk<'_> {
    /// Walks through all of these ranges.
    fn all(&mut self, scan: &mut Scan, ranges: impl Iterator<Item = Range>, meet: Meet) -> Go {
        let look = self.look;
        for range in ranges {
            start(scan, self.queue, self.priority, range.from, range.to);
            let mut go = self.range(scan, &range, meet);
            if let Some(place) = self.left_at.take() {
                go = self.all(scan, &mut look.behind(place) as &mut dyn Iterator<Item = Range>, meet);
            }
            if go == Go::Home {
                return go;
            }
        }
        Go::On
    }

    /// Walks through a range, and tells what it has found.
    fn range(&mut self, scan: &mut Scan, range: &Range, meet: Meet) -> Go {
        let mut track = Track::of(range);
        let go = loop {
            let Some((step, place)) = step_to(scan, range.to) else {
                track.has_ended(range);
                break Go::On;
            };
            if place.at > self.now {
                if self.is_found_later(step, place) {
                    break Go::On;
                }
                continue;
            }
            if step == Step::Row && is_pending(scan) {
                let taken = scan.taken();
                track.pending(place, holder(taken));
                if meet(scan, taken) == Go::Home {
                    break Go::Home;
                }
            } else {
                track.not_pending(place);
                *self.dead += 1;
                if self.dead.is_multiple_of(WINDOW) {
                    self.tell(range, &track);
                    pgrx::check_for_interrupts!();
                }
                if self.dead.is_multiple_of(MOMENT) && self.look.is_below(range) && self.view.leaves_below() {
                    self.left_at = Some(place);
                    break Go::On;
                }
            }
        };
        self.is_empty &= track.is_empty() && go == Go::On;
        self.tell(range, &track);
        go
    }

    /// Tells the floor what the walk has come by so far.
    fn tell(&self, range: &Range, track: &Track) {
        let walked = track.walked();
        if walked.clear_to > range.from || walked.blocked.is_some() {
            self.view.settle(self.priority, self.look, range, &walked, self.now);
        }
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

/// The transaction that has a job locked.
fn holder(taken: Taken) -> Option<u64> {
    match taken {
        Taken::By(transaction) => Some(xact::full_id(transaction)),
        Taken::No | Taken::Changed => None,
    }
}
