//! Queues: made on first use, known by id inside.

use crate::error::Error;
use crate::pg::datum::Text;
use crate::pg::spi::{Connection, Statement};
use crate::pg::table::{self, Table};
use pgrx::pg_sys;

static FIND: Statement = Statement::new(
    c"SELECT q.id, q.max_attempts FROM foreman.queue AS q WHERE q.name OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static MAKE: Statement = Statement::new(
    c"INSERT INTO foreman.queue (name) VALUES ($1) ON CONFLICT ON CONSTRAINT queue_name_is_unique DO NOTHING",
    &[pg_sys::TEXTOID],
);

/// The columns as sql/20_jobs.sql has them.
pub static QUEUE: Table = Table {
    name: c"queue",
    columns: &[
        (c"id", pg_sys::INT4OID),
        (c"name", pg_sys::TEXTOID),
        (c"max_attempts", pg_sys::INT4OID),
        (c"max_run_seconds", pg_sys::FLOAT8OID),
        (c"created_at", pg_sys::TIMESTAMPTZOID),
    ],
};

/// What creating a job needs to know of its queue.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    pub id: i32,
    pub max_attempts: i32,
}

/// The queue of this name, if there is one.
pub fn find(connection: &Connection, name: &str) -> Option<Queue> {
    let rows = connection.run(&FIND, &[&name]);
    let row = rows.first()?;
    Some(Queue { id: row.integer(1)?, max_attempts: row.integer(2)? })
}

/// A queue that has to be there.
pub fn existing(connection: &Connection, name: &str) -> Result<Queue, Error> {
    find(connection, name).ok_or_else(|| Error::NotFound { kind: "queue", name: name.to_owned() })
}

/// A queue that the caller's snapshot sees, without a statement.
fn seen(name: &str) -> Option<Queue> {
    let row = table::find(&QUEUE, c"queue_name_is_unique", 2, Text::from_utf8(name))?;
    let number = |place: usize| row[place].map(|datum| datum.value() as i32);
    Some(Queue { id: number(0)?, max_attempts: number(2)? })
}

/// A queue, made if need be.
pub fn ensure(connection: &Connection, name: &str) -> Result<Queue, Error> {
    if let Some(queue) = seen(name).or_else(|| find(connection, name)) {
        return Ok(queue);
    }
    connection.run(&MAKE, &[&name]);
    existing(connection, name)
}
