//! What happens when a job becomes ready: whoever waits for its queue is told, once this transaction has committed.

use super::live::LIVE_JOB;
use crate::guc;
use crate::pg::datum::Array;
use crate::pg::notify;
use crate::pg::spi::{self, Row, Statement};
use crate::reply::Reply;
use crate::shared::floor::Position;
use crate::shared::{floors, wakes};
use pgrx::pg_sys;

/// The channel of the notifications; the payload is the queue's name.
const CHANNEL: &str = "foreman_jobs";

/// Jobs of one queue and priority, in these places of the ready index.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub queue_id: i32,
    pub priority: i32,
    pub from: Position,
    pub to: Position,
}

impl Ready {
    /// One job.
    pub fn one(queue_id: i32, priority: i32, ready_at: i64, job_id: i64) -> Self {
        let place = Position { at: ready_at, id: job_id };
        Ready { queue_id, priority, from: place, to: place }
    }

    /// Jobs whose ids are not known.
    pub fn some(queue_id: i32, priority: i32, ready_at: i64) -> Self {
        let [from, to] = [i64::MIN, i64::MAX].map(|id| Position { at: ready_at, id });
        Ready { queue_id, priority, from, to }
    }
}

/// Tells of jobs that are ready. `notify` is the queue's name where its policy asks for a NOTIFY, of which the server
/// sends one a transaction and queue, however often it is asked; the background worker, where it looks after this database,
/// sends it instead, for many transactions together.
pub fn announce(ready: Ready, notify: Option<&String>) {
    let Ready { queue_id, priority, from, to } = ready;
    floors::made_ready(LIVE_JOB.oid(), queue_id, priority, from, to);
    wakes::job_made_ready(queue_id);
    if let Some(name) = notify {
        let later = guc::max_workers() > 0 && wakes::notify_later(queue_id);
        if !later {
            notify::send(CHANNEL, name);
        }
    }
}

// A policy may have changed meanwhile.
static TO_NOTIFY: Statement = Statement::new(
    c"SELECT q.name FROM foreman.queue AS q
      WHERE q.notify AND ($1 IS NULL OR q.id OPERATOR(pg_catalog.=) ANY ($1))",
    &[pg_sys::INT4ARRAYOID],
);

/// Sends a NOTIFY for each of these queues whose policy wants one; `None` is all queues.
pub fn notify(queues: Option<&[i32]>) -> Reply {
    let ids = queues.map(|ids| Array::of(ids.iter().copied().map(Some)));
    spi::connect(|connection| {
        let names: Vec<String> = connection.run(&TO_NOTIFY, &[&ids]).iter().filter_map(|row| row.text(1)).collect();
        names.iter().for_each(|name| notify::send(CHANNEL, name));
        Reply::success().field("notified", names.len() as i64)
    })
}

/// The same for a statement's row: the queue's id in a column, in the next ones the priority as an integer, ready_at, the
/// job's id, and what to notify.
pub fn announce_row(row: &Row, column: i32) {
    let number = |offset| row.integer(column + offset);
    let place = row.bigint(column + 2).zip(row.bigint(column + 3));
    if let (Some(queue_id), Some(priority), Some((ready_at, job_id))) = (number(0), number(1), place) {
        announce(Ready::one(queue_id, priority, ready_at, job_id), row.text(column + 4).as_ref());
    }
}
