//! Keeps the planner to indexes and nested loops, for statements whose tables are empty at one moment and full at the
//! next: a plan made for few rows, kept for the session, would read the whole table when they are many. And from compiling
//! them: what the planner thinks of large tables is no measure of what is done, which is over long before (explain_job took
//! 3 s beside a million jobs).

use pgrx::pg_sys;

/// The planner's switches as they were; back again when this is dropped, also while an error unwinds.
pub struct ByIndex {
    switches: [bool; 6],
}

/// From here on only indexes, nested loops and the order that the indexes give; and nothing is compiled.
pub fn by_index() -> ByIndex {
    // SAFETY: the server's own variables, read while it plans; a backend has one thread.
    unsafe {
        let switches = [
            pg_sys::enable_seqscan,
            pg_sys::enable_bitmapscan,
            pg_sys::enable_sort,
            pg_sys::enable_hashjoin,
            pg_sys::enable_mergejoin,
            pg_sys::jit_enabled,
        ];
        set([false; 6]);
        ByIndex { switches }
    }
}

/// Sets them all.
///
/// # Safety
/// On the backend's one thread.
unsafe fn set(switches: [bool; 6]) {
    // SAFETY: assignments to the server's own variables, whose settings are not looked at meanwhile.
    unsafe {
        [
            pg_sys::enable_seqscan,
            pg_sys::enable_bitmapscan,
            pg_sys::enable_sort,
            pg_sys::enable_hashjoin,
            pg_sys::enable_mergejoin,
            pg_sys::jit_enabled,
        ] = switches;
    }
}

impl Drop for ByIndex {
    fn drop(&mut self) {
        // SAFETY: as in `by_index`.
        unsafe { set(self.switches) };
    }
}
