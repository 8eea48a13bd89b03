//! Whether a commit waits until the write-ahead log is on disk.

use pgrx::pg_sys;
use std::cell::Cell;

thread_local! {
    /// The session's synchronous_commit while a commit goes without; `None` at all other times.
    static BEFORE: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Where the last log record ends that this transaction has written; 0 if it has written none.
pub fn last_record() -> u64 {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::XactLastRecEnd }
}

/// Has the commit that is about to happen not wait. To be called before it, and `restore` when the transaction has ended.
pub fn skip() {
    // SAFETY: a setting of this backend's, of this range, which its own commit reads; nothing runs before `restore` that
    // could show it to anybody. Assigned, not set by name: that would allocate and could raise.
    unsafe {
        BEFORE.set(Some(pg_sys::synchronous_commit));
        pg_sys::synchronous_commit = pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32;
    }
}

/// Has the session's commits wait again as it has set.
pub fn restore() {
    if let Some(before) = BEFORE.take() {
        // SAFETY: as for `skip`.
        unsafe { pg_sys::synchronous_commit = before };
    }
}
