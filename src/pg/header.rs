//! What a row's header says of the transactions that have made, changed or locked it, read without a lock as any scan does.

use pgrx::pg_sys;

/// Whether a row is as the snapshot saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// As far as can be told without a lock.
    No,
    /// Another transaction has changed it.
    Changed,
    /// Another transaction has locked or changed it, and has not ended.
    By(pg_sys::TransactionId),
}

/// The header at one moment.
pub struct Header {
    flags: u32,
    xmin: pg_sys::TransactionId,
    xmax: pg_sys::TransactionId,
}

impl Header {
    /// That of a tuple.
    ///
    /// # Safety
    /// The tuple is one of a heap, in a page that is pinned.
    pub unsafe fn of(tuple: pg_sys::HeapTuple) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let header = &*(*tuple).t_data;
            let fields = header.t_choice.t_heap;
            Header { flags: u32::from(header.t_infomask), xmin: fields.t_xmin, xmax: fields.t_xmax }
        }
    }

    /// Whether all of these flags are set.
    fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// See `Scan::taken`.
    pub fn taken(&self) -> Taken {
        let is_lock = self.has(pg_sys::HEAP_XMAX_LOCK_ONLY);
        // A lock for a foreign key's check is compatible with an update that leaves the key.
        let is_weak = is_lock && !self.has(pg_sys::HEAP_XMAX_EXCL_LOCK);
        if self.has(pg_sys::HEAP_XMAX_INVALID) || self.has(pg_sys::HEAP_XMAX_IS_MULTI) || is_weak || is_own(self.xmax) {
            Taken::No
        } else if is_running(self.xmax) {
            Taken::By(self.xmax)
        } else if !is_lock && has_committed(self.xmax) {
            Taken::Changed
        } else {
            Taken::No
        }
    }

    /// See `Scan::is_own`.
    pub fn is_own(&self) -> bool {
        !self.has(pg_sys::HEAP_XMIN_FROZEN) && is_own(self.xmin)
    }

    /// See `Scan::is_settled`.
    pub fn is_settled(&self) -> bool {
        let is_left_alone = || {
            is_own(self.xmax)
                || !is_running(self.xmax) && (self.has(pg_sys::HEAP_XMAX_LOCK_ONLY) || !has_committed(self.xmax))
        };
        !self.is_own()
            && (self.has(pg_sys::HEAP_XMAX_INVALID) || !self.has(pg_sys::HEAP_XMAX_IS_MULTI) && is_left_alone())
    }
}

/// Whether it is this transaction, or a part of it.
fn is_own(id: pg_sys::TransactionId) -> bool {
    // SAFETY: reads this backend's transaction state.
    unsafe { pg_sys::TransactionIdIsCurrentTransactionId(id) }
}

/// Whether it has not ended.
fn is_running(id: pg_sys::TransactionId) -> bool {
    // SAFETY: reads what the server knows of running transactions.
    unsafe { pg_sys::TransactionIdIsInProgress(id) }
}

/// Whether it has ended, and not by an abort; to be asked only of one that is not running.
fn has_committed(id: pg_sys::TransactionId) -> bool {
    // SAFETY: reads the server's commit log.
    unsafe { pg_sys::TransactionIdDidCommit(id) }
}
