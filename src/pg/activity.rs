//! The server's picture of its sessions and counters.

use pgrx::pg_sys;

/// Forgets the copy of `pg_stat_activity` and the counters that this transaction holds, so that the next look is a
/// fresh one, for the caller's own looks too.
pub fn look_anew() {
    // SAFETY: frees memory of this backend's own that is filled again on the next look.
    unsafe { pg_sys::pgstat_clear_snapshot() };
}
