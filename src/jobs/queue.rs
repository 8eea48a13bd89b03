//! Queues: made on first use, known by id inside.

use crate::error::Error;
use crate::pg::datum::Text;
use crate::pg::invalidation;
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::table::{self, Table};
use crate::shared::wakes;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;

static FIND: Statement = Statement::by_index(
    c"SELECT q.id, q.max_attempts, q.default_priority, q.notify, q.paused_at IS NOT NULL, q.lease_seconds
      FROM foreman.queue AS q WHERE q.name OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static MAKE: Statement = Statement::new(
    c"INSERT INTO foreman.queue (name) VALUES ($1) ON CONFLICT ON CONSTRAINT queue_name_is_unique DO NOTHING",
    &[pg_sys::TEXTOID],
);

/// The columns as sql/20_jobs.sql has them.
pub static QUEUE: Table = Table::new(
    c"queue",
    &[
        (c"id", pg_sys::INT4OID),
        (c"name", pg_sys::TEXTOID),
        (c"max_attempts", pg_sys::INT4OID),
        (c"max_run_seconds", pg_sys::FLOAT8OID),
        (c"created_at", pg_sys::TIMESTAMPTZOID),
        (c"default_priority", pg_sys::INT4OID),
        (c"lease_seconds", pg_sys::FLOAT8OID),
        (c"backoff", pg_sys::TEXTOID),
        (c"backoff_base_seconds", pg_sys::FLOAT8OID),
        (c"backoff_factor", pg_sys::FLOAT8OID),
        (c"backoff_cap_seconds", pg_sys::FLOAT8OID),
        (c"backoff_jitter", pg_sys::FLOAT8OID),
        (c"completed_retention_seconds", pg_sys::FLOAT8OID),
        (c"failed_retention_seconds", pg_sys::FLOAT8OID),
        (c"notify", pg_sys::BOOLOID),
        (c"paused_at", pg_sys::TIMESTAMPTZOID),
        (c"ready_target_seconds", pg_sys::FLOAT8OID),
    ],
);

/// What creating and claiming need to know of a queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queue {
    pub id: i32,
    pub max_attempts: i32,
    pub default_priority: i32,
    pub notify: bool,
    pub paused: bool,
    pub lease_seconds: f64,
}

/// The queue of this name, if there is one.
pub fn find(connection: &Connection, name: &str) -> Option<Queue> {
    let rows = connection.run(&FIND, &[&name]);
    let row = rows.first()?;
    Some(Queue {
        id: row.integer(1)?,
        max_attempts: row.integer(2)?,
        default_priority: row.integer(3)?,
        notify: row.boolean(4),
        paused: row.boolean(5),
        lease_seconds: row.double(6)?,
    })
}

/// The queue of this name as it is now, if there is one.
pub fn known(name: &str) -> Option<Queue> {
    seen(name).or_else(|| spi::connect(|connection| find(connection, name)))
}

/// A queue that has to be there.
pub fn existing(connection: &Connection, name: &str) -> Result<Queue, Error> {
    find(connection, name).ok_or_else(|| Error::NotFound { kind: "queue", name: name.to_owned() })
}

/// The queues that this session has met, as they were when `invalidation::count` was this: looking one up takes an
/// eighth of `create_job`. A trigger on the table tells all sessions when a queue is changed or deleted.
#[derive(Default)]
struct Remembered {
    as_of: u64,
    queues: HashMap<String, Queue>,
}

/// Most queues that a session remembers; with more it begins anew.
const MAX_REMEMBERED: usize = 1000;

thread_local! {
    static REMEMBERED: RefCell<Remembered> = RefCell::new(Remembered::default());
}

impl Remembered {
    /// Forgets everything that is of another time.
    fn as_of(&mut self, count: u64) -> &mut Self {
        if self.as_of != count || self.queues.len() >= MAX_REMEMBERED {
            self.as_of = count;
            self.queues.clear();
        }
        self
    }
}

/// A queue as it is now, without a statement.
pub fn seen(name: &str) -> Option<Queue> {
    let count = invalidation::count();
    let remembered = REMEMBERED.with_borrow_mut(|all| all.as_of(count).queues.get(name).copied());
    if remembered.is_some() {
        return remembered;
    }
    let row = table::find(&QUEUE, c"queue_name_is_unique", 2, Text::from_utf8(name))?;
    let number = |place: usize| row.columns[place].map(|datum| datum.value() as i32);
    let queue = Queue {
        id: number(0)?,
        max_attempts: number(2)?,
        default_priority: number(5)?,
        notify: number(14)? != 0,
        paused: row.columns[15].is_some(),
        lease_seconds: row.columns[6].map(|datum| f64::from_bits(datum.value() as u64))?,
    };
    // What this transaction made or changed is gone if it is undone, and of that nobody is told.
    if row.is_settled {
        REMEMBERED.with_borrow_mut(|all| all.as_of(count).queues.insert(name.to_owned(), queue));
    }
    Some(queue)
}

/// A queue, made if need be.
pub fn ensure(connection: &Connection, name: &str) -> Result<Queue, Error> {
    if let Some(queue) = seen(name).or_else(|| find(connection, name)) {
        return Ok(queue);
    }
    connection.run(&MAKE, &[&name]);
    wakes::queue_made();
    existing(connection, name)
}
