//! Waking sessions that wait for jobs, when the library is preloaded: latches, and no NOTIFY.
//!
//! A session remembers which queues its transaction made jobs ready in, and wakes their waiters when it has committed,
//! after the jobs can be seen. A waiter watches, then looks, then sleeps: whatever commits after its look finds it in the
//! table. A savepoint that is rolled back may wake for nothing. COMMIT PREPARED, which runs in another session, wakes
//! nobody; so somebody looks now and then in any case: the background worker for all, or else a waiter of each queue.

pub use super::waiters::Next;
use super::waiters::{Key, MAX_QUEUES, MAX_WAITERS, Processes, Waiters, Watching, Why};
use super::workers;
use crate::pg::process;
use crate::pg::shmem::Guarded;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// What lies in shared memory.
pub struct Table {
    /// Seats that are taken: 0 is seen without the lock.
    seated: AtomicU32,
    waiters: Guarded<Waiters>,
}

/// Stands for a queue that is not there yet: waiters that name one watch this, and all are woken when one is made.
const NEW_QUEUE: i32 = 0;

thread_local! {
    /// What this transaction made ready, by queue.
    static READY: RefCell<HashMap<i32, Made>> = RefCell::new(HashMap::new());
    /// This session's seat.
    static SEAT: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether the session began to watch a queue since the last look began, or could not.
    static WATCHING: Cell<Watch> = const { Cell::new(Watch { began: false, refused: false }) };
    /// A queue in which the last look found more than one job.
    static MORE: Cell<Option<Key>> = const { Cell::new(None) };
}

/// See `READY`.
#[derive(Default)]
struct Made {
    jobs: u32,
    /// Whether the background worker is to send a NOTIFY.
    notify: bool,
}

/// See `WATCHING`.
#[derive(Clone, Copy)]
struct Watch {
    began: bool,
    refused: bool,
}

/// A queue of this database.
fn key(queue: i32) -> Key {
    Key { database: process::database(), queue }
}

/// The table, if there is one.
fn table() -> Option<&'static Table> {
    super::area().map(|area| &area.wakes)
}

/// How many seats are taken, and how many there are; `None` without preload.
pub fn used() -> Option<(usize, usize)> {
    table().map(|table| (table.seated.load(Ordering::Relaxed) as usize, MAX_WAITERS))
}

/// A job of this queue has become ready, or will when it is due, as far as this transaction commits.
pub fn job_made_ready(queue: i32) {
    made_ready(queue, 1);
}

/// Whether the background worker sends a NOTIFY for this queue, as far as this transaction commits.
pub fn notify_later(queue: i32) -> bool {
    let can = workers::sends_notify(process::database());
    if can {
        READY.with_borrow_mut(|ready| ready.entry(queue).or_default().notify = true);
    }
    can
}

/// Any number of jobs may be ready now: the queue is paused no longer.
pub fn queue_opened(queue: i32) {
    made_ready(queue, u32::MAX);
}

/// A queue has been made.
pub fn queue_made() {
    made_ready(NEW_QUEUE, u32::MAX);
}

/// Remembers it for the end of the transaction, for somebody may begin to wait before.
fn made_ready(queue: i32, jobs: u32) {
    if table().is_some() {
        super::at_transaction_end();
        READY.with_borrow_mut(|ready| {
            let made = ready.entry(queue).or_default();
            made.jobs = made.jobs.saturating_add(jobs);
        });
    }
}

/// Wakes whom the jobs are for. Runs when the transaction has ended for everybody, and must not raise.
pub(super) fn transaction_ended(committed: bool) {
    READY.with_borrow_mut(|ready| {
        if ready.is_empty() {
            return;
        }
        // A waiter takes its seat before its look's snapshot. Whoever's snapshot lacks our commit has its seat by now.
        fence(Ordering::SeqCst);
        if let Some(table) = table().filter(|table| committed && table.seated.load(Ordering::Relaxed) > 0) {
            for (queue, made) in ready.iter() {
                wake(table, key(*queue), made.jobs);
            }
        }
        for (queue, _) in ready.iter().filter(|(_, made)| committed && made.notify) {
            workers::mark(process::database(), *queue);
        }
        if committed && ready.contains_key(&NEW_QUEUE) {
            workers::is_used(process::database());
        }
        ready.clear();
    });
}

/// Wakes up to `jobs` waiters of a queue.
fn wake(table: &Table, key: Key, jobs: u32) {
    let mut left = jobs;
    while left > 0 {
        let mut chosen = Processes::none();
        let count = table.waiters.with(|waiters| waiters.choose(key, left, Why::OneJob, &mut chosen));
        wake_processes(&chosen);
        if count == 0 {
            return;
        }
        left -= count;
    }
}

