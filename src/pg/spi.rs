//! Statements of ours: text that never changes, parameters that are bound, plans kept for the session.
//!
//! pgrx's own client decides by itself when a statement is read-only and then misses what the same transaction
//! wrote outside of the subtransaction; here each statement sees all that went before it.

use super::datum::{Array, Date, Jsonb, Text, Timestamptz, Uuid, server_text};
use super::{lock_timeout, planner};
use core::ffi::{CStr, c_char, c_int};
use pgrx::pg_sys;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A connection to SPI, open for as long as `connect`'s closure runs.
pub struct Connection {
    /// Whether all statements see the snapshot in force, and so nothing that this transaction writes after it.
    keeps_snapshot: bool,
}

/// Runs `work` connected. An error that unwinds leaves the connection to the server, whose rollback of the
/// subtransaction closes it: closing it then would close the caller's.
pub fn connect<R>(work: impl FnOnce(&Connection) -> R) -> R {
    // SAFETY: balanced by SPI_finish below, or by the rollback of the guard's subtransaction.
    unsafe { pg_sys::SPI_connect() };
    let result = work(&Connection { keeps_snapshot: false });
    // SAFETY: the connection on top is ours, since every other user of SPI balances its own.
    unsafe { pg_sys::SPI_finish() };
    result
}

/// The same for what only reads: all of it sees the snapshot in force, as the statements of a STABLE function do.
pub fn connect_to_read<R>(work: impl FnOnce(&Connection) -> R) -> R {
    connect(|_| work(&Connection { keeps_snapshot: true }))
}

/// Takes a snapshot, and has it in force for all of the work.
pub fn in_one_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: in a transaction; popped below, or by the rollback of the guard's subtransaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = work();
    // SAFETY: what was pushed on top of it is gone, since everybody balances his own.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// The same in a procedure that may end transactions, which ends the present one after the work.
pub fn connect_and_commit<R>(work: impl FnOnce(&Connection) -> R) -> R {
    // SAFETY: as in `connect`. The server raises where the present transaction is not ours to end; SPI_commit begins the
    // next one, in which the connection goes on.
    unsafe {
        pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as c_int);
        let result = work(&Connection { keeps_snapshot: false });
        pg_sys::SPI_commit();
        pg_sys::SPI_finish();
        result
    }
}

/// A statement of ours, planned once a session.
pub struct Statement {
    sql: &'static CStr,
    arguments: &'static [pg_sys::Oid],
    options: c_int,
    by_index: bool,
    plan: AtomicPtr<pg_sys::_SPI_plan>,
}

