//! A visit: the steps of upkeep in one database, each a transaction of its own under the guard, and NOTIFY for the queues
//! that got jobs. As the extension's owner, who can't get out of that by SQL.

use super::process;
use crate::error::{Code, Error};
use crate::guard;
use crate::guc;
use crate::health::{samples, slow};
use crate::jobs::{ready, upkeep};
use crate::pg::identity::Identity;
use crate::pg::spi::{self, Statement};
use crate::pg::{latch, log, xact};
use crate::reply::Reply;
use crate::shared::workers::{self, Outcome};
use std::time::{Duration, Instant};

/// Longest wait for a lock, in milliseconds: others queue up behind a waiting one.
const LOCK_TIMEOUT: i32 = 50;
/// How long a worker stays for more to notify.
const LINGER: Duration = Duration::from_secs(1);
/// Between two looks whether somebody wants the database: a look goes through the server's locks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How long slow checks may take of one visit; the last one may take longer.
const SLOW_CHECKS: Duration = Duration::from_millis(500);
/// A step that did so much is done again at once, since there is more.
const FULL_BATCH: i64 = 1_000;
/// As long as the visit is no older.
const LONG_VISIT: Duration = Duration::from_secs(5);

static OWNER: Statement = Statement::new(
    c"SELECT e.extowner::bigint FROM pg_catalog.pg_extension AS e WHERE e.extname OPERATOR(pg_catalog.=) 'pg_foreman'",
    &[],
);

// DROP and ALTER DATABASE take the one, CREATE DATABASE of its template the other.
static IS_WANTED: Statement = Statement::new(
    c"SELECT EXISTS (
          SELECT 1
          FROM pg_catalog.pg_locks AS l
          WHERE l.locktype OPERATOR(pg_catalog.=) 'object'
            AND l.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_database'::pg_catalog.regclass
            AND l.objid OPERATOR(pg_catalog.=) (
                SELECT d.oid FROM pg_catalog.pg_database AS d
                WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
            AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY['AccessExclusiveLock', 'ShareLock'])
            AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid())",
    &[],
);

/// The name of a step, by its place among the records.
pub fn step_name(step: usize) -> Option<&'static str> {
    match upkeep::STEPS.get(step) {
        Some(step) => Some(step.name),
        None => (step == NOTIFY).then_some("notify"),
    }
}

/// The place of NOTIFY, after the steps of upkeep.
const NOTIFY: usize = upkeep::STEPS.len();

const _: () = assert!(NOTIFY < workers::MAX_STEPS);

/// A visit under way.
struct Visit {
    place: usize,
    database: u32,
    began: Instant,
    looked: Instant,
    failed: bool,
}

/// Visits the database that this process is connected to.
pub fn run(place: usize, database: u32, with_upkeep: bool) -> Outcome {
    let now = Instant::now();
    let mut visit = Visit { place, database, began: now, looked: now, failed: false };
    match visit.carry_out(with_upkeep) {
        Err(outcome) => outcome,
        Ok(()) if visit.failed => Outcome::Failed,
        Ok(()) => Outcome::Done,
    }
}

impl Visit {
    /// Upkeep if it is due, then NOTIFY for as long as there is something to notify. An error is an early end.
    fn carry_out(&mut self, with_upkeep: bool) -> Result<(), Outcome> {
        as_owner(c"look for the extension", || ()).ok_or(Outcome::NoExtension)?;
        workers::enter(self.database);
        if with_upkeep {
            self.upkeep()?;
            self.check_slowly()?;
        }
        self.sample();
        let mut last = None;
        while !self.is_unwelcome() {
            if self.notify()? {
                last = Some(Instant::now());
                latch::wait(guc::notify_interval());
            }
            let left = last.map_or(Duration::ZERO, |last| (last + LINGER).saturating_duration_since(Instant::now()));
            // Upkeep has its turn as well, which is the next visit's.
            if left.is_zero() || self.began.elapsed() > guc::upkeep_interval() {
                break;
            }
            latch::sleep(left.min(BETWEEN_LOOKS));
            process::reload_settings();
        }
        Ok(())
    }

