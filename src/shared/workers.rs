//! What the background worker's processes tell each other and whoever asks: the databases that it looks after, what was
//! done in each and when, who visits which, and which queues are to be notified. Fixed sizes; times are microseconds
//! since 2000-01-01 UTC, 0 for never.

use crate::pg::process;
use crate::pg::shmem::Guarded;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Databases with the extension that have a place here. More are visited all the same, but not told of.
pub const MAX_DATABASES: usize = 64;
/// Most processes that visit databases at one time.
pub const MAX_VISITS: usize = 8;
/// Most steps of a visit.
pub const MAX_STEPS: usize = 13;
/// Queues of a database that are marked one by one; with more all are notified.
pub const MAX_MARKS: usize = 32;
/// Bytes kept of an error.
const MAX_ERROR: usize = 160;

/// What lies in shared memory.
pub struct Table {
    /// The launcher's place among the processes, counted from 1; 0 where there is none.
    launcher: AtomicI32,
    /// The databases that have a place, to be seen without the lock; 0 where the place is free.
    known: [AtomicU32; MAX_DATABASES],
    /// A database that has the extension, and in which no worker has seen it yet; 0 is none.
    new: AtomicU32,
    state: Guarded<State>,
}

/// What is under the lock.
struct State {
    databases: [Database; MAX_DATABASES],
    visits: [Visit; MAX_VISITS],
}

/// A database that has the extension.
#[derive(Clone, Copy)]
struct Database {
    /// 0 where the place is free.
    oid: u32,
    /// The process that visits it, counted from 1; 0 where none does.
    visitor: i32,
    next_visit: i64,
    marks: Marks,
    steps: [Record; MAX_STEPS],
}

/// Queues that got jobs since they were last notified.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    queues: [i32; MAX_MARKS],
    count: usize,
    /// More than could be kept.
    pub all: bool,
}

/// What is known of a step in a database.
#[derive(Clone, Copy)]
struct Record {
    runs: i64,
    errors: i64,
    last_at: i64,
    took: i64,
    took_in_all: i64,
    error_at: i64,
    error: [u8; MAX_ERROR],
    error_length: usize,
}

/// A visit under way.
#[derive(Clone, Copy)]
struct Visit {
    database: u32,
    with_upkeep: bool,
    /// Somebody else needs the place, or the database.
    asked_to_leave: bool,
    outcome: Outcome,
}

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// It has not ended well: what is found where its process has ended without a word.
    None = 0,
    Done = 1,
    /// The extension is not there.
    NoExtension = 2,
    /// A step failed, and not for a lock that somebody else held.
    Failed = 3,
    /// It left early, since somebody wants to drop or copy the database, or another visit needs the place.
    Left = 4,
}

/// A step in a database, for whoever asks.
pub struct Report {
    pub database: u32,
    pub step: usize,
    pub runs: i64,
    pub errors: i64,
    pub last_at: i64,
    pub took: i64,
    pub took_in_all: i64,
    pub error_at: i64,
    pub error: Option<String>,
    pub next_visit: i64,
}

/// Nothing marked.
const NO_MARKS: Marks = Marks { queues: [0; MAX_MARKS], count: 0, all: false };
/// A step that never ran.
const NO_RECORD: Record = Record {
    runs: 0,
    errors: 0,
    last_at: 0,
    took: 0,
    took_in_all: 0,
    error_at: 0,
    error: [0; MAX_ERROR],
    error_length: 0,
};
/// A free place.
const NO_DATABASE: Database =
    Database { oid: 0, visitor: 0, next_visit: 0, marks: NO_MARKS, steps: [NO_RECORD; MAX_STEPS] };

impl Marks {
    /// The queues that are marked.
    pub fn queues(&self) -> &[i32] {
        self.queues.get(..self.count).unwrap_or_default()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && !self.all
    }

    /// Marks a queue.
    fn add(&mut self, queue: i32) {
        if self.queues().contains(&queue) {
            return;
        }
        match self.queues.get_mut(self.count) {
            Some(place) => {
                *place = queue;
                self.count += 1;
            }
            None => self.all = true,
        }
    }
}

