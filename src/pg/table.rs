//! Our tables as the way past the executor needs them: opened, and seen to be as we know them.
//!
//! The answer is "not this way" where anything about the table is out of the ordinary (row security, other columns than
//! we know, and for a changed row triggers and rules); then the caller's statement does the same.

use super::compat::bare;
use super::datum::Text;
use super::invalidation;
use core::ffi::CStr;
use pgrx::{PgTupleDesc, pg_sys};
use std::borrow::Cow;
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A table of ours and its columns in order: what is there has to look just so.
pub struct Table {
    name: Cow<'static, CStr>,
    is_partition: bool,
    /// Name and type; `ENUM` for an enum of ours, whose oid is another in each database.
    columns: &'static [(&'static CStr, pg_sys::Oid)],
    /// The table that was last found to be as we know it, and the `invalidation::count` of that moment.
    oid: AtomicU32,
    as_of: AtomicU64,
}

impl Table {
    /// A table of this name and these columns.
    pub const fn new(name: &'static CStr, columns: &'static [(&'static CStr, pg_sys::Oid)]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            is_partition: false,
            columns,
            oid: AtomicU32::new(0),
            as_of: AtomicU64::new(0),
        }
    }

    /// How many columns it has.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The oid of the table of this name as it is now.
    pub fn oid(&self) -> u32 {
        let (oid, as_of) = (self.oid.load(Ordering::Relaxed), self.as_of.load(Ordering::Relaxed));
        if oid != 0 && invalidation::count() == as_of {
            return oid;
        }
        // SAFETY: catalog look-ups by C strings.
        unsafe {
            let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), false);
            pg_sys::get_relname_relid(self.name.as_ptr(), schema)
        }
        .to_u32()
    }

    /// A partition of this name and these columns.
    pub fn partition(name: CString, columns: &'static [(&'static CStr, pg_sys::Oid)]) -> Self {
        let name = Cow::Owned(name);
        Self { name, is_partition: true, columns, oid: AtomicU32::new(0), as_of: AtomicU64::new(0) }
    }

    /// Raises where there is no other way than to have the table as we know it.
    pub fn raise_not_as_known(&self) -> ! {
        let name = self.name.to_string_lossy();
        pgrx::ereport!(
            ERROR,
            pgrx::PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("table foreman.{name}, or its index, is not as pg_foreman has made it")
        );
    }
}

/// Stands for any enum type.
pub const ENUM: pg_sys::Oid = pg_sys::ANYENUMOID;

/// A value for a column.
pub enum Value {
    Null,
    /// A datum of the column's type.
    Datum(pg_sys::Datum),
    /// A label of the column's enum.
    Label(&'static CStr),
}

/// Our schema.
const SCHEMA: &CStr = c"foreman";

/// An open relation. Its lock stays until the transaction ends, as after a statement.
pub struct Open(pg_sys::Relation);

impl Open {
    /// Opens and locks a table of ours, if it is as we know it.
    pub fn of(table: &Table, lock: u32) -> Option<Open> {
        Open::extended(table, lock).filter(|open| open.is_no_more_than(table))
    }

    /// The same for a table to which somebody may have added: columns behind ours, policies for its rows.
    pub fn extended(table: &Table, lock: u32) -> Option<Open> {
        if let Some(open) = Open::remembered(table, lock) {
            return Some(open);
        }
        // SAFETY: both names are C strings that outlive the call; where there is no such table the answer is an invalid
        // oid. The relation stays open, and so its descriptor valid, until this value is dropped or the subtransaction
        // rolled back.
        let open = unsafe {
            let name = pg_sys::makeRangeVar(SCHEMA.as_ptr().cast_mut(), table.name.as_ptr().cast_mut(), -1);
            let missing_ok = pg_sys::RVROption::RVR_MISSING_OK;
            let oid =
                pg_sys::RangeVarGetRelidExtended(name, lock as pg_sys::LOCKMODE, missing_ok, None, ptr::null_mut());
            if oid == pg_sys::InvalidOid {
                return None;
            }
            Open(pg_sys::table_open(oid, pg_sys::NoLock as pg_sys::LOCKMODE))
        };
        // Read under the lock: what was changed before has been told by now, and nothing is changed while it is held.
        let count = invalidation::count();
        if !open.is_as_known(table) {
            return None;
        }
        table.oid.store(open.oid(), Ordering::Relaxed);
        table.as_of.store(count, Ordering::Relaxed);
        Some(open)
    }

