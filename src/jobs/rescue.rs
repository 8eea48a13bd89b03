//! Rescue: jobs whose lease has expired are pending again, or end where they can't be tried again.

use super::finish::{self, End, Ending, Rule, When};
use super::live::LIVE_JOB;
use super::old_leases::{self, Met};
use super::settle::{self, Return};
use super::status::Status;
use crate::error::Error;
use crate::guard;
use crate::pg::datum::{Text, Timestamptz};
use crate::pg::lock_timeout::{self, Bound};
use crate::pg::rows::Rows;
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use crate::shared::leases;
use crate::shared::rescues::{self, Look, Range};
use crate::shared::tally::{self, Event};
use pgrx::pg_sys;
use std::cell::Cell;
use std::time::{Duration, Instant};

// Looked at again under the row's lock, by the server and, where heartbeats are told in shared memory, by the outer
// condition (src/shared/leases.rs says why that is enough), so that a lease extended meanwhile is left alone. A row that is
// locked is held by its worker (hold_lease) or about to be finished.
static FIND: Statement = Statement::by_index(
    c"SELECT f.id, f.is_last
      FROM (
          SELECT j.id, j.attempt OPERATOR(pg_catalog.>=) j.max_attempts OR j.cancel_requested_at IS NOT NULL AS is_last,
                 j.lease_token, j.lease_expires_at, j.lease_seconds
          FROM foreman.live_job AS j
          WHERE j.status OPERATOR(pg_catalog.=) 'running' AND j.lease_expires_at OPERATOR(pg_catalog.<=) $1
            AND j.lease_expires_at OPERATOR(pg_catalog.>=) $3 AND j.lease_expires_at OPERATOR(pg_catalog.<) $4
            AND foreman.lease_end(j.lease_token, j.lease_expires_at, j.lease_seconds) OPERATOR(pg_catalog.<=) $1
          ORDER BY j.lease_expires_at
          LIMIT $2
          FOR UPDATE SKIP LOCKED
      ) AS f
      WHERE foreman.lease_end(f.lease_token, f.lease_expires_at, f.lease_seconds) OPERATOR(pg_catalog.<=) $1",
    &[pg_sys::TIMESTAMPTZOID, pg_sys::INT4OID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID],
);

/// The error of an attempt whose lease expired.
pub const EXPIRED: &str = "The lease expired.";
/// The same of the last one.
const USED_UP: &str = "The lease expired; the attempts are used up.";
/// Microseconds between two rescues that a session's claims make on the side.
const PAUSE: i64 = 1_000_000;
/// Jobs that a claim rescues on the side.
const A_FEW: i32 = 10;
/// How long it goes on through those that expired longer ago.
const ON_THE_SIDE: Duration = Duration::from_millis(10);
/// The same of upkeep, which comes round more seldom.
const IN_UPKEEP: Duration = Duration::from_millis(250);
/// Milliseconds that it waits for a lock.
const LOCK_TIMEOUT: i32 = 50;

thread_local! {
    /// When this session last thought of a rescue on the side.
    static THOUGHT: Cell<i64> = const { Cell::new(0) };
}

/// Rescues a few jobs, at most once a second among all sessions that claim: sooner than upkeep comes round, and where
/// nobody does any. Not in a transaction block, which might hold them for long; and whoever asks for something else does
/// not wait for a lock that only the rescue needs.
pub fn on_the_side() {
    let now = xact::clock();
    leases::asked(now);
    if (now - THOUGHT.get()).abs() < PAUSE || guard::in_transaction_block() || !xact::may_write() {
        return;
    }
    THOUGHT.set(now);
    let Some(look) = rescues::begin(LIVE_JOB.oid(), now, PAUSE) else { return };
    lock_timeout::become_setting();
    // What could not be had in time is left to the next one.
    let _ = guard::apart(|| {
        let _bound = Bound::set(LOCK_TIMEOUT);
        spi::connect(|connection| look_through(connection, &look, A_FEW, ON_THE_SIDE));
        Ok(Reply::success())
    });
}

/// `rescue_expired`: at most `max_jobs`, those that expired first.
pub fn expired(max_jobs: i32) -> Result<Reply, Error> {
    let all = Range { from: i64::MIN, before: i64::MAX };
    Ok(spi::connect(|connection| rescue(connection, max_jobs, all)).told())
}