impl Statement {
    /// A statement whose plan does not depend on its parameters' values. The server is told so: left to itself it
    /// plans `id = ANY ($1)` anew for each call, which took two thirds of one.
    pub const fn new(sql: &'static CStr, arguments: &'static [pg_sys::Oid]) -> Self {
        let options = pg_sys::CURSOR_OPT_GENERIC_PLAN as c_int;
        Self { sql, arguments, options, by_index: false, plan: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The same for a statement that is to go by indexes however few rows there were when it was planned.
    pub const fn by_index(sql: &'static CStr, arguments: &'static [pg_sys::Oid]) -> Self {
        Self { by_index: true, ..Self::new(sql, arguments) }
    }

    /// A statement that is planned anew for each call, since which of its conditions count depends on the
    /// parameters.
    pub const fn planned_each_time(sql: &'static CStr, arguments: &'static [pg_sys::Oid]) -> Self {
        Self { options: pg_sys::CURSOR_OPT_CUSTOM_PLAN as c_int, ..Self::new(sql, arguments) }
    }

    /// The session's plan, made on first use.
    fn plan(&self) -> pg_sys::SPIPlanPtr {
        let kept = self.plan.load(Ordering::Relaxed);
        if !kept.is_null() {
            return kept;
        }
        // SAFETY: text and types are static; a failed prepare raises or answers NULL, which SPI_keepplan
        // is not given. The kept plan lives as long as the backend and is replanned by the server as needed.
        unsafe {
            let plan = pg_sys::SPI_prepare_cursor(
                self.sql.as_ptr(),
                self.arguments.len() as c_int,
                self.arguments.as_ptr().cast_mut(),
                self.options,
            );
            let status = pg_sys::SPI_result;
            assert!(!plan.is_null(), "SPI_prepare_cursor answered {status}");
            pg_sys::SPI_keepplan(plan);
            self.plan.store(plan, Ordering::Relaxed);
            plan
        }
    }
}

/// A parameter that can be bound.
pub trait Bind {
    /// The datum, `None` for NULL.
    fn bind(&self) -> Option<pg_sys::Datum>;
}

impl<T: Bind> Bind for Option<T> {
    fn bind(&self) -> Option<pg_sys::Datum> {
        self.as_ref().and_then(Bind::bind)
    }
}

macro_rules! bind_by {
    ($($type:ty => $datum:expr),* $(,)?) => {
        $(impl Bind for $type {
            fn bind(&self) -> Option<pg_sys::Datum> {
                let convert: fn($type) -> pg_sys::Datum = $datum;
                Some(convert(*self))
            }
        })*
    };
}

bind_by! {
    i64 => pg_sys::Datum::from,
    i32 => pg_sys::Datum::from,
    bool => pg_sys::Datum::from,
    f64 => |value| pg_sys::Datum::from(value.to_bits()),
    Text => Text::datum,
    Jsonb => Jsonb::datum,
    Timestamptz => Timestamptz::datum,
    Uuid => Uuid::datum,
    Date => |date| pg_sys::Datum::from(date.0),
    Array => Array::datum,
}

impl Bind for &str {
    fn bind(&self) -> Option<pg_sys::Datum> {
        Some(Text::from_utf8(self).datum())
    }
}

impl Connection {
    /// Runs a statement of ours and gives its rows.
    pub fn run(&self, statement: &Statement, parameters: &[&dyn Bind]) -> Rows {
        debug_assert_eq!(parameters.len(), statement.arguments.len());
        // For each run: the server makes a plan anew when it likes.
        let _switches = statement.by_index.then(planner::by_index);
        self.execute(statement.plan(), parameters.iter().map(|p| p.bind()), 0)
    }

    /// Runs a plan with its parameters bound, for at most `limit` rows (0: all).
    pub(super) fn execute(
        &self,
        plan: pg_sys::SPIPlanPtr,
        parameters: impl Iterator<Item = Option<pg_sys::Datum>>,
        limit: i64,
    ) -> Rows {
        lock_timeout::become_setting();
        let (mut datums, mut nulls) = (Vec::new(), Vec::new());
        for parameter in parameters {
            nulls.push(if parameter.is_some() { b' ' } else { b'n' } as c_char);
            datums.push(parameter.unwrap_or(pg_sys::Datum::null()));
        }
        // SAFETY: both arrays have an entry for each of the plan's parameters. Where it is not read-only each statement
        // gets a snapshot of its own under READ COMMITTED and sees what this transaction wrote.
        unsafe {
            let (datums, nulls, limit) = (datums.as_mut_ptr(), nulls.as_ptr(), limit as core::ffi::c_long);
            let status = pg_sys::SPI_execute_plan(plan, datums, nulls, self.keeps_snapshot, limit);
            assert!(status >= 0, "SPI_execute_plan answered {status}");
            Rows { table: pg_sys::SPI_tuptable, processed: pg_sys::SPI_processed as usize, status }
        }
    }
}

/// The rows of a statement, valid until the connection closes.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    processed: usize,
    status: c_int,
}

impl Rows {
    /// Rows given or, where the statement gives none, rows changed.
    pub fn processed(&self) -> usize {
        self.processed
    }

    /// Whether the statement gives rows at all.
    pub fn has_columns(&self) -> bool {
        !self.table.is_null()
    }