    /// All steps of upkeep.
    fn upkeep(&mut self) -> Result<(), Outcome> {
        for (index, step) in upkeep::STEPS.iter().enumerate() {
            loop {
                if self.is_in_the_way() {
                    return Err(Outcome::Left);
                }
                // Two at once would be in each other's way: whoever comes second leaves it to the first.
                let work = || if upkeep::is_the_one() { (step.run)() } else { Ok(Reply::skipped("busy")) };
                let done = self.step(index, step.name, &work)?;
                if done < FULL_BATCH || self.began.elapsed() > LONG_VISIT {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes a reading of the counters, if it is time. No step of upkeep: nothing depends on it.
    fn sample(&self) {
        if !samples::is_due(self.database) {
            return;
        }
        let take = || {
            samples::take();
            Ok(Reply::success())
        };
        let result = as_owner(c"read counters", || guard::step(LOCK_TIMEOUT, None, take));
        if let Some(Err(error)) = result
            && !is_for_a_lock(&error)
        {
            log::to_server(format!("background worker: reading counters failed: {} {error}", error.sqlstate()));
        }
    }

    /// Makes slow checks of health that are due, each in a transaction of its own; what a visit has no time for is the next
    /// one's. No step of upkeep: whoever calls maintain() has a time-out, and all of it undone with the slowest part.
    fn check_slowly(&mut self) -> Result<(), Outcome> {
        let began = Instant::now();
        let due = as_owner(c"look for slow checks", slow::due).ok_or(Outcome::NoExtension)?;
        for check in due {
            if self.is_in_the_way() {
                return Err(Outcome::Left);
            }
            if began.elapsed() > SLOW_CHECKS {
                break;
            }
            let measure = || {
                check.measure();
                Ok(Reply::success())
            };
            let measured = as_owner(c"slow check", || guard::step(LOCK_TIMEOUT, Some(slow::DEADLINE), measure));
            if let Err(error) = measured.ok_or(Outcome::NoExtension)? {
                let keep = || {
                    check.keep_failure(&error);
                    Ok(Reply::success())
                };
                // Where that can't be kept either, what was measured before grows old, which is told as well.
                let _ = as_owner(c"slow check", || guard::step(LOCK_TIMEOUT, None, keep));
            }
        }
        Ok(())
    }

    /// Sends what is to be notified; false where nothing is.
    fn notify(&mut self) -> Result<bool, Outcome> {
        let marks = workers::take_marks(self.database);
        if marks.is_empty() {
            return Ok(false);
        }
        let queues = (!marks.all).then(|| marks.queues().to_vec());
        let failed_before = std::mem::take(&mut self.failed);
        self.step(NOTIFY, "notify", &|| Ok(ready::notify(queues.as_deref())))?;
        if self.failed {
            workers::mark_again(self.database, &marks);
            return Err(Outcome::Failed);
        }
        self.failed = failed_before;
        Ok(true)
    }

    /// Runs one step, notes what became of it, and says how much it did.
    fn step(&mut self, index: usize, name: &str, work: &dyn Fn() -> Result<Reply, Error>) -> Result<i64, Outcome> {
        let (at, started) = (xact::clock(), Instant::now());
        let result = as_owner(c"upkeep", || guard::step(LOCK_TIMEOUT, None, work)).ok_or(Outcome::NoExtension)?;
        let took = started.elapsed().as_micros() as i64;
        match result {
            Ok(reply) => {
                workers::record(self.database, index, at, took, None);
                Ok(reply.total())
            }
            Err(error) => {
                let text = format!("{} {}: {error}", error.code().name(), error.sqlstate());
                workers::record(self.database, index, at, took, Some(&text));
                // Somebody holds a lock: the next visit does it.
                if !is_for_a_lock(&error) {
                    log::to_server(format!("background worker: {name} failed: {text}"));
                    self.failed = true;
                }
                Ok(0)
            }
        }
    }

    /// Whether somebody wants to drop or copy the database.
    fn is_in_the_way(&mut self) -> bool {
        if self.looked.elapsed() < BETWEEN_LOOKS {
            return false;
        }
        self.looked = Instant::now();
        process::transaction(c"look who wants the database", || {
            spi::connect(|connection| connection.run(&IS_WANTED, &[]).first().is_some_and(|row| row.boolean(1)))
        })
    }

    /// The same, or another visit needs the place: reason enough not to wait for more to do.
    fn is_unwelcome(&mut self) -> bool {
        workers::is_asked_to_leave(self.place) || self.is_in_the_way()
    }
}

/// Whether somebody held a lock for too long.
fn is_for_a_lock(error: &Error) -> bool {
    matches!(error.code(), Code::DbTimeoutError | Code::DbDeadlock)
}

/// Runs `work` in a transaction of its own as the extension's owner; `None` where the extension is not there.
fn as_owner<R>(what: &'static core::ffi::CStr, work: impl FnOnce() -> R) -> Option<R> {
    process::transaction(what, || {
        let owner = spi::connect(|connection| connection.run(&OWNER, &[]).first().and_then(|row| row.bigint(1)))?;
        let owner = u32::try_from(owner).ok()?;
        let _identity = Identity::of(owner);
        Some(work())
    })
}
