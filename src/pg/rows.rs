//! Rows of a table of ours, found by an index and changed past the executor. A claim, a finish and a new job take one
//! statement each otherwise, and setting up and taking down its plan is more than half of what they cost.
//!
//! Nothing waits for a row here but a removal: a row that somebody else is changing is left to him.

use super::compat;
use super::datum::{Jsonb, Text, Uuid};
use super::document::Member;
use super::header::Header;
pub use super::header::Taken;
pub use super::scan_keys::Key;
use super::scan_keys::ScanKeys;
use super::spi::Bind;
use super::table::{Open, Table, Value};
use super::xact;
use core::ffi::CStr;
use pgrx::{PgTupleDesc, pg_sys};
use std::cell::Cell;
use std::ptr;

/// An open table whose rows are changed.
pub struct Rows {
    open: Open,
    lock: pg_sys::LOCKMODE,
    state: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    /// Whether the target's indexes are open: only new versions enter them.
    indexes_are_open: Cell<bool>,
}

impl Rows {
    /// Opens the table, if it is as we know it and a changed row sets nothing else in motion. Not in a read-only
    /// transaction, which the executor watches over, and not the server beneath.
    pub fn open(table: &Table) -> Option<Rows> {
        if !xact::may_write() {
            return None;
        }
        let open = Open::of(table, pg_sys::RowExclusiveLock).filter(Open::takes_rows_silently)?;
        Some(Rows::of(open, pg_sys::RowExclusiveLock))
    }

    /// Opens the table to walk through it, if it is as we know it.
    pub fn to_read(table: &Table) -> Option<Rows> {
        Some(Rows::of(Open::of(table, pg_sys::AccessShareLock)?, pg_sys::AccessShareLock))
    }