/// Sets their latches.
fn wake_processes(chosen: &Processes) {
    for number in chosen.numbers() {
        process::wake(*number);
    }
}

/// A session's seat among those who wait; left when it is dropped, and when the session ends.
pub struct Seat {
    table: &'static Table,
    place: usize,
}

impl Seat {
    /// Takes one; `None` without preload and where all are taken.
    pub fn take() -> Option<Seat> {
        let table = table()?;
        process::at_exit(leave);
        let place = table.waiters.with(|waiters| waiters.sit(process::own_number()))?;
        SEAT.set(Some(place));
        table.seated.fetch_add(1, Ordering::SeqCst);
        Some(Seat { table, place })
    }

    /// To be called before each look, before its snapshot.
    pub fn before_look(&self) {
        WATCHING.set(Watch { began: false, refused: false });
        MORE.set(None);
        self.table.waiters.with(|waiters| waiters.acknowledge(self.place));
        fence(Ordering::SeqCst);
    }

    /// The look has found work, with which the waiter is about to leave.
    pub fn found(&self) {
        self.table.waiters.with(|waiters| waiters.found(self.place, MORE.get()));
    }

    /// The look has found nothing. What to do next, at `now`; `None` where the table is full and polling is left.
    pub fn found_nothing(&self, now: i64) -> Option<Next> {
        if WATCHING.get().began {
            // Its look's snapshot may be older than the watch.
            return Some(Next::Look);
        }
        self.table.waiters.with(|waiters| waiters.found_nothing(self.place, now));
        if WATCHING.get().refused { None } else { Some(self.next(now)) }
    }

    /// Until when it may sleep on, since others have looked within `longest` microseconds; `None` where it is to look.
    pub fn rests_until(&self, now: i64, longest: i64) -> Option<i64> {
        self.table.waiters.with(|waiters| waiters.rests_until(self.place, now, longest))
    }

    /// What to do after the latch was set, or the time has passed.
    pub fn next(&self, now: i64) -> Next {
        self.table.waiters.with(|waiters| waiters.next(self.place, now))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        leave();
    }
}

/// Frees this session's seat, if it has one.
fn leave() {
    if let (Some(table), Some(place)) = (table(), SEAT.take()) {
        let mut others = Processes::none();
        table.waiters.with(|waiters| waiters.leave(place, &mut others));
        table.seated.fetch_sub(1, Ordering::SeqCst);
        wake_processes(&others);
    }
}

/// A look of this session's goes for these queues; `unknown` where there is one among them that is not there yet. Does
/// nothing in a session that does not wait.
pub fn watch(queues: impl Iterator<Item = i32>, unknown: bool) {
    let (Some(table), Some(place)) = (table(), SEAT.get()) else { return };
    for queue in queues.chain(unknown.then_some(NEW_QUEUE)) {
        let came = table.waiters.with(|waiters| waiters.watch(place, key(queue)));
        let before = WATCHING.get();
        WATCHING.set(Watch {
            began: before.began || came == Watching::New,
            refused: before.refused || came == Watching::Refused,
        });
    }
    fence(Ordering::SeqCst);
}

/// A look of this session's has seen when the next job of a queue becomes due.
pub fn will_be_due(queue: i32, due: i64) {
    if let (Some(table), Some(_)) = (table(), SEAT.get()) {
        table.waiters.with(|waiters| waiters.will_be_due(key(queue), due));
    }
}

/// The queues of this database that somebody waits for.
pub fn waited_for() -> Vec<i32> {
    // Nothing is allocated under the lock.
    let mut queues = Vec::with_capacity(MAX_QUEUES);
    if let Some(table) = table().filter(|table| table.seated.load(Ordering::Relaxed) > 0) {
        table.waiters.with(|waiters| waiters.waited_for(process::database(), &mut queues));
    }
    queues.retain(|queue| *queue != NEW_QUEUE);
    queues
}

/// Somebody has looked on behalf of those who wait for a queue, and has seen when its next job becomes due.
pub fn has_been_looked_at(queue: i32, now: i64, due: Option<i64>) {
    if let Some(table) = table() {
        table.waiters.with(|waiters| {
            waiters.has_been_looked_at(key(queue), now);
            if let Some(due) = due {
                waiters.will_be_due(key(queue), due);
            }
        });
    }
}

/// A look of this session's has found more than one job, one of them here.
pub fn has_more(queue: i32) {
    MORE.set(Some(key(queue)));
}
