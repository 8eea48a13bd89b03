//! Query ids, by which the server's own statistics know a statement: there where `compute_query_id` is on, or
//! `pg_stat_statements` is loaded, and 0 elsewhere.

use pgrx::pg_sys;
use std::cell::Cell;

thread_local! {
    /// That of the statement which `foreman.execute` runs.
    static CALLERS: Cell<i64> = const { Cell::new(0) };
}

/// That of the statement which the client sent.
pub fn of_session() -> i64 {
    // SAFETY: reads this backend's own entry. 18 made a signed number of it.
    i64::from_ne_bytes(unsafe { pg_sys::pgstat_get_my_query_id() }.to_ne_bytes())
}

/// That of the statement which `foreman.execute` has parsed last, in the call that is under way.
pub fn of_callers_statement() -> i64 {
    CALLERS.get()
}

/// Puts another in its place, and gives back what was there.
pub fn set_callers_statement(id: i64) -> i64 {
    CALLERS.replace(id)
}
