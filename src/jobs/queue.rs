//! Queues: made on first use, known by id inside.

use crate::error::Error;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

static FIND: Statement = Statement::new(
    c"SELECT q.id, q.max_attempts FROM foreman.queue AS q WHERE q.name OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static MAKE: Statement = Statement::new(
    c"INSERT INTO foreman.queue (name) VALUES ($1) ON CONFLICT ON CONSTRAINT queue_name_is_unique DO NOTHING",
    &[pg_sys::TEXTOID],
);

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

/// A queue, made if need be.
pub fn ensure(connection: &Connection, name: &str) -> Result<Queue, Error> {
    if let Some(queue) = find(connection, name) {
        return Ok(queue);
    }
    connection.run(&MAKE, &[&name]);
    existing(connection, name)
}
