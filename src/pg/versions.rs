//! The versions of a table's rows that an index leads to, the last entry first: what transactions have removed, are
//! removing or are adding is among them. A unique check sees a table so; no snapshot does.

use super::compat;
use super::datum::Text;
use super::table::{Open, Table};
use core::ffi::{CStr, c_int};
use pgrx::pg_sys;
use std::ptr;

/// What a column of the index equals.
pub enum Equal {
    Integer(i32),
    Text(Text),
    Timestamptz(i64),
}

impl Equal {
    /// The function that compares, and the value.
    fn comparison(&self) -> (u32, pg_sys::Datum) {
        match self {
            Equal::Integer(value) => (pg_sys::F_INT4EQ, (*value).into()),
            Equal::Text(value) => (pg_sys::F_TEXTEQ, value.datum()),
            Equal::Timestamptz(value) => (pg_sys::F_TIMESTAMPTZ_EQ, (*value).into()),
        }
    }
}

/// What has become of a version, as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there, for all or, where this transaction has added it, for us.
    There,
    /// It was there and has been removed, for all or for us.
    Removed,
    /// Another version has taken its place, which the walk comes by as well.
    Replaced,
    /// It never was there for anybody else, and is no longer for us.
    RolledBack,
    /// It is for this transaction to say, which has not ended.
    Undecided(pg_sys::TransactionId),
}

/// A walk over versions.
pub struct Versions {
    open: Open,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    scan: pg_sys::IndexScanDesc,
    /// Whether the present entry is of no use to anybody.
    is_void: bool,
}

impl Versions {
    /// Begins a walk by the index of this name on these columns, through what equals `values`; `None` where the table, of
    /// which the index would be, is not as we know it.
    pub fn walk(table: &Table, index: &CStr, columns: &[usize], values: &[Equal]) -> Option<Versions> {
        let open = Open::extended(table, pg_sys::RowExclusiveLock)?;
        let index = open.index(index)?;
        // SAFETY: the index is locked and stays open until the walk is dropped, or the subtransaction rolled back. The
        // keys compare its columns with values of their types; the server copies them. That snapshot is static.
        unsafe {
            // What `fate` reads is laid out so by this access method alone.
            if (*(*open.relation()).rd_rel).relam != pg_sys::HEAP_TABLE_AM_OID {
                return None;
            }
            let index = pg_sys::index_open(index, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
            if !open.is_indexed_by(index, columns) {
                pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
                return None;
            }
            let mut keys = [pg_sys::ScanKeyData::default(); 4];
            let count = values.len() as c_int;
            debug_assert!(values.len() <= keys.len());
            for ((key, value), number) in keys.iter_mut().zip(values).zip(1..) {
                let (function, datum) = value.comparison();
                let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
                pg_sys::ScanKeyInit(key, number, equal, function.into(), datum);
            }
            let slot = pg_sys::table_slot_create(open.relation(), ptr::null_mut());
            let scan = compat::index_beginscan(open.relation(), index, &raw mut pg_sys::SnapshotAnyData, count);
            pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, ptr::null_mut(), 0);
            Some(Versions { open, index, slot, scan, is_void: false })
        }
    }

    /// Goes to the next version, which is of an earlier entry or of the same; `None` where there is none.
    pub fn next(&mut self) -> Option<Fate> {
        // SAFETY: the walk has begun; the slot is of the table's kind.
        unsafe {
            let scan = &mut *self.scan;
            loop {
                // An entry leads to a row and, where that was changed in place, to its later versions.
                if !scan.xs_heap_continue {
                    // Has the index mark it, so that no walk comes by it again. A snapshot that does not see the row does
                    // so by itself; this one sees all.
                    scan.kill_prior_tuple |= std::mem::take(&mut self.is_void);
                    if pg_sys::index_getnext_tid(scan, pg_sys::ScanDirection::BackwardScanDirection).is_null() {
                        return None;
                    }
                }
                if pg_sys::index_fetch_heap(scan, self.slot) {
                    break;
                }
            }
            pg_sys::slot_getsomeattrs_int(self.slot, (*(*self.slot).tts_tupleDescriptor).natts);
        }
        // SAFETY: as in `look`.
        let (fate, is_first) = self.look(|tuple, buffer| unsafe {
            let flags = u32::from((*(*tuple).t_data).t_infomask2);
            (fate(tuple, buffer), flags & pg_sys::HEAP_ONLY_TUPLE == 0)
        });
        self.is_void = is_first && fate == Fate::RolledBack;
        Some(fate)
    }

