//! Facts of the present transaction and session, read and never changed; and its end.

use super::process;
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

/// Raises, as a statement would, where it may not.
pub fn raise_unless_it_may_write() {
    // SAFETY: takes a C string, for the message.
    unsafe { pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr()) };
}

/// Raises, as a statement would, where something has changed that this transaction's snapshot shows as it was.
pub fn raise_changed_since_snapshot() -> ! {
    pgrx::ereport!(
        ERROR,
        pgrx::PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent update"
    );
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
    blockers.is_some_and(|pids| pids.contains(&Some(process::own_pid())))
}

/// Microseconds since 2000-01-01 UTC, as `clock_timestamp()` has them.
pub fn clock() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// So many seconds after a moment.
pub fn after(moment: i64, seconds: f64) -> i64 {
    moment.saturating_add((seconds * 1_000_000.0) as i64)
}

/// How many transactions ago one began, as SQL's `age` has it.
pub fn age(id: u32) -> i32 {
    if id < pg_sys::FirstNormalTransactionId.into_inner() {
        return i32::MAX;
    }
    // SAFETY: reads this backend's transaction state, or a number in shared memory.
    let now = unsafe { pg_sys::GetStableLatestTransactionId() };
    now.into_inner().wrapping_sub(id) as i32
}

/// How many multixacts ago one was made, as SQL's `mxid_age` has it.
pub fn multixact_age(id: u32) -> i32 {
    if id == 0 {
        return i32::MAX;
    }
    // SAFETY: reads a number in shared memory.
    let next = unsafe { pg_sys::ReadNextMultiXactId() };
    next.into_inner().wrapping_sub(id) as i32
}

/// The number of this transaction, in which the epoch counts; 0 if it has none.
pub fn own_id() -> u64 {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::GetTopFullTransactionIdIfAny().value }
}

/// The number of a transaction or subtransaction that is running or was a short while ago, in which the epoch counts.
pub fn full_id(id: pg_sys::TransactionId) -> u64 {
    let id = u64::from(id.into_inner());
    let next = next_id();
    let full = (next & !u64::from(u32::MAX)) | id;
    // It has begun before the next one: in the epoch before where its number is the greater.
    if full < next { full } else { full.saturating_sub(1 << 32) }
}

/// The number that the next transaction gets.
fn next_id() -> u64 {
    // SAFETY: reads a number in shared memory.
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// Whether a transaction, a prepared one among them, has not ended yet.
pub fn is_running(full_id: u64) -> bool {
    // So long ago that its number means another by now.
    if next_id().saturating_sub(full_id) > 1 << 31 {
        return false;
    }
    // SAFETY: reads what the server knows of running transactions.
    unsafe { pg_sys::TransactionIdIsInProgress(pg_sys::TransactionId::from(full_id as u32)) }
}

/// How a transaction has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everybody sees what it did.
    Committed,
    /// It is left to COMMIT PREPARED, which may come in any session.
    Prepared,
    Aborted,
}

/// What is called at the end of each transaction.
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// Before a commit, which it may still affect.
    pub before_commit: fn(),
    /// Before PREPARE TRANSACTION.
    pub before_prepare: fn(),
    /// Afterwards. It must not raise.
    pub ended: fn(End),
}

/// See `at_end`.
static AT_END: OnceLock<Callbacks> = OnceLock::new();

/// Has these, the same each time, called at the end of each transaction of this session.
pub fn at_end(callbacks: Callbacks) {
    AT_END.get_or_init(|| {
        // SAFETY: registers a function of this library, which the server never unloads.
        unsafe { pg_sys::RegisterXactCallback(Some(ended), std::ptr::null_mut()) };
        callbacks
    });
}

/// Called by the server at several moments of a transaction's end.
#[pg_guard]
unsafe extern "C-unwind" fn ended(event: pg_sys::XactEvent::Type, _argument: *mut core::ffi::c_void) {
    let Some(callbacks) = AT_END.get() else { return };
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT => (callbacks.before_commit)(),
        pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE => (callbacks.before_prepare)(),
        pg_sys::XactEvent::XACT_EVENT_COMMIT => (callbacks.ended)(End::Committed),
        pg_sys::XactEvent::XACT_EVENT_PREPARE => (callbacks.ended)(End::Prepared),
        pg_sys::XactEvent::XACT_EVENT_ABORT => (callbacks.ended)(End::Aborted),
        _ => {}
    }
}
