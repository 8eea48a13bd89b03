//! A lock on a number, held for a moment: for what has to be looked at and changed while nobody else does.
//!
//! It is one of the server's own, so that a wait for it ends at `lock_timeout`, a deadlock is found and a rollback
//! releases it. Whoever holds it waits for no transaction: he lets it go before, with `wait_for`, and looks again.

use super::compat::bare;
use core::ffi::c_int;
use pgrx::pg_sys;
use std::ptr;

/// The field of an advisory lock's tag that tells kinds apart. `pg_advisory_lock` and its like have 1 and 2.
const KIND: u16 = u16::from_be_bytes(*b"JF");

/// The lock, until this is dropped.
pub struct BriefLock(pg_sys::LOCKTAG);

impl BriefLock {
    /// Waits for the lock on a number.
    pub fn on(number: u64) -> BriefLock {
        // SAFETY: the tag outlives the call, which copies it. The present subtransaction owns the lock.
        unsafe {
            let tag = pg_sys::LOCKTAG {
                locktag_field1: pg_sys::MyDatabaseId.to_u32(),
                locktag_field2: (number >> 32) as u32,
                locktag_field3: number as u32,
                locktag_field4: KIND,
                locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
                locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
            };
            let got = pg_sys::LockAcquire(&tag, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false, false);
            if got == pg_sys::LockAcquireResult::LOCKACQUIRE_ALREADY_HELD {
                pgrx::ereport!(
                    ERROR,
                    pgrx::PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                    "a trigger does what this session is in the middle of"
                );
            }
            BriefLock(tag)
        }
    }
}

impl Drop for BriefLock {
    fn drop(&mut self) {
        // While an error unwinds, the rollback releases it: doing so here may raise, and a second error would abort.
        if !std::thread::panicking() {
            // SAFETY: taken by `on`, released once.
            unsafe { pg_sys::LockRelease(&self.0, pg_sys::ExclusiveLock as pg_sys::LOCKMODE, false) };
        }
    }
}

/// Waits until a transaction has ended, or the part of it that was rolled back to a savepoint.
pub fn wait_for(transaction: pg_sys::TransactionId) {
    let (relation, tid, operation) = (ptr::null_mut(), ptr::null_mut(), pg_sys::XLTW_Oper::XLTW_None);
    // SAFETY: without a relation nothing is said of where we wait.
    unsafe { pg_sys::XactLockTableWait(transaction, relation, tid, operation) };
}

/// A number for these bytes, the same in all sessions.
pub fn number_of(bytes: &[u8], seed: u32) -> u64 {
    // SAFETY: pointer and length are of one slice.
    unsafe { bare::hash_bytes_extended(bytes.as_ptr(), bytes.len() as c_int, seed.into()) }
}
