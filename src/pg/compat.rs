//! What differs between PostgreSQL 15 and 18, and the functions that pgrx's bindings leave out.

use core::ffi::c_int;
use pgrx::pg_sys;
use std::ptr;

/// The server's version, without the minor part.
pub const MAJOR_VERSION: i32 = (pg_sys::PG_VERSION_NUM / 10_000) as i32;

/// `USER_TIMEOUT` of `utils/timeout.h`: the first id that `RegisterTimeout` hands out. 17 added
/// TRANSACTION_TIMEOUT before it.
pub const USER_TIMEOUT: c_int = if cfg!(has_transaction_timeout) { 13 } else { 12 };

/// `STATEMENT_TIMEOUT` of `utils/timeout.h`, the same in 15 to 18.
pub const STATEMENT_TIMEOUT: c_int = 3;

/// The session's timers that end a statement or more, and so bound a call: ids of `utils/timeout.h`.
#[cfg(not(has_transaction_timeout))]
pub const SESSION_TIMEOUTS: &[c_int] = &[STATEMENT_TIMEOUT];
/// The session's timers that end a statement or more, and so bound a call: ids of `utils/timeout.h`.
#[cfg(has_transaction_timeout)]
pub const SESSION_TIMEOUTS: &[c_int] = &[STATEMENT_TIMEOUT, TRANSACTION_TIMEOUT];

/// `TRANSACTION_TIMEOUT` of `utils/timeout.h`, between IDLE_IN_TRANSACTION_SESSION and IDLE_SESSION.
#[cfg(has_transaction_timeout)]
const TRANSACTION_TIMEOUT: c_int = 8;

/// Begins a walk by an index.
///
/// # Safety
/// As for the server's function: both relations are open and locked, the snapshot is registered.
pub unsafe fn index_beginscan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: c_int,
) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller's.
    #[cfg(not(has_scan_instrumentation))]
    return unsafe { pg_sys::index_beginscan(table, index, snapshot, keys, 0) };
    // SAFETY: as above.
    #[cfg(has_scan_instrumentation)]
    return unsafe { pg_sys::index_beginscan(table, index, snapshot, ptr::null_mut(), keys, 0) };
}

/// Which indexes a new version has to enter: all, or from 16 on those alone that summarize.
#[cfg(not(has_summarizing_indexes))]
pub type Which = bool;
/// Which indexes a new version has to enter: all, or from 16 on those alone that summarize.
#[cfg(has_summarizing_indexes)]
pub type Which = pg_sys::TU_UpdateIndexes::Type;

/// Puts the slot's row in the place of the one at `tid`; `None` where another transaction is changing that or has done
/// so. Waits for nobody.
///
/// # Safety
/// The relation is open and locked; the row was seen by the snapshot.
pub unsafe fn tuple_update(
    table: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
) -> Option<Which> {
    // SAFETY: the caller's.
    unsafe {
        match tuple_update_if(table, tid, slot, snapshot, false) {
            (pg_sys::TM_Result::TM_Ok, which) => Some(which),
            // Locked: by this transaction itself, which an update that does not wait can't tell, or by another.
            (pg_sys::TM_Result::TM_BeingModified, _) if tuple_lock(table, tid, snapshot) => {
                match tuple_update_if(table, tid, slot, snapshot, true) {
                    (pg_sys::TM_Result::TM_Ok, which) => Some(which),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The access method's own update.
///
/// # Safety
/// As for `tuple_update`.
unsafe fn tuple_update_if(
    table: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    slot: *mut pg_sys::TupleTableSlot,
    snapshot: pg_sys::Snapshot,
    wait: bool,
) -> (pg_sys::TM_Result::Type, Which) {
    let mut failure = pg_sys::TM_FailureData::default();
    let (mut lock, mut which) = (pg_sys::LockTupleMode::LockTupleNoKeyExclusive, Which::default());
    // SAFETY: the caller's; every access method has this function. No Rust value is in the way of an error.
    let result = unsafe {
        let Some(update) = (*(*table).rd_tableam).tuple_update else { return (pg_sys::TM_Result::TM_Deleted, which) };
        let command = pg_sys::GetCurrentCommandId(true);
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            let none = ptr::null_mut();
            update(table, tid, slot, command, snapshot, none, wait, &mut failure, &mut lock, &mut which)
        })
    };
    (result, which)
}

/// Locks a row for this transaction, unless another has it locked.
///
/// # Safety
/// As for `tuple_update`.
unsafe fn tuple_lock(table: pg_sys::Relation, tid: pg_sys::ItemPointer, snapshot: pg_sys::Snapshot) -> bool {
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: as for `tuple_update`; the slot is of the table's kind, and dropped here, or with the memory context and
    // the resource owner of the subtransaction if an error unwinds.
    unsafe {
        let Some(lock) = (*(*table).rd_tableam).tuple_lock else { return false };
        let command = pg_sys::GetCurrentCommandId(true);
        let slot = pg_sys::table_slot_create(table, ptr::null_mut());
        let result = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            let (mode, policy) = (pg_sys::LockTupleMode::LockTupleNoKeyExclusive, pg_sys::LockWaitPolicy::LockWaitSkip);
            lock(table, tid, snapshot, slot, command, mode, policy, 0, &mut failure)
        });
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        result == pg_sys::TM_Result::TM_Ok
    }
}

/// Removes the row at `tid`, after waiting for whoever is changing it; false where that has changed it.
///
/// # Safety
/// As for `tuple_update`.
pub unsafe fn tuple_delete(table: pg_sys::Relation, tid: pg_sys::ItemPointer, snapshot: pg_sys::Snapshot) -> bool {
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: as for `tuple_update`.
    let result = unsafe {
        let Some(delete) = (*(*table).rd_tableam).tuple_delete else { return false };
        let command = pg_sys::GetCurrentCommandId(true);
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            delete(table, tid, command, snapshot, ptr::null_mut(), true, &mut failure, false)
        })
    };
    result == pg_sys::TM_Result::TM_Ok
}

