//! Facts of the present transaction and session, read and never changed; and its end.

use pgrx::{pg_guard, pg_sys};
use std::sync::OnceLock;

/// Whether the caller has a transaction block open, so that what we do is not yet durable when we answer.
pub fn in_transaction_block() -> bool {
    // Inside a subtransaction, such as a PL's exception block, the server says yes in any case. There a transaction
    // that began before its present statement is taken for one that the client has opened; in the extended protocol
    // it may be the statement's own, begun when that was parsed.
    // SAFETY: reads this backend's transaction state.
    unsafe {
        if pg_sys::GetCurrentTransactionNestLevel() > 1 {
            pg_sys::GetCurrentTransactionStartTimestamp() != pg_sys::GetCurrentStatementStartTimestamp()
        } else {
            pg_sys::IsTransactionBlock()
        }
    }
}

/// Whether this session may not start subtransactions because a parallel query is under way.
pub fn in_parallel_mode() -> bool {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::IsInParallelMode() }
}

/// Whether the server is a standby, or still recovering.
pub fn in_recovery() -> bool {
    // SAFETY: reads a flag in shared memory.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether this transaction may write at all.
pub fn may_write() -> bool {
    // SAFETY: reads this backend's transaction state.
    unsafe { !pg_sys::XactReadOnly && !pg_sys::RecoveryInProgress() }
}

/// Whether each statement of the transaction sees what others have committed before it.
pub fn is_read_committed() -> bool {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Whether the transaction is SERIALIZABLE, where a serialization failure dooms it whatever we roll back.
pub fn is_serializable() -> bool {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::XactIsoLevel == pg_sys::XACT_SERIALIZABLE as i32 }
}

/// Whether session `pid` waits for a lock that this session holds.
pub fn waits_for_us(pid: i32) -> bool {
    // SAFETY: takes an int4 and returns an int4[], both never NULL; it reads the lock table, and answers
    // an empty array for a pid that is no backend's.
    let blockers: Option<Vec<Option<i32>>> =
        unsafe { pgrx::direct_function_call(pg_sys::pg_blocking_pids, &[Some(pg_sys::Datum::from(pid))]) };
    // SAFETY: reads this process's own id.
    let me = unsafe { pg_sys::MyProcPid };
    blockers.is_some_and(|pids| pids.contains(&Some(me)))
}

/// Microseconds since 2000-01-01 UTC, as `clock_timestamp()` has them.
pub fn clock() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// Called when a transaction has ended; true where it has committed, and everybody sees what it did.
static AT_END: OnceLock<fn(bool)> = OnceLock::new();

/// Has `callback`, the same function each time, called at the end of each transaction of this session. It must not
/// raise. A prepared transaction ends as one that has not committed: its COMMIT may come in any session.
pub fn at_end(callback: fn(bool)) {
    AT_END.get_or_init(|| {
        // SAFETY: registers a function of this library, which the server never unloads.
        unsafe { pg_sys::RegisterXactCallback(Some(ended), std::ptr::null_mut()) };
        callback
    });
}

/// Called by the server at several moments of a transaction's end.
#[pg_guard]
unsafe extern "C-unwind" fn ended(event: pg_sys::XactEvent::Type, _argument: *mut core::ffi::c_void) {
    let committed = match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT => true,
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => false,
        _ => return,
    };
    if let Some(callback) = AT_END.get() {
        callback(committed);
    }
}