    /// The rows of an open table.
    fn of(open: Open, lock: u32) -> Rows {
        // SAFETY: as the server's own logical apply worker begins: an executor state without a plan and the relation's
        // result info, both freed in `drop`, or with the memory context and the resource owner of the subtransaction
        // if an error unwinds.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            let target = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            pg_sys::InitResultRelInfo(target, open.relation(), 0, ptr::null_mut(), 0);
            Rows { open, lock: lock as pg_sys::LOCKMODE, state, target, indexes_are_open: Cell::new(false) }
        }
    }

    /// The table's oid.
    pub fn oid(&self) -> u32 {
        self.open.oid()
    }

    /// Opens what new versions have to be entered into.
    fn open_indexes(&self) {
        if !self.indexes_are_open.replace(true) {
            // SAFETY: the target is that of an open relation; closed in `drop`.
            unsafe { pg_sys::ExecOpenIndices(self.target, false) };
        }
    }

    /// Raises, as the executor would, where subscribers could not tell which row was changed.
    fn check_replica_identity(&self, command: pg_sys::CmdType::Type) {
        // SAFETY: reads what the server remembers of the open relation.
        unsafe { pg_sys::CheckCmdReplicaIdentity(self.open.relation(), command) };
    }

    /// An empty slot for a row of this table; it lives as long as the executor state.
    fn slot(&self) -> *mut pg_sys::TupleTableSlot {
        // SAFETY: the descriptor is that of the open relation.
        unsafe {
            let descriptor = (*self.open.relation()).rd_att;
            pg_sys::ExecInitExtraTupleSlot(self.state, descriptor, &raw const pg_sys::TTSOpsVirtual)
        }
    }

    /// Puts values into a slot, in the order of the columns.
    fn fill(&self, slot: *mut pg_sys::TupleTableSlot, values: &[Value]) {
        // SAFETY: the slot's arrays have an entry for each column; `Open::of` has compared the columns' types.
        unsafe {
            pg_sys::ExecClearTuple(slot);
            let attributes = PgTupleDesc::from_pg_unchecked((*self.open.relation()).rd_att);
            debug_assert_eq!(values.len(), attributes.len());
            for (place, (value, attribute)) in values.iter().zip(attributes.iter()).enumerate() {
                let datum = value.datum(attribute.atttypid);
                *(*slot).tts_values.add(place) = datum.unwrap_or(pg_sys::Datum::null());
                *(*slot).tts_isnull.add(place) = datum.is_none();
            }
            pg_sys::ExecStoreVirtualTuple(slot);
        }
    }

    /// Adds a row.
    pub fn insert(&self, values: &[Value]) {
        self.open_indexes();
        let slot = self.slot();
        self.fill(slot, values);
        // SAFETY: the slot holds a row of the relation, whose indexes are open.
        unsafe { pg_sys::ExecSimpleRelationInsert(self.target, self.state, slot) };
    }

    /// A walk, by the index of this name on these columns, over what can be seen now; `None` where there is no such index.
    pub fn scan(&self, index: &CStr, columns: &'static [usize]) -> Option<Scan<'_>> {
        let index = self.open.index(index)?;
        // SAFETY: the index is locked and stays open until the walk is dropped. The snapshot is registered for as long as
        // the walk lasts, or until the subtransaction is rolled back.
        unsafe {
            let index = pg_sys::index_open(index, self.lock);
            if !self.is_indexed_by(index, columns) {
                pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
                return None;
            }
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
            let slot = pg_sys::table_slot_create(self.open.relation(), ptr::null_mut());
            Some(Scan {
                rows: self,
                index,
                snapshot,
                slot,
                scan: None,
                keys: ScanKeys::default(),
                changed: None,
                label: None,
                passed: 0,
            })
        }
    }

    /// Whether an open index is one that a walk can rely on.
    fn is_indexed_by(&self, index: pg_sys::Relation, columns: &[usize]) -> bool {
        self.open.is_indexed_by(index, columns)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // While an error unwinds, the rollback frees it: doing so may raise, and a second error would abort.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: made by `open`, freed once. What comes next in this transaction sees the rows.
        unsafe {
            if self.indexes_are_open.get() {
                pg_sys::ExecCloseIndices(self.target);
            }
            pg_sys::ExecResetTupleTable((*self.state).es_tupleTable, false);
            pg_sys::FreeExecutorState(self.state);
            pg_sys::pfree(self.target.cast());
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// Where a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To a row.
    Row,
    /// To an entry of the index whose row the walk's snapshot does not see.
    Unseen,
    End,
}

/// A walk over rows.
pub struct Scan<'r> {
    rows: &'r Rows,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
    scan: Option<pg_sys::IndexScanDesc>,
    keys: ScanKeys,
    changed: Option<*mut pg_sys::TupleTableSlot>,
    /// A label that was asked for: the column, the text, the value.
    label: Option<(usize, &'static CStr, Option<pg_sys::Datum>)>,
    passed: u64,
}

/// Pages that the way from an index's root to an entry may take, and its neighbour.
const WAY_DOWN: u64 = 4;

/// Pages that this process has looked at so far.
fn pages_read() -> u64 {
    // SAFETY: a counter of this process's own, which no other thread writes.
    unsafe { (pg_sys::pgBufferUsage.shared_blks_hit + pg_sys::pgBufferUsage.shared_blks_read) as u64 }
}

impl Scan<'_> {
    /// Begins the walk, or begins it anew with other values.
    pub fn start(&mut self, keys: &[Key]) {
        self.keys.set(keys);
        let count = self.keys.count as core::ffi::c_int;
        // SAFETY: the keys compare the columns that `Rows::scan` has seen with values of their types; they, the relations,
        // the snapshot and the slot live as long as the walk.
        unsafe {
            let table = self.rows.open.relation();
            let has_places = self.keys.has_places;
            let scan = *self.scan.get_or_insert_with(|| {
                let scan = compat::index_beginscan(table, self.index, self.snapshot, count);
                (*scan).xs_want_itup = has_places;
                scan
            });
            pg_sys::index_rescan(scan, self.keys.keys.as_mut_ptr(), count, ptr::null_mut(), 0);
        }
    }

    /// Goes to the next entry of the index, also where its row can't be seen.
    pub fn step(&mut self) -> Step {
        let Some(scan) = self.scan else { return Step::End };
        // SAFETY: the walk has begun; the slot is of the table's kind.
        unsafe {
            let before = pages_read();
            let is_end = pg_sys::index_getnext_tid(scan, pg_sys::ScanDirection::ForwardScanDirection).is_null();
            self.passed += (pages_read() - before).saturating_sub(WAY_DOWN);
            if is_end {
                return Step::End;
            }
            if !pg_sys::index_fetch_heap(scan, self.slot) {
                return Step::Unseen;
            }
            pg_sys::slot_getsomeattrs_int(self.slot, (*(*self.slot).tts_tupleDescriptor).natts);
            Step::Row
        }
    }

    /// Pages of the index that steps have passed over: the server does not show entries that it knows to be dead for all.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// A `timestamptz` or `bigint` column of the index, by its number from 0, of the entry that the walk stands at. Only
    /// in a walk that has a key of places or times.
    pub fn entry(&self, column: usize) -> i64 {
        let mut values = [pg_sys::Datum::null(); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
        // SAFETY: the scan keeps the entry until it goes on; the arrays have room for all columns that an index can have.
        unsafe {
            if let Some(scan) = self.scan.filter(|scan| !(**scan).xs_itup.is_null()) {
                let scan = &*scan;
                pg_sys::index_deform_tuple(scan.xs_itup, scan.xs_itupdesc, values.as_mut_ptr(), nulls.as_mut_ptr());
            }
        }
        values[column].value() as i64
    }

    /// Goes to the next row; false where there is none.
    pub fn next(&mut self) -> bool {
        let Some(scan) = self.scan else { return false };
        // SAFETY: the walk has begun; the slot is of the table's kind.
        unsafe {
            if !pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, self.slot) {
                return false;
            }
            pg_sys::slot_getsomeattrs_int(self.slot, (*(*self.slot).tts_tupleDescriptor).natts);
            true
        }
    }

    /// A column of the row, `None` for NULL; it lies in the table's page until the walk goes on.
    pub fn column(&self, place: usize) -> Option<pg_sys::Datum> {
        // SAFETY: the slot holds a row, all of whose columns were taken out.
        unsafe { (!*(*self.slot).tts_isnull.add(place)).then(|| *(*self.slot).tts_values.add(place)) }
    }

    /// A column as a value for another row of the same table.
    pub fn value(&self, place: usize) -> Value {
        self.column(place).map_or(Value::Null, Value::Datum)
    }

    /// A `bigint` or `timestamptz` column that is never NULL.
    pub fn bigint(&self, place: usize) -> i64 {
        self.column(place).map_or(0, |datum| datum.value() as i64)
    }

    /// An `integer` column that is never NULL.
    pub fn integer(&self, place: usize) -> i32 {
        self.column(place).map_or(0, |datum| datum.value() as i32)
    }

    /// A `smallint` column that is never NULL.
    pub fn smallint(&self, place: usize) -> i16 {
        self.column(place).map_or(0, |datum| datum.value() as i16)
    }

    /// A `double precision` column that is never NULL.
    pub fn double(&self, place: usize) -> f64 {
        self.column(place).map_or(0.0, |datum| f64::from_bits(datum.value() as u64))
    }

    /// A `uuid` column.
    pub fn uuid(&self, place: usize) -> Option<Uuid> {
        // SAFETY: the column is a uuid, as `Open::of` has seen.
        self.column(place).map(|datum| unsafe { Uuid::from_raw(datum) })
    }

    /// A `jsonb` of the row, copied, for a reply.
    pub fn jsonb(&self, place: usize) -> Member {
        self.column(place)
            .map_or(Member::Value(serde_json::Value::Null), |datum| Member::Document(Jsonb::copied(datum)))
    }

    /// A text of the row, copied.
    pub fn text(&self, place: usize) -> Option<Text> {
        self.column(place).map(Text::copied)
    }

    /// Whether an enum column has this label, whose value is looked up once a walk.
    pub fn is_label(&mut self, place: usize, label: &'static CStr) -> bool {
        let known = self.label.filter(|(of, text, _)| *of == place && *text == label).map(|(_, _, value)| value);
        let value = known.unwrap_or_else(|| {
            // SAFETY: the column is an enum, as `Open::of` has seen.
            let value = unsafe {
                let attributes = PgTupleDesc::from_pg_unchecked((*self.slot).tts_tupleDescriptor);
                attributes.get(place).and_then(|attribute| Value::Label(label).datum(attribute.atttypid))
            };
            self.label = Some((place, label, value));
            value
        });
        value.is_some() && value == self.column(place)
    }

    /// The header of the row's tuple; `None` where the table is no heap.
    fn header(&self) -> Option<Header> {
        // SAFETY: a slot of this kind holds a tuple of its page, which stays pinned until the walk goes on.
        unsafe {
            ptr::eq((*self.slot).tts_ops, &raw const pg_sys::TTSOpsBufferHeapTuple)
                .then(|| Header::of((*self.slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple))
        }
    }

    /// Whether another transaction has changed the row since it was seen, or is about to: what an update would find as
    /// well, after all that goes before it. Where that is not plain the answer is no.
    pub fn taken(&self) -> Taken {
        self.header().map_or(Taken::No, |header| header.taken())
    }

    /// Whether the row is, at this moment, as all others see it, and no other transaction has it locked or is changing it.
    /// Where that is not plain the answer is no.
    pub fn is_settled(&self) -> bool {
        self.header().is_some_and(|header| header.is_settled())
    }

    /// Whether this transaction has written the row as it is.
    pub fn is_own(&self) -> bool {
        self.header().is_some_and(|header| header.is_own())
    }

    /// Gives the row new values; false, and nothing done, where somebody else is changing it or has done so.
    pub fn update(&mut self, values: &[Value]) -> bool {
        let slot = *self.changed.get_or_insert_with(|| self.rows.slot());
        self.rows.check_replica_identity(pg_sys::CmdType::CMD_UPDATE);
        self.rows.open_indexes();
        self.rows.fill(slot, values);
        // SAFETY: the row was just seen; the slot holds a row of the table, whose indexes are open.
        unsafe {
            let tid = &raw mut (*self.slot).tts_tid;
            let Some(which) = compat::tuple_update(self.rows.open.relation(), tid, slot, self.snapshot) else {
                return false;
            };
            compat::insert_index_tuples(self.rows.target, slot, self.rows.state, which);
        }
        true
    }

    /// Removes the row, after waiting for whoever is changing it; false, and nothing done, where it has been changed.
    pub fn delete(&mut self) -> bool {
        self.rows.check_replica_identity(pg_sys::CmdType::CMD_DELETE);
        // SAFETY: the row was just seen.
        unsafe {
            let tid = &raw mut (*self.slot).tts_tid;
            compat::tuple_delete(self.rows.open.relation(), tid, self.snapshot)
        }
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // SAFETY: made by `Rows::scan` and `start`, freed once; the index's lock stays as after a statement.
        unsafe {
            if let Some(scan) = self.scan {
                pg_sys::index_endscan(scan);
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::UnregisterSnapshot(self.snapshot);
            pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE);
        }
    }
}

/// Puts one row into the table, its values in the order of the columns; false, and nothing done, where that takes a
/// statement.
pub fn insert(table: &Table, values: &[Value]) -> bool {
    match Rows::open(table) {
        Some(rows) => {
            rows.insert(values);
            true
        }
        None => false,
    }
}

impl<T: Bind> From<T> for Value {
    fn from(value: T) -> Self {
        value.bind().map_or(Value::Null, Value::Datum)
    }
}
