//! What happens when a job becomes ready: whoever waits for its queue is told, once this transaction has committed.

use crate::pg::notify;
use crate::pg::spi::Row;
use crate::shared::wakes;

/// The channel of the notifications; the payload is the queue's name.
const CHANNEL: &str = "foreman_jobs";

/// Tells of a job in this queue. `notify` is the queue's name where its policy asks for a NOTIFY, of which the server
/// sends one a transaction and queue, however often it is asked.
pub fn announce(queue_id: i32, notify: Option<&String>) {
    wakes::job_made_ready(queue_id);
    if let Some(name) = notify {
        notify::send(CHANNEL, name);
    }
}

/// The same for a statement's row: the queue's id in a column, and what to notify in the next.
pub fn announce_row(row: &Row, column: i32) {
    if let Some(queue_id) = row.integer(column) {
        announce(queue_id, row.text(column + 1).as_ref());
    }
}