/// The same, as often as upkeep comes round: those that have expired since the last time, and a part of the others.
pub fn since_last(max_jobs: i32) -> Result<Reply, Error> {
    let Some(look) = rescues::begin(LIVE_JOB.oid(), xact::clock(), 0) else { return Ok(Rescued::default().told()) };
    Ok(spi::connect(|connection| look_through(connection, &look, max_jobs, IN_UPKEEP)).told())
}

/// Rescues up to so many jobs: of the leases that expired last, and for so long of older ones.
fn look_through(connection: &Connection, look: &Look, max_jobs: i32, budget: Duration) -> Rescued {
    let until = Instant::now() + budget;
    let latest = rescue(connection, max_jobs, look.latest());
    let left = max_jobs - latest.total();
    if left == 0 {
        return latest;
    }
    look.found_latest();
    let older = match Rows::to_read(&LIVE_JOB) {
        Some(rows) => rescue_older(connection, &rows, look, left, until),
        None => None,
    };
    latest.and(&older.unwrap_or_else(|| rescue(connection, left, look.older())))
}

/// Goes on where the last one has stopped; `None` where it takes a statement.
fn rescue_older(connection: &Connection, rows: &Rows, look: &Look, max_jobs: i32, until: Instant) -> Option<Rescued> {
    let (mut range, mut rescued) = (look.older(), Rescued::default());
    while rescued.total() < max_jobs {
        match old_leases::walk(rows, range, xact::clock(), until)? {
            Met::Expired(at) => {
                let met = Range { from: at, before: at + 1 };
                rescued = rescued.and(&rescue(connection, max_jobs - rescued.total(), met));
                range.from = at + 1;
            }
            Met::Late(at) => {
                look.looked_to(Some(at));
                return Some(rescued);
            }
            Met::End => {
                look.looked_to(None);
                return Some(rescued);
            }
        }
    }
    Some(rescued)
}

/// How many jobs became what.
#[derive(Default)]
struct Rescued {
    pending: i32,
    failed: i32,
    cancelled: i32,
}

impl Rescued {
    /// All of them.
    fn total(&self) -> i32 {
        self.pending + self.failed + self.cancelled
    }

    /// These and others.
    fn and(&self, others: &Rescued) -> Rescued {
        Rescued {
            pending: self.pending + others.pending,
            failed: self.failed + others.failed,
            cancelled: self.cancelled + others.cancelled,
        }
    }

    /// For a reply.
    fn told(&self) -> Reply {
        Reply::success().field("rescued", self.pending).field("failed", self.failed).field("cancelled", self.cancelled)
    }
}

/// Takes back leases that have expired, of those whose rows have them expire in that time.
fn rescue(connection: &Connection, max_jobs: i32, range: Range) -> Rescued {
    let now = xact::clock();
    leases::asked(now);
    let [now, from, before] = [now, range.from, range.before].map(Timestamptz::at);
    let rows = connection.run(&FIND, &[&now, &max_jobs, &from, &before]);
    let (last, others): (Vec<_>, Vec<_>) =
        rows.iter().filter_map(|row| Some((row.bigint(1)?, row.boolean(2)))).partition(|(_, is_last)| *is_last);
    let ending = Ending { result: None, error: Some(Text::from_utf8(USED_UP)) };
    let end = |(id, _): &(i64, bool)| End { job_id: *id, lease_token: None, ending, when: When::NoAttemptLeft };
    let rule = Rule { to: Status::Failed, from: &[Status::Running], forced: true };
    // With none to end, nothing of the finished jobs' tables is asked for, which somebody may have locked.
    let ends: Vec<End> = last.iter().map(end).collect();
    let ended = if ends.is_empty() { Vec::new() } else { finish::finish(&ends, &rule) };
    let back = |(id, _): &(i64, bool)| Return {
        job_id: *id,
        lease_token: None,
        error: Some(Text::from_utf8(EXPIRED)),
        pause: Some(0.0),
        run_at: None,
        given_back: 0,
    };
    let returns: Vec<Return> = others.iter().map(back).collect();
    let count = |status: Status| ended.iter().filter(|ended| ended.to == status).count() as i32;
    let rescued = Rescued {
        pending: settle::give_back(connection, &returns, true).len() as i32,
        failed: count(Status::Failed),
        cancelled: count(Status::Cancelled),
    };
    tally::count(Event::Rescued, u64::from(rescued.total().unsigned_abs()));
    rescued
}
