//! Rows of a table of ours, found by an index and changed past the executor. A claim, a finish and a new job take one
//! statement each otherwise, and setting up and taking down its plan is more than half of what they cost.
//!
//! Nothing waits for a row here but a removal: a row that somebody else is changing is left to him.

use super::compat;
use super::datum::{Jsonb, Text, Uuid};
use super::document::Member;
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
        // SAFETY: as the server's own logical apply worker begins: an executor state without a plan and the relation's
        // result info, both freed in `drop`, or with the memory context and the resource owner of the subtransaction
        // if an error unwinds.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            let target = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            pg_sys::InitResultRelInfo(target, open.relation(), 0, ptr::null_mut(), 0);
            Some(Rows { open, state, target, indexes_are_open: Cell::new(false) })
        }
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
            let index = pg_sys::index_open(index, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
            if !self.is_indexed_by(index, columns) {
                pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
                return None;
            }
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
            let slot = pg_sys::table_slot_create(self.open.relation(), ptr::null_mut());
            Some(Scan { rows: self, index, snapshot, slot, scan: None, changed: None, label: None })
        }
    }

    /// Whether an open index is one of this table's that can be relied on, and begins with these columns in rising order.
    fn is_indexed_by(&self, index: pg_sys::Relation, columns: &[usize]) -> bool {
        // SAFETY: the relation is an index, so it has this form, and an attribute number and an option for each of its
        // key columns.
        unsafe {
            let form = &*(*index).rd_index;
            form.indrelid == (*self.open.relation()).rd_id
                && form.indisvalid
                && form.indisready
                && (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID
                && usize::try_from(form.indnkeyatts).is_ok_and(|count| count >= columns.len())
                && columns.iter().enumerate().all(|(key, column)| {
                    let number = *form.indkey.values.as_ptr().add(key);
                    usize::try_from(number).is_ok_and(|number| number == column + 1)
                        && *(*index).rd_indoption.add(key) == 0
                })
        }
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

/// What a walk asks of a column of its index: a comparison of its type. The keys are those of the first columns.
pub struct Key {
    strategy: u32,
    function: u32,
    datum: pg_sys::Datum,
}

impl Key {
    /// An `integer` column equals this.
    pub fn integer(value: i32) -> Key {
        Key { strategy: pg_sys::BTEqualStrategyNumber, function: pg_sys::F_INT4EQ, datum: value.into() }
    }

    /// A `smallint` column equals this.
    pub fn smallint(value: i16) -> Key {
        Key { strategy: pg_sys::BTEqualStrategyNumber, function: pg_sys::F_INT2EQ, datum: value.into() }
    }

    /// A `smallint` column is greater than this.
    pub fn above(value: i16) -> Key {
        Key { strategy: pg_sys::BTGreaterStrategyNumber, function: pg_sys::F_INT2GT, datum: value.into() }
    }

    /// A `bigint` column equals this.
    pub fn bigint(value: i64) -> Key {
        Key { strategy: pg_sys::BTEqualStrategyNumber, function: pg_sys::F_INT8EQ, datum: value.into() }
    }

    /// A `timestamptz` column is not later than this.
    pub fn until(microseconds: i64) -> Key {
        let (strategy, function) = (pg_sys::BTLessEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_LE);
        Key { strategy, function, datum: microseconds.into() }
    }

    /// Any `timestamptz`: the keys of a walk are as many each time that it begins.
    pub fn ever() -> Key {
        Key::until(i64::MAX)
    }
}

/// A walk over rows.
pub struct Scan<'r> {
    rows: &'r Rows,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
    scan: Option<pg_sys::IndexScanDesc>,
    changed: Option<*mut pg_sys::TupleTableSlot>,
    /// A label that was asked for: the column, the text, the value.
    label: Option<(usize, &'static CStr, Option<pg_sys::Datum>)>,
}

impl Scan<'_> {
    /// Begins the walk, or begins it anew.
    pub fn start(&mut self, keys: &[Key]) {
        let mut scan_keys = [pg_sys::ScanKeyData::default(); 4];
        let count = keys.len() as core::ffi::c_int;
        debug_assert!(keys.len() <= scan_keys.len());
        // SAFETY: the keys compare the columns that `Rows::scan` has seen with values of their types; the server copies them. Relations,
        // snapshot and slot live as long as the walk.
        unsafe {
            for (place, (scan_key, key)) in scan_keys.iter_mut().zip(keys).enumerate() {
                let (number, strategy) = (place as i16 + 1, key.strategy as pg_sys::StrategyNumber);
                pg_sys::ScanKeyInit(scan_key, number, strategy, key.function.into(), key.datum);
            }
            let table = self.rows.open.relation();
            let scan =
                *self.scan.get_or_insert_with(|| compat::index_beginscan(table, self.index, self.snapshot, count));
            pg_sys::index_rescan(scan, scan_keys.as_mut_ptr(), count, ptr::null_mut(), 0);
        }
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

    /// A `uuid` column in text, in lower case.
    pub fn uuid(&self, place: usize) -> Option<String> {
        // SAFETY: the column is a uuid, as `Open::of` has seen.
        self.column(place).map(|datum| unsafe { Uuid::from_raw(datum) }.to_text())
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

    /// Whether another transaction has changed the row since it was seen, or is about to: what an update would find as
    /// well, after all that goes before it. Where that is not plain the answer is no.
    pub fn is_taken(&self) -> bool {
        // SAFETY: a slot of this kind holds a tuple of its page, which stays pinned until the walk goes on; the fields are
        // those that any scan reads without a lock.
        unsafe {
            if !ptr::eq((*self.slot).tts_ops, &raw const pg_sys::TTSOpsBufferHeapTuple) {
                return false;
            }
            let header = &*(*(*self.slot.cast::<pg_sys::HeapTupleTableSlot>()).tuple).t_data;
            let (flags, xmax) = (u32::from(header.t_infomask), header.t_choice.t_heap.t_xmax);
            let is_lock = flags & pg_sys::HEAP_XMAX_LOCK_ONLY != 0;
            // A lock for a foreign key's check is compatible with an update that leaves the key.
            let is_weak = is_lock && flags & pg_sys::HEAP_XMAX_EXCL_LOCK == 0;
            if flags & (pg_sys::HEAP_XMAX_INVALID | pg_sys::HEAP_XMAX_IS_MULTI) != 0
                || is_weak
                || pg_sys::TransactionIdIsCurrentTransactionId(xmax)
            {
                return false;
            }
            pg_sys::TransactionIdIsInProgress(xmax) || (!is_lock && pg_sys::TransactionIdDidCommit(xmax))
        }
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
