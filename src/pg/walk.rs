//! A walk through all rows of a table of ours, past the planner and the executor: a new session takes longer to plan a count
//! than to make it.

use super::compat::bare;
use super::table::{Open, Value};
use core::ffi::{CStr, c_int};
use pgrx::{PgTupleDesc, pg_sys};
use std::ptr;

/// A row, of which the first columns can be read.
pub struct Row {
    slot: *mut pg_sys::TupleTableSlot,
    columns: usize,
}

impl Row {
    /// A column, `None` for NULL.
    fn column(&self, place: usize) -> Option<pg_sys::Datum> {
        debug_assert!(place < self.columns);
        // SAFETY: the slot holds a row of whose columns so many were taken out.
        unsafe { (!*(*self.slot).tts_isnull.add(place)).then(|| *(*self.slot).tts_values.add(place)) }
    }

    /// An `integer` column that is never NULL.
    pub fn integer(&self, place: usize) -> i32 {
        self.column(place).map_or(0, |datum| datum.value() as i32)
    }

    /// A `timestamptz` column, in microseconds since 2000-01-01 UTC.
    pub fn time(&self, place: usize) -> Option<i64> {
        self.column(place).map(|datum| datum.value() as i64)
    }

    /// A column of an enum that is never NULL; see `label`.
    pub fn number(&self, place: usize) -> u32 {
        self.column(place).map_or(0, |datum| datum.value() as u32)
    }
}

/// The number by which an enum column of the table has a label.
pub fn label(open: &Open, place: usize, label: &'static CStr) -> u32 {
    // SAFETY: the relation is open; the column is an enum, as `Open::extended` has seen.
    let datum = unsafe {
        let attributes = PgTupleDesc::from_pg_unchecked((*open.relation()).rd_att);
        attributes.get(place).and_then(|attribute| Value::Label(label).datum(attribute.atttypid))
    };
    datum.map_or(0, |datum| datum.value() as u32)
}

/// Hands over each row that the snapshot in force sees, with so many columns. `take` can't fail.
pub fn through(open: &Open, columns: usize, mut take: impl FnMut(&Row)) {
    use pg_sys::ScanOptions::{SO_ALLOW_PAGEMODE, SO_ALLOW_STRAT, SO_ALLOW_SYNC, SO_TYPE_SEQSCAN};
    // SAFETY: the relation is open and locked, and every access method has these functions. The snapshot stays in force until
    // the walk has ended; an error leaves the walk to the rollback. An error of the server's passes over this frame alone,
    // whose values need no dropping.
    unsafe {
        let table = open.relation();
        let method = &*(*table).rd_tableam;
        let (Some(begin), Some(next), Some(end)) = (method.scan_begin, method.scan_getnextslot, method.scan_end) else {
            return;
        };
        let slot = pg_sys::table_slot_create(table, ptr::null_mut());
        let snapshot = pg_sys::GetActiveSnapshot();
        let row = Row { slot, columns };
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            let options = SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_SYNC | SO_ALLOW_PAGEMODE;
            let scan = begin(table, snapshot, 0, ptr::null_mut(), ptr::null_mut(), options);
            while next(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
                bare::slot_getsomeattrs_int(slot, columns as c_int);
                take(&row);
            }
            end(scan);
        });
        pg_sys::ExecDropSingleTupleTableSlot(slot);
    }
}
