//! Keeps the planner to indexes and nested loops, for statements whose tables are empty at one moment and full at the
//! next: a plan made for few rows, kept for the session, would read the whole table when they are many.

use pgrx::pg_sys;

/// The planner's switches as they were; back again when this is dropped, also while an error unwinds.
pub struct ByIndex {
    switches: [bool; 5],
}

/// From here on only indexes, nested loops and the order that the indexes give.
pub fn by_index() -> ByIndex {
    // SAFETY: the server's own variables, read while it plans; a backend has one thread.
    unsafe {
        let switches = [
            pg_sys::enable_seqscan,
            pg_sys::enable_bitmapscan,
            pg_sys::enable_sort,
            pg_sys::enable_hashjoin,
            pg_sys::enable_mergejoin,
        ];
        set([false; 5]);
        ByIndex { switches }
    }
}

/// Sets them all.
///
/// # Safety
/// On the backend's one thread.
unsafe fn set(switches: [bool; 5]) {
    // SAFETY: assignments to the server's own variables, whose settings are not looked at meanwhile.
    unsafe {
        [
            pg_sys::enable_seqscan,
            pg_sys::enable_bitmapscan,
            pg_sys::enable_sort,
            pg_sys::enable_hashjoin,
            pg_sys::enable_mergejoin,
        ] = switches;
    }
}

impl Drop for ByIndex {
    fn drop(&mut self) {
        // SAFETY: as in `by_index`.
        unsafe { set(self.switches) };
    }
}