/// Enters a new version into the indexes that it has to enter. As if it were a new row: told that it is one's new version, a
/// full page would look in the table for versions to remove, which took a sixth of a claim of many, found none beside an
/// old snapshot, and otherwise left more than lookups by id do, which mark what is dead as they come by.
///
/// # Safety
/// The slot holds the row as stored in the target's relation, whose indexes are open.
pub unsafe fn insert_index_tuples(
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
    which: Which,
) {
    let none = ptr::null_mut();
    #[cfg(not(has_summarizing_indexes))]
    if which {
        // SAFETY: the caller's.
        unsafe { pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, none, ptr::null_mut()) };
    }
    #[cfg(has_summarizing_indexes)]
    if which != pg_sys::TU_UpdateIndexes::TU_None {
        let summarizing = which == pg_sys::TU_UpdateIndexes::TU_Summarizing;
        // SAFETY: the caller's.
        unsafe { pg_sys::ExecInsertIndexTuples(target, slot, state, false, false, none, ptr::null_mut(), summarizing) };
    }
}

/// As every Unix has it.
pub const SIGHUP: c_int = 1;
/// As every Unix has it.
pub const SIGTERM: c_int = 15;

/// This backend's place among the server's processes; 17 made it a variable of its own.
pub fn own_proc_number() -> c_int {
    // SAFETY: set when the backend started, and never changed.
    #[cfg(has_proc_number)]
    unsafe {
        pg_sys::MyProcNumber
    }
    // SAFETY: as above.
    #[cfg(not(has_proc_number))]
    unsafe {
        (*pg_sys::MyProc).pgprocno
    }
}

/// Functions that pgrx's guard can't or need not wrap: called in a signal handler, inside `errfinish`, or unable to
/// raise an ERROR. Their declarations are the same in 15 to 18.
pub mod bare {
    use core::ffi::{c_char, c_int};
    use pgrx::pg_sys;

    unsafe extern "C" {
        /// `libpq/pqsignal.h`: sets a signal's handler. What it returns up to 17 is not wanted.
        #[cfg_attr(has_backend_pqsignal, link_name = "pqsignal_be")]
        pub fn pqsignal(signal: c_int, handler: unsafe extern "C" fn(c_int));
        /// `tcop/tcopprot.h`: handles SIGTERM as a session does.
        pub fn die(signal: c_int);
        /// `postmaster/interrupt.h`: handles SIGHUP.
        pub fn SignalHandlerForConfigReload(signal: c_int);
        /// `storage/latch.h`; async-signal-safe.
        pub fn SetLatch(latch: *mut pg_sys::Latch);
    }
    unsafe extern "C-unwind" {
        /// `utils/timeout.h`: gives a timer's id. FATAL where all are taken, never an ERROR.
        pub fn RegisterTimeout(id: c_int, handler: unsafe extern "C" fn()) -> c_int;
        /// `utils/timeout.h`; raises nothing for a registered id.
        pub fn enable_timeout_at(id: c_int, fin_time: pg_sys::TimestampTz);
        /// `utils/timeout.h`; raises nothing for a registered id.
        pub fn disable_timeout(id: c_int, keep_indicator: bool);
        /// `utils/timeout.h`; reads.
        pub fn get_timeout_active(id: c_int) -> bool;
        /// `utils/timeout.h`; reads.
        pub fn get_timeout_finish_time(id: c_int) -> pg_sys::TimestampTz;
        /// `utils/elog.h`: begins a report; false where nobody would see it.
        pub fn errstart(elevel: c_int, domain: *const c_char) -> bool;
        /// `utils/elog.h`: ends a report; returns where its level is below ERROR.
        pub fn errfinish(filename: *const c_char, line: c_int, function: *const c_char);
        /// `executor/tuptable.h`: takes the first columns out of a slot's row. Called through pgrx's guard.
        pub fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, columns: c_int);
        /// `catalog/pg_inherits.h`: reads the catalog. Called through pgrx's guard.
        pub fn find_inheritance_children(table: pg_sys::Oid, lock: pg_sys::LOCKMODE) -> *mut pg_sys::List;
        /// `storage/predicate.h`: raises 40001 where the transaction is doomed. Called through pgrx's guard.
        pub fn CheckForSerializableConflictIn(
            relation: pg_sys::Relation,
            tid: *const pg_sys::ItemPointerData,
            block: pg_sys::BlockNumber,
        );
        /// `common/hashfn.h`: a hash of bytes, the same in all sessions; raises nothing.
        pub fn hash_bytes_extended(bytes: *const u8, length: c_int, seed: u64) -> u64;
        /// `libpq/libpq.h`: false where the client has closed its end. Called through pgrx's guard.
        pub fn pq_check_connection() -> bool;
        /// `utils/elog.h`: the SQLSTATE of the error that is being reported.
        pub fn geterrcode() -> c_int;
        /// `utils/elog.h`: sets the SQLSTATE of the error that is being reported.
        pub fn errcode(sqlerrcode: c_int) -> c_int;
        /// `utils/elog.h`: adds a line to the context of the error that is being reported.
        pub fn errcontext_msg(fmt: *const c_char, ...) -> c_int;
    }
}