    /// The same for the table that was last found, if nothing has changed since: neither its columns nor its name.
    fn remembered(table: &Table, lock: u32) -> Option<Open> {
        let (oid, as_of) = (table.oid.load(Ordering::Relaxed), table.as_of.load(Ordering::Relaxed));
        if oid == 0 || invalidation::count() != as_of {
            return None;
        }
        // SAFETY: gives NULL where there is no such table any more; else as in `of`.
        let relation = unsafe { pg_sys::try_table_open(oid.into(), lock as pg_sys::LOCKMODE) };
        let open = (!relation.is_null()).then(|| Open(relation))?;
        // Asked again under the lock, with which the messages came.
        (invalidation::count() == as_of).then_some(open)
    }

    /// The table's oid.
    pub fn oid(&self) -> u32 {
        // SAFETY: the relation is open.
        unsafe { (*self.0).rd_id }.to_u32()
    }

    /// Whether the table has only the columns that we know, and shows us all of its rows.
    pub fn is_no_more_than(&self, table: &Table) -> bool {
        // SAFETY: the relation is open.
        unsafe {
            let attributes = PgTupleDesc::from_pg_unchecked((*self.0).rd_att);
            attributes.len() == table.columns.len() && !(*(*self.0).rd_rel).relrowsecurity
        }
    }

    /// Whether the table is a plain one that begins with the columns that we know.
    fn is_as_known(&self, table: &Table) -> bool {
        let columns = table.columns;
        // SAFETY: the relation is open; the descriptor has natts attributes.
        unsafe {
            let relation = &*self.0;
            let form = &*relation.rd_rel;
            let attributes = PgTupleDesc::from_pg_unchecked(relation.rd_att);
            form.relkind == pg_sys::RELKIND_RELATION as core::ffi::c_char
                && form.relispartition == table.is_partition
                && attributes.len() >= columns.len()
                && attributes.iter().zip(columns).all(|(attribute, (name, oid))| {
                    !attribute.attisdropped
                        && attribute.attgenerated == 0
                        && is_type(attribute.atttypid, *oid)
                        && CStr::from_ptr(attribute.attname.data.as_ptr()) == *name
                })
        }
    }

    /// The relation, for as long as this lives.
    pub fn relation(&self) -> pg_sys::Relation {
        self.0
    }

