//! The server's picture of its sessions and counters.

use pgrx::pg_sys;

/// Dead rows of a table, as the server counts them.
pub fn dead_rows(table: u32) -> i64 {
    // SAFETY: takes an oid and answers a bigint, never NULL, whatever table that is of.
    let rows: Option<i64> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_stat_get_dead_tuples, &[Some(pg_sys::Datum::from(table))]) };
    rows.unwrap_or_default()
}

/// The others, in the same way.
pub fn live_rows(table: u32) -> i64 {
    // SAFETY: as above.
    let rows: Option<i64> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_stat_get_live_tuples, &[Some(pg_sys::Datum::from(table))]) };
    rows.unwrap_or_default()
}

/// Forgets the copy of `pg_stat_activity` and the counters that this transaction holds, so that the next look is a
/// fresh one, for the caller's own looks too.
pub fn look_anew() {
    // SAFETY: frees memory of this backend's own that is filled again on the next look.
    unsafe { pg_sys::pgstat_clear_snapshot() };
}
