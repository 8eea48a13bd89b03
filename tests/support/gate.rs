//! A gate: an advisory lock that sessions are stopped at, so that a test says in which order things happen.

use crate::session::Session;
use crate::wait::wait_until;

/// Advisory locks belong to a database, and a test has one of its own: one key is enough.
const KEY: i64 = 42;

pub struct Gate {
    keeper: Session,
}

impl Gate {
    /// Passes the gate, or waits before it while it is closed. To be put into the SQL of the sessions to be stopped;
    /// undone by a rollback to a savepoint, so that a retry finds no trace of it.
    pub fn passage() -> String {
        format!("pg_advisory_xact_lock_shared({KEY})")
    }

    /// Open at first.
    pub(crate) fn new(keeper: Session) -> Self {
        Self { keeper }
    }

    #[track_caller]
    pub fn close(&mut self) {
        self.keeper.run(&format!("SELECT pg_advisory_lock({KEY})"));
    }

    /// Opens the gate once `sessions` of them stand before it.
    #[track_caller]
    pub fn open_for(&mut self, sessions: usize) {
        let standing = format!(
            "SELECT count(*) FROM pg_locks
              WHERE locktype = 'advisory' AND objid = {KEY} AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        wait_until(&format!("{sessions} sessions before the gate"), || {
            self.keeper.one::<i64>(&standing, &[]) >= sessions as i64
        });
        self.keeper.run(&format!("SELECT pg_advisory_unlock({KEY})"));
    }
}