    /// An index by its name.
    pub fn index(&self, name: &CStr) -> Option<pg_sys::Oid> {
        // SAFETY: a catalog look-up by a C string.
        let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), (*(*self.0).rd_rel).relnamespace) };
        (oid != pg_sys::InvalidOid).then_some(oid)
    }

    /// Whether an open index is one of this table's that can be relied on, and begins with these columns in rising order.
    pub fn is_indexed_by(&self, index: pg_sys::Relation, columns: &[usize]) -> bool {
        // SAFETY: the relation is an index, so it has this form, and an attribute number and an option for each of its
        // key columns.
        unsafe {
            let form = &*(*index).rd_index;
            form.indrelid == (*self.0).rd_id
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

    /// Whether a changed row sets nothing else in motion.
    pub fn takes_rows_silently(&self) -> bool {
        // SAFETY: the relation is open.
        unsafe { (*self.0).trigdesc.is_null() && (*self.0).rd_rules.is_null() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // While an error unwinds, the rollback closes it: closing may raise, and a second error would abort.
        if !std::thread::panicking() {
            // SAFETY: opened by `of`, closed once.
            unsafe { pg_sys::table_close(self.0, pg_sys::NoLock as pg_sys::LOCKMODE) };
        }
    }
}

/// Whether a column's type is the one that we know.
fn is_type(is: pg_sys::Oid, wanted: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up.
    is == wanted || (wanted == ENUM && unsafe { pg_sys::type_is_enum(is) })
}

impl Value {
    /// The datum for a column of this type.
    ///
    /// # Safety
    /// For a label the type is an enum.
    pub unsafe fn datum(&self, column: pg_sys::Oid) -> Option<pg_sys::Datum> {
        match self {
            Value::Null => None,
            Value::Datum(datum) => Some(*datum),
            // SAFETY: enum_in takes a C string and the enum's oid; it raises where there is no such label.
            Value::Label(label) => unsafe {
                let arguments = [Some(label.as_ptr().into()), Some(column.into())];
                pgrx::direct_function_call_as_datum(pg_sys::enum_in, &arguments)
            },
        }
    }
}

/// A row that was found.
pub struct Found {
    pub columns: Vec<Option<pg_sys::Datum>>,
    /// Whether it stays what it is should this transaction be undone.
    pub is_settled: bool,
}

/// The row whose column number `column`, the first of `index`, is `key`, as it is now, whatever the caller's snapshot
/// sees; `None` where there is none, or where it takes a statement to tell.
pub fn find(table: &Table, index: &CStr, column: i16, key: Text) -> Option<Found> {
    let open = Open::of(table, pg_sys::AccessShareLock)?;
    // SAFETY: the index is the table's own; the scan key compares a text column for equality, in the collation "C"
    // that ScanKeyInit sets and the index has. The snapshot is registered for as long as the scan lasts, or until the
    // subtransaction is rolled back. Values are copied out of the buffer before the scan ends.
    unsafe {
        let index = open.index(index)?;
        let mut scan_key = pg_sys::ScanKeyData::default();
        let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
        pg_sys::ScanKeyInit(&mut scan_key, column, equal, pg_sys::Oid::from(pg_sys::F_TEXTEQ), key.datum());
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let scan = pg_sys::systable_beginscan(open.0, index, true, snapshot, 1, &mut scan_key);
        let tuple = pg_sys::systable_getnext(scan);
        let found = (!tuple.is_null()).then(|| Found {
            columns: columns_of(pg_sys::heap_copytuple(tuple), (*open.0).rd_att),
            is_settled: !pg_sys::TransactionIdIsCurrentTransactionId((*(*tuple).t_data).t_choice.t_heap.t_xmin),
        });
        pg_sys::systable_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        found
    }
}

/// A tuple's values.
///
/// # Safety
/// The tuple is one of the descriptor's, in memory that outlives the values.
unsafe fn columns_of(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc) -> Vec<Option<pg_sys::Datum>> {
    // SAFETY: both arrays have an entry for each attribute.
    unsafe {
        let count = (*descriptor).natts as usize;
        let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); count], vec![false; count]);
        pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        values.into_iter().zip(nulls).map(|(value, is_null)| (!is_null).then_some(value)).collect()
    }
}

/// Raises 40001 where the server has doomed this SERIALIZABLE transaction, as the next write to the table would.
pub fn raise_if_doomed(table: &Table) {
    let Some(open) = Open::of(table, pg_sys::RowExclusiveLock) else { return };
    // SAFETY: what heap_insert asks before it writes; the relation is open. No Rust value is in the closure's way.
    unsafe {
        let relation = open.0;
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            bare::CheckForSerializableConflictIn(relation, ptr::null(), pg_sys::InvalidBlockNumber)
        });
    }
}

/// The next value of a sequence of ours.
pub fn next_value(sequence: &CStr) -> i64 {
    // SAFETY: the names are static C strings; nextval_oid takes a regclass and answers an int8, or raises.
    unsafe {
        let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), false);
        let oid = pg_sys::get_relname_relid(sequence.as_ptr(), schema);
        pgrx::direct_function_call::<i64>(pg_sys::nextval_oid, &[Some(oid.into())]).unwrap_or_default()
    }
}
