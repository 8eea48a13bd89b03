//! Unique keys: one job of a queue holds a key, from when it is created or revived until it has ended.
//!
//! Each holder has an entry of its own in `foreman.job_key`, and `taken_at` of a later one is later. A key is taken under a
//! brief lock, and only when all its entries have ended; so if the last of those that were ever there has ended, all have,
//! and it takes one look to see that, however many there are (docs/adr/0007). Whether an entry is there is read from the
//! row itself, never from a snapshot, and so holds at every isolation level.

use super::status::Status;
use crate::pg::brief_lock::{self, BriefLock};
use crate::pg::datum::{Text, Timestamptz};
use crate::pg::rows;
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::table::{self, Table};
use crate::pg::versions::{Equal, Fate, Versions};
use crate::pg::xact;
use pgrx::pg_sys;
use std::ffi::CStr;

/// The columns as sql/20_jobs.sql has them.
static JOB_KEY: Table = Table::new(
    c"job_key",
    &[
        (c"queue_id", pg_sys::INT4OID),
        (c"key", pg_sys::TEXTOID),
        (c"job_id", pg_sys::INT8OID),
        (c"taken_at", pg_sys::TIMESTAMPTZOID),
    ],
);

/// The places of those that matter here.
const JOB_ID: usize = 2;
/// As above.
const TAKEN_AT: usize = 3;

/// The index that leads to the entries of a key, and its columns.
const INDEX: (&CStr, &[usize]) = (c"job_key_is_held_once_at_a_time", &[0, 1, TAKEN_AT]);

// What `take` does where the table has triggers or is otherwise out of the ordinary.
static TAKE: Statement = Statement::new(
    c"INSERT INTO foreman.job_key (queue_id, key, job_id, taken_at) VALUES ($1, $2, $3, $4) RETURNING job_id",
    &[pg_sys::INT4OID, pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID],
);

static FREE: Statement = Statement::by_index(
    c"DELETE FROM foreman.job_key AS k
      WHERE k.queue_id OPERATOR(pg_catalog.=) $1 AND k.key OPERATOR(pg_catalog.=) $2
        AND k.taken_at OPERATOR(pg_catalog.=) $3",
    &[pg_sys::INT4OID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
);

// No join, whose sides the planner may put in an order that reads all of the one.
static STATUS: Statement = Statement::by_index(
    c"SELECT (SELECT j.status::text FROM foreman.live_job AS j WHERE j.id OPERATOR(pg_catalog.=) $4)
      FROM foreman.job_key AS k
      WHERE k.queue_id OPERATOR(pg_catalog.=) $1 AND k.key OPERATOR(pg_catalog.=) $2
        AND k.taken_at OPERATOR(pg_catalog.=) $3 AND k.job_id OPERATOR(pg_catalog.=) $4",
    &[pg_sys::INT4OID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID],
);

/// That a job holds a key, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub job_id: i64,
    pub taken_at: i64,
}

/// What is known of a key under its lock.
enum Seen {
    Held(Hold),
    /// All entries have ended; the last one has this time.
    Free(Option<i64>),
    /// A transaction that has not ended takes it or frees it.
    Undecided(pg_sys::TransactionId),
}

/// Takes a key for a job, a new one if no id is given; where it is taken, says who holds it. Waits for a session that is
/// about to take or free it.
pub fn take(queue_id: i32, key: &str, job_id: Option<i64>) -> Result<Hold, Hold> {
    xact::raise_unless_it_may_write();
    let key = Text::from_utf8(key);
    loop {
        let lock = BriefLock::on(brief_lock::number_of(key.bytes(), queue_id as u32));
        match look(queue_id, key) {
            Seen::Held(hold) => return Err(hold),
            Seen::Free(last) => {
                let taken_at = last.map_or(i64::MIN, |last| last.saturating_add(1)).max(xact::clock());
                let hold = Hold { job_id: job_id.unwrap_or_else(|| table::next_value(c"job_id_seq")), taken_at };
                if enter(queue_id, key, hold) {
                    return Ok(hold);
                }
            }
            Seen::Undecided(transaction) => {
                drop(lock);
                brief_lock::wait_for(transaction);
            }
        }
    }
}

/// Looks at a key's entries, from the last one back to the last that ever was there.
fn look(queue_id: i32, key: Text) -> Seen {
    let mut versions =
        entries(&[Equal::Integer(queue_id), Equal::Text(key)]).unwrap_or_else(|| JOB_KEY.raise_not_as_known());
    let (mut last, mut ended) = (None, None);
    while let Some(fate) = versions.next() {
        let hold = Hold { job_id: versions.bigint(JOB_ID), taken_at: versions.bigint(TAKEN_AT) };
        // Those of one time have no order: rows that were removed and put back by hand.
        if ended.is_some_and(|ended| hold.taken_at < ended) {
            break;
        }
        last.get_or_insert(hold.taken_at);
        match fate {
            Fate::There if xact::is_read_committed() || versions.is_seen() => return Seen::Held(hold),
            Fate::There => xact::raise_changed_since_snapshot(),
            Fate::Undecided(transaction) => return Seen::Undecided(transaction),
            Fate::Removed => ended = Some(hold.taken_at),
            Fate::Replaced | Fate::RolledBack => {}
        }
    }
    Seen::Free(last)
}

/// A walk over entries, the last one first; `None` where the table is not as we know it.
fn entries(values: &[Equal]) -> Option<Versions> {
    let (index, columns) = INDEX;
    Versions::walk(&JOB_KEY, index, columns, values)
}

/// Puts an entry into the table; false where somebody's trigger would not have it.
fn enter(queue_id: i32, key: Text, hold: Hold) -> bool {
    let taken_at = Timestamptz::at(hold.taken_at);
    rows::insert(&JOB_KEY, &[queue_id.into(), key.into(), hold.job_id.into(), taken_at.into()])
        || spi::connect(|connection| {
            connection.run(&TAKE, &[&queue_id, &key, &hold.job_id, &taken_at]).first().is_some()
        })
}

/// Frees the key that was taken at this time.
pub fn free(queue_id: i32, key: Text, taken_at: i64) {
    let values = [Equal::Integer(queue_id), Equal::Text(key), Equal::Timestamptz(taken_at)];
    let Some(mut versions) = entries(&values).filter(|versions| versions.may_remove(&JOB_KEY)) else {
        spi::connect(|connection| connection.run(&FREE, &[&queue_id, &key, &Timestamptz::at(taken_at)]));
        return;
    };
    while let Some(fate) = versions.next() {
        if fate == Fate::There {
            return versions.remove();
        }
    }
}

/// The same for a statement's row about a job that has ended: its queue's id, its key, if it has one, and that time in
/// three columns, of which this is the first.
pub fn free_of(row: &Row, column: i32) {
    if let (Some(queue_id), Some(key), Some(taken_at)) =
        (row.integer(column), row.text(column + 1), row.bigint(column + 2))
    {
        free(queue_id, Text::from_utf8(&key), taken_at);
    }
}

/// The state of the job that holds a key, if there is such a job; `None` where it no longer holds it.
pub fn status_of(connection: &Connection, queue_id: i32, key: &str, hold: Hold) -> Option<Option<Status>> {
    let rows = connection.run(&STATUS, &[&queue_id, &key, &Timestamptz::at(hold.taken_at), &hold.job_id]);
    rows.first().map(|row| row.text(1).and_then(|name| Status::of_name(&name)))
}
