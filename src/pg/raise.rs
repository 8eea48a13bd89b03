//! Raises an error with the fields that pgrx's report lacks: any SQLSTATE, constraint, table, schema, column.
//!
//! pgrx reports at the function's edge, after our frames are gone. A callback on the error context stack, run
//! by the server while the report is being made, adds the rest.

use super::compat::bare;
use super::error_context::Facts;
use core::ffi::{c_int, c_void};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_guard, pg_sys};
use std::cell::RefCell;
use std::ffi::CString;
use std::ptr;

/// What the callback adds; left here by `raise` for the report that follows at once.
#[derive(Default)]
struct Pending {
    sqlstate: Option<i32>,
    fields: Vec<(c_int, CString)>,
    context: Option<CString>,
    callback: Option<Box<pg_sys::ErrorContextCallback>>,
    /// All that was said, for a guard further out that catches the error before it is reported.
    facts: Option<Facts>,
}

thread_local! {
    static PENDING: RefCell<Pending> = RefCell::new(Pending::default());
}

/// Raises an ERROR as `facts` say. DETAIL, HINT and CONTEXT are shown as far as they are there.
pub fn raise(facts: Facts) -> ! {
    let said = facts.clone();
    let c_string = |text: String| CString::new(text).unwrap_or_default();
    let fields = [
        (pg_sys::PG_DIAG_SCHEMA_NAME, facts.schema),
        (pg_sys::PG_DIAG_TABLE_NAME, facts.table),
        (pg_sys::PG_DIAG_COLUMN_NAME, facts.column),
        (pg_sys::PG_DIAG_CONSTRAINT_NAME, facts.constraint),
    ]
    .into_iter()
    .filter_map(|(field, text)| text.map(|text| (field as c_int, c_string(text))))
    .collect();
    // SAFETY: the callback is boxed and kept in PENDING until the next `raise`; whoever handles the error sets
    // the stack back to below it, as the server's PG_TRY and pgrx's guard do.
    unsafe {
        let mut callback = Box::new(pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(complete),
            arg: ptr::null_mut(),
        });
        pg_sys::error_context_stack = &raw mut *callback;
        PENDING.replace(Pending {
            sqlstate: Some(facts.sqlstate),
            fields,
            context: facts.context.map(c_string),
            callback: Some(callback),
            facts: Some(said),
        });
    }
    let mut report = ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, facts.message, "pg_foreman");
    if let Some(detail) = facts.detail {
        report = report.set_detail(detail);
    }
    if let Some(hint) = facts.hint {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// What was raised and then caught, without having been reported: pgrx's report of it lacks the SQLSTATE.
pub fn caught() -> Option<Facts> {
    PENDING.with_borrow_mut(|pending| pending.facts.take())
}

/// Adds what is pending to the report that is being made, once.
#[pg_guard]
unsafe extern "C-unwind" fn complete(_unused: *mut c_void) {
    let pending = PENDING.with_borrow_mut(|pending| {
        let callback = pending.callback.take();
        let taken = std::mem::take(pending);
        // The server still holds its address until the error is handled.
        pending.callback = callback;
        taken
    });
    // SAFETY: called by errfinish, where these functions fill in the error being reported and copy the texts.
    unsafe {
        if let Some(sqlstate) = pending.sqlstate {
            bare::errcode(sqlstate);
        }
        for (field, text) in &pending.fields {
            pg_sys::err_generic_string(*field, text.as_ptr());
        }
        if let Some(context) = &pending.context {
            bare::errcontext_msg(c"%s".as_ptr(), context.as_ptr());
        }
    }
}