    /// Whether this transaction's snapshot sees the version, or this transaction has added it.
    pub fn is_seen(&self) -> bool {
        // SAFETY: the snapshot is valid as long as the transaction's present command; the rest as in `look`.
        unsafe {
            let snapshot = pg_sys::GetTransactionSnapshot();
            self.look(|tuple, buffer| {
                pg_sys::TransactionIdIsCurrentTransactionId(xmin((*tuple).t_data))
                    || pg_sys::HeapTupleSatisfiesVisibility(tuple, snapshot, buffer)
            })
        }
    }

    /// Looks at the version while nobody changes what says so: tuple and buffer are valid, and the buffer is locked.
    fn look<R>(&self, what: impl FnOnce(pg_sys::HeapTuple, pg_sys::Buffer) -> R) -> R {
        // SAFETY: the table is a heap, so the slot is of this kind and keeps the page of its tuple pinned. The lock is
        // released here, or by the rollback where an error unwinds.
        unsafe {
            let slot = &*self.slot.cast::<pg_sys::BufferHeapTupleTableSlot>();
            pg_sys::LockBuffer(slot.buffer, pg_sys::BUFFER_LOCK_SHARE as c_int);
            let result = what(slot.base.tuple, slot.buffer);
            pg_sys::LockBuffer(slot.buffer, pg_sys::BUFFER_LOCK_UNLOCK as c_int);
            result
        }
    }

    /// A `bigint` or `timestamptz` column that is never NULL.
    pub fn bigint(&self, place: usize) -> i64 {
        // SAFETY: the slot holds a row, all of whose columns were taken out.
        unsafe { (*(*self.slot).tts_values.add(place)).value() as i64 }
    }

    /// Whether removing a row of the table takes no statement.
    pub fn may_remove(&self, table: &Table) -> bool {
        self.open.is_no_more_than(table) && self.open.takes_rows_silently()
    }

    /// Removes the version, which is there; waits for whoever is about to do so.
    pub fn remove(&mut self) {
        // SAFETY: the version was just seen. What comes next in this transaction sees that it is gone.
        unsafe {
            let (relation, tid) = (self.open.relation(), &raw mut (*self.slot).tts_tid);
            pg_sys::CheckCmdReplicaIdentity(relation, pg_sys::CmdType::CMD_DELETE);
            compat::tuple_delete(relation, tid, &raw mut pg_sys::SnapshotAnyData);
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// What has become of a version. Not when it will be dead for all is asked, which the oldest snapshot decides, but whether
/// it ever was there and still is.
///
/// # Safety
/// The tuple is one of a heap's, in this buffer, which is locked.
unsafe fn fate(tuple: pg_sys::HeapTuple, buffer: pg_sys::Buffer) -> Fate {
    let mut dead_after = pg_sys::InvalidTransactionId;
    // SAFETY: the caller's.
    unsafe {
        let header = (*tuple).t_data;
        let is_last = pg_sys::ItemPointerEquals(&raw mut (*tuple).t_self, &raw mut (*header).t_ctid);
        let removed = if is_last { Fate::Removed } else { Fate::Replaced };
        let by = |xid, ours| {
            if pg_sys::TransactionIdIsCurrentTransactionId(xid) { ours } else { Fate::Undecided(xid) }
        };
        match pg_sys::HeapTupleSatisfiesVacuumHorizon(tuple, buffer, &mut dead_after) {
            pg_sys::HTSV_Result::HEAPTUPLE_LIVE => Fate::There,
            pg_sys::HTSV_Result::HEAPTUPLE_RECENTLY_DEAD => removed,
            pg_sys::HTSV_Result::HEAPTUPLE_INSERT_IN_PROGRESS => by(xmin(header), Fate::There),
            pg_sys::HTSV_Result::HEAPTUPLE_DELETE_IN_PROGRESS => by(remover(header), removed),
            _ => Fate::RolledBack,
        }
    }
}

/// Who has added a version.
///
/// # Safety
/// The header is one of a heap's, and its page is locked.
unsafe fn xmin(header: pg_sys::HeapTupleHeader) -> pg_sys::TransactionId {
    // SAFETY: the caller's.
    unsafe { (*header).t_choice.t_heap.t_xmin }
}

/// Who is removing a version.
///
/// # Safety
/// As for `xmin`; somebody is.
unsafe fn remover(header: pg_sys::HeapTupleHeader) -> pg_sys::TransactionId {
    // SAFETY: the caller's. With others that have only locked the row, he is one of several.
    unsafe {
        if u32::from((*header).t_infomask) & pg_sys::HEAP_XMAX_IS_MULTI != 0 {
            pg_sys::HeapTupleGetUpdateXid(header)
        } else {
            (*header).t_choice.t_heap.t_xmax
        }
    }
}

impl Drop for Versions {
    fn drop(&mut self) {
        // While an error unwinds, the rollback closes it: doing so may raise, and a second error would abort.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: made by `walk`, freed once; the index's lock stays as after a statement.
        unsafe {
            pg_sys::index_endscan(self.scan);
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE);
        }
    }
}