impl State {
    /// A database's place.
    fn database(&mut self, oid: u32) -> Option<&mut Database> {
        self.databases.iter_mut().find(|database| database.oid == oid && oid != 0)
    }
}

/// The table, if there is one.
fn table() -> Option<&'static Table> {
    super::area().map(|area| &area.workers)
}

/// Whether the library is preloaded, which it takes to have a background worker.
pub fn is_possible() -> bool {
    table().is_some()
}

/// Works on the state; `None` without preload.
fn with<R>(work: impl FnOnce(&mut State) -> R) -> Option<R> {
    table().map(|table| table.state.with(work))
}

/// This process is the launcher from now on.
pub fn launcher_is_here() {
    if let Some(table) = table() {
        table.launcher.store(process::own_number() + 1, Ordering::Release);
    }
}

/// Wakes the launcher, if there is one.
pub fn wake_launcher() {
    if let Some(number) = table().map(|table| table.launcher.load(Ordering::Acquire)).filter(|number| *number > 0) {
        process::wake(number - 1);
    }
}

/// Whether NOTIFY for queues of this database is sent by the background worker.
pub fn sends_notify(database: u32) -> bool {
    table().is_some_and(|table| {
        table.launcher.load(Ordering::Relaxed) > 0
            && table.known.iter().any(|oid| oid.load(Ordering::Relaxed) == database)
    })
}

/// A session has used the extension in a database: one that was visited before it was there need not wait for the next visit.
pub fn is_used(database: u32) {
    if let Some(table) = table().filter(|_| !sends_notify(database)) {
        table.new.store(database, Ordering::Release);
        wake_launcher();
    }
}

/// The database that a session has said so of.
pub fn take_new() -> Option<u32> {
    table().map(|table| table.new.swap(0, Ordering::AcqRel)).filter(|database| *database != 0)
}

/// Jobs have come to a queue that is to be notified.
pub fn mark(database: u32, queue: i32) {
    let visitor = with(|state| {
        let database = state.database(database)?;
        let was_empty = database.marks.is_empty();
        database.marks.add(queue);
        was_empty.then_some(database.visitor)
    });
    match visitor.flatten() {
        Some(0) => wake_launcher(),
        Some(number) => process::wake(number - 1),
        None => {}
    }
}

/// What is marked, which is no longer so afterwards.
pub fn take_marks(database: u32) -> Marks {
    let marks = with(|state| state.database(database).map(|database| std::mem::replace(&mut database.marks, NO_MARKS)));
    marks.flatten().unwrap_or(NO_MARKS)
}

/// Marks again what could not be notified.
pub fn mark_again(database: u32, marks: &Marks) {
    with(|state| {
        if let Some(database) = state.database(database) {
            database.marks.all |= marks.all;
            marks.queues().iter().for_each(|queue| database.marks.add(*queue));
        }
    });
}

/// The databases in which something is marked.
pub fn marked() -> impl Iterator<Item = u32> {
    let mut oids = [0; MAX_DATABASES];
    with(|state| {
        for (oid, database) in oids.iter_mut().zip(&state.databases) {
            *oid = if database.marks.is_empty() { 0 } else { database.oid };
        }
    });
    oids.into_iter().filter(|oid| *oid != 0)
}

/// Notes a visit that is about to begin.
pub fn plan_visit(place: usize, database: u32, with_upkeep: bool) {
    with(|state| {
        if let Some(visit) = state.visits.get_mut(place) {
            *visit = Visit { database, with_upkeep, asked_to_leave: false, outcome: Outcome::None };
        }
    });
}

/// The visit that this process is to make: the database, and whether upkeep is due there.
pub fn planned_visit(place: usize) -> Option<(u32, bool)> {
    with(|state| state.visits.get(place).map(|visit| (visit.database, visit.with_upkeep))).flatten()
}

