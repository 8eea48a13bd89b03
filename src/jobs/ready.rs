//! What happens when a job becomes ready: whoever waits for its queue is told, once this transaction has committed.

use crate::guc;
use crate::pg::datum::Array;
use crate::pg::notify;
use crate::pg::spi::{self, Row, Statement};
use crate::reply::Reply;
use crate::shared::wakes;
use pgrx::pg_sys;

/// The channel of the notifications; the payload is the queue's name.
const CHANNEL: &str = "foreman_jobs";

/// Tells of a job in this queue. `notify` is the queue's name where its policy asks for a NOTIFY, of which the server
/// sends one a transaction and queue, however often it is asked; the background worker, where it looks after this database,
/// sends it instead, for many transactions together.
pub fn announce(queue_id: i32, notify: Option<&String>) {
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

/// The same for a statement's row: the queue's id in a column, and what to notify in the next.
pub fn announce_row(row: &Row, column: i32) {
    if let Some(queue_id) = row.integer(column) {
        announce(queue_id, row.text(column + 1).as_ref());
    }
}
