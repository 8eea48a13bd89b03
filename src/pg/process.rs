//! This server process and the others: who it is, waking one, and what to do when this one ends.

use super::compat;
use pgrx::{pg_guard, pg_sys};
use std::sync::OnceLock;

/// This process's place among the server's.
pub fn own_number() -> i32 {
    compat::own_proc_number()
}

/// This process's id.
pub fn own_pid() -> i32 {
    // SAFETY: set when the process began, and never changed.
    unsafe { pg_sys::MyProcPid }
}

/// The oid of the database that this process is connected to.
pub fn database() -> u32 {
    // SAFETY: set when the process connected, and never changed.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// Whether VACUUM takes no notice of a process's snapshot: that of another VACUUM, or of one that decodes for a slot, which
/// has a mark of its own. `false` where there is no such process.
pub fn is_passed_over_by_vacuum(pid: i32) -> bool {
    // SAFETY: NULL or the place of a process in shared memory, which is there from the server's start to its end; one byte of
    // it is read, which its process may be changing.
    let flags = unsafe { pg_sys::BackendPidGetProc(pid).as_ref() }.map_or(0, |process| process.statusFlags);
    u32::from(flags) & (pg_sys::PROC_IN_VACUUM | pg_sys::PROC_IN_LOGICAL_DECODING) != 0
}

/// Sets the latch of the process at a place: one that has come there since is woken for nothing.
pub fn wake(number: i32) {
    // SAFETY: the place was another process's `own_number`; the server has as many latches from its start to its end.
    unsafe { pg_sys::ProcSendSignal(number) };
}

/// Ends this process, as the server does, if its client has closed the connection: a process that only sleeps does not
/// notice.
pub fn end_without_client() {
    // SAFETY: asks the socket without reading from it; the flags are those that the server's own check sets. A background
    // process of somebody else's, such as pg_cron's, has no client and nothing that could be asked.
    unsafe {
        if !pg_sys::MyProcPort.is_null() && !pg_sys::ffi::pg_guard_ffi_boundary(|| compat::bare::pq_check_connection())
        {
            pg_sys::ClientConnectionLost = 1;
            pg_sys::InterruptPending = 1;
        }
    }
    pgrx::check_for_interrupts!();
}

/// Called when this process ends, however that comes about, short of a kill.
static AT_EXIT: OnceLock<fn()> = OnceLock::new();

/// Has `callback`, the same function each time, called when this process ends.
pub fn at_exit(callback: fn()) {
    AT_EXIT.get_or_init(|| {
        // SAFETY: registers a function of this library, which the server never unloads.
        unsafe { pg_sys::before_shmem_exit(Some(ending), 0.into()) };
        callback
    });
}

/// Called by the server.
#[pg_guard]
unsafe extern "C-unwind" fn ending(_code: core::ffi::c_int, _argument: pg_sys::Datum) {
    if let Some(callback) = AT_EXIT.get() {
        callback();
    }
}