/// Asks for the end of a visit that only waits for more to do.
pub fn ask_to_leave(place: usize) {
    let visitor = with(|state| {
        let visit = state.visits.get_mut(place)?;
        visit.asked_to_leave = true;
        let oid = visit.database;
        state.database(oid).map(|database| database.visitor)
    });
    if let Some(number) = visitor.flatten().filter(|number| *number > 0) {
        process::wake(number - 1);
    }
}

/// Whether this visit is asked to end.
pub fn is_asked_to_leave(place: usize) -> bool {
    with(|state| state.visits.get(place).is_some_and(|visit| visit.asked_to_leave)).unwrap_or_default()
}

/// The visit has ended: what is noted last.
pub fn end_visit(place: usize, outcome: Outcome) {
    with(|state| {
        let Some(visit) = state.visits.get_mut(place) else { return };
        visit.outcome = outcome;
        let oid = visit.database;
        if let Some(database) = state.database(oid) {
            database.visitor = 0;
        }
    });
}

/// How a visit whose process is gone has ended.
pub fn outcome(place: usize) -> Outcome {
    with(|state| {
        let Some(visit) = state.visits.get_mut(place) else { return Outcome::None };
        let (oid, outcome) = (visit.database, visit.outcome);
        if let Some(database) = state.database(oid) {
            database.visitor = 0;
        }
        outcome
    })
    .unwrap_or(Outcome::None)
}

/// This process visits a database that has the extension: gives it a place, if one is free.
pub fn enter(oid: u32) {
    let Some(table) = table() else { return };
    let number = process::own_number() + 1;
    table.state.with(|state| {
        let has = state.databases.iter().position(|database| database.oid == oid);
        let place = has.or_else(|| state.databases.iter().position(|database| database.oid == 0))?;
        if has.is_none() {
            state.databases[place] = NO_DATABASE;
        }
        state.databases[place].oid = oid;
        state.databases[place].visitor = number;
        table.known[place].store(oid, Ordering::Release);
        Some(place)
    });
}

/// Forgets the databases that are not among these.
pub fn keep(is_there: impl Fn(u32) -> bool) {
    let Some(table) = table() else { return };
    for place in 0..MAX_DATABASES {
        let oid = table.known[place].load(Ordering::Relaxed);
        if oid != 0 && !is_there(oid) {
            table.state.with(|state| {
                if state.databases[place].oid == oid {
                    table.known[place].store(0, Ordering::Release);
                    state.databases[place] = NO_DATABASE;
                }
            });
        }
    }
}

/// Notes when a database is to be visited next.
pub fn set_next_visit(oid: u32, at: i64) {
    with(|state| {
        if let Some(database) = state.database(oid) {
            database.next_visit = at;
        }
    });
}

/// Notes that a step ran.
pub fn record(oid: u32, step: usize, at: i64, took: i64, error: Option<&str>) {
    with(|state| {
        let Some(record) = state.database(oid).and_then(|database| database.steps.get_mut(step)) else { return };
        record.runs += 1;
        record.last_at = at;
        record.took = took;
        record.took_in_all += took;
        if let Some(text) = error {
            record.errors += 1;
            record.error_at = at;
            record.error_length = text.len().min(MAX_ERROR);
            for (to, from) in record.error.iter_mut().zip(text.bytes()) {
                *to = from;
            }
        }
    });
}

/// All that is noted.
pub fn reports() -> Vec<Report> {
    let mut reports = Vec::new();
    for place in 0..MAX_DATABASES {
        let Some(Some(database)) = with(|state| state.databases.get(place).copied()) else { continue };
        let ran = database.steps.iter().enumerate().filter(|(_, record)| database.oid != 0 && record.runs > 0);
        reports.extend(ran.map(|(step, record)| Report {
            database: database.oid,
            step,
            runs: record.runs,
            errors: record.errors,
            last_at: record.last_at,
            took: record.took,
            took_in_all: record.took_in_all,
            error_at: record.error_at,
            error: (record.errors > 0).then(|| {
                String::from_utf8_lossy(record.error.get(..record.error_length).unwrap_or_default()).into_owned()
            }),
            next_visit: database.next_visit,
        }));
    }
    reports
}