    /// Whether what ran was a plain SELECT.
    pub fn is_select(&self) -> bool {
        self.status == pg_sys::SPI_OK_SELECT as c_int
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let count = if self.table.is_null() { 0 } else { self.processed };
        (0..count).map(|index| Row { rows: self, index })
    }

    /// The first row, if there is one.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }
}

/// One row. Columns count from 1, as SPI's do, and are of the types that our own SQL text says.
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

impl Row<'_> {
    /// A column's datum, `None` for NULL; it lives in the connection's memory.
    fn datum(&self, column: c_int) -> Option<pg_sys::Datum> {
        let mut is_null = false;
        // SAFETY: the table lives until the connection closes and has `processed` rows.
        let datum = unsafe {
            let table = self.rows.table;
            pg_sys::SPI_getbinval(*(*table).vals.add(self.index), (*table).tupdesc, column, &mut is_null)
        };
        (!is_null).then_some(datum)
    }

    /// A `bigint` column.
    pub fn bigint(&self, column: c_int) -> Option<i64> {
        self.datum(column).map(|datum| datum.value() as i64)
    }

    /// An `integer` column.
    pub fn integer(&self, column: c_int) -> Option<i32> {
        self.datum(column).map(|datum| datum.value() as i32)
    }

    /// An `oid` or `xid` column.
    pub fn number(&self, column: c_int) -> Option<u32> {
        self.datum(column).map(|datum| datum.value() as u32)
    }

    /// A `double precision` column.
    pub fn double(&self, column: c_int) -> Option<f64> {
        self.datum(column).map(|datum| f64::from_bits(datum.value() as u64))
    }

    /// A `timestamptz` column.
    pub fn time(&self, column: c_int) -> Option<Timestamptz> {
        self.bigint(column).map(Timestamptz::at)
    }

    /// A `boolean` column; NULL counts as false.
    pub fn boolean(&self, column: c_int) -> bool {
        self.datum(column).is_some_and(|datum| datum.value() != 0)
    }

    /// Any column as the server writes it, in UTF-8 and cut at 64 kB.
    pub fn text(&self, column: c_int) -> Option<String> {
        // SAFETY: as in `datum`; SPI_getvalue answers NULL or a C string in the connection's memory.
        unsafe {
            let table = self.rows.table;
            let value = pg_sys::SPI_getvalue(*(*table).vals.add(self.index), (*table).tupdesc, column);
            (!value.is_null()).then(|| server_text(CStr::from_ptr(value).to_bytes(), 64 * 1024))
        }
    }

    /// A `jsonb` column, copied to where the connection was opened, so that it outlives it.
    pub fn jsonb(&self, column: c_int) -> Option<Jsonb> {
        // SAFETY: the column is a varlena, and the connection is open.
        self.datum(column).map(|datum| unsafe { Jsonb::from_raw(pg_sys::SPI_datumTransfer(datum, false, -1)) })
    }

    /// A column of `timestamptz[]` without NULLs, in microseconds since 2000-01-01 UTC.
    pub fn times(&self, column: c_int) -> Option<Vec<i64>> {
        // SAFETY: an array whose elements are stored as those of a bigint[] are.
        self.datum(column).and_then(|datum| unsafe { pgrx::FromDatum::from_datum(datum, false) })
    }

    /// The whole row as JSON text, in the server's encoding, keys in the order of the columns.
    pub(super) fn json_text(&self) -> &CStr {
        // SAFETY: blessing gives the row's type an id, which row_to_json looks up; it answers a text, never
        // NULL. All of it lives in the connection's memory, as does this row.
        unsafe {
            let table = self.rows.table;
            let descriptor = pg_sys::BlessTupleDesc((*table).tupdesc);
            let row = pg_sys::heap_copy_tuple_as_datum(*(*table).vals.add(self.index), descriptor);
            let json = pgrx::direct_function_call_as_datum(pg_sys::row_to_json, &[Some(row)]);
            CStr::from_ptr(pg_sys::text_to_cstring(json.unwrap_or(pg_sys::Datum::null()).cast_mut_ptr()))
        }
    }
}
