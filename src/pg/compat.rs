//! What differs between PostgreSQL 15 and 18, and the functions that pgrx's bindings leave out.

use core::ffi::c_int;

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

/// Functions that pgrx's guard can't or need not wrap: called in a signal handler, inside `errfinish`, or unable to
/// raise an ERROR. Their declarations are the same in 15 to 18.
pub mod bare {
    use core::ffi::{c_char, c_int};
    use pgrx::pg_sys;

    unsafe extern "C" {
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
        /// `storage/predicate.h`: raises 40001 where the transaction is doomed. Called through pgrx's guard.
        pub fn CheckForSerializableConflictIn(
            relation: pg_sys::Relation,
            tid: *const pg_sys::ItemPointerData,
            block: pg_sys::BlockNumber,
        );
        /// `utils/elog.h`: the SQLSTATE of the error that is being reported.
        pub fn geterrcode() -> c_int;
        /// `utils/elog.h`: sets the SQLSTATE of the error that is being reported.
        pub fn errcode(sqlerrcode: c_int) -> c_int;
        /// `utils/elog.h`: adds a line to the context of the error that is being reported.
        pub fn errcontext_msg(fmt: *const c_char, ...) -> c_int;
    }
}
