//! A statement of the caller's: parsed, refused where it can't run in a subtransaction, its parameters' types
//! inferred as the extended protocol does, its rows made JSON.
//!
//! Texts of the caller's stay in the server's memory, whose lack is an error: that of Rust's would end the process.

use super::datum::{Jsonb, server_text};
use super::jsonb::{self, Kind, Value};
use super::lock_timeout;
use super::query_id;
use super::spi::{Connection, Rows};
use core::ffi::{CStr, c_char, c_int};
use pgrx::{PgList, StringInfo, direct_function_call_as_datum, pg_sys};
use std::ptr;

/// Why a text is not one statement that we run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Empty,
    Several,
    TransactionControl,
    Copy,
    LockTimeout,
    ParameterCount { wanted: usize },
}

/// The caller's statement, planned, with its parameters' types.
pub struct CallersStatement {
    plan: pg_sys::SPIPlanPtr,
    types: Vec<pg_sys::Oid>,
}

impl CallersStatement {
    /// Parses and plans. `connection` must stay open while the plan is used.
    pub fn prepare(_: &Connection, sql: &CStr) -> Result<Self, Refusal> {
        // Planning may call functions of the caller's.
        lock_timeout::become_setting();
        // SAFETY: the parse trees live in the connection's memory. parse_analyze_varparams scribbles on the
        // tree it is given, which nobody uses afterwards.
        unsafe {
            let trees = PgList::<pg_sys::RawStmt>::from_pg(pg_sys::pg_parse_query(sql.as_ptr()));
            let tree = match trees.len() {
                0 => return Err(Refusal::Empty),
                1 => trees.get_ptr(0).ok_or(Refusal::Empty)?,
                _ => return Err(Refusal::Several),
            };
            match (*(*tree).stmt).type_ {
                pg_sys::NodeTag::T_TransactionStmt => return Err(Refusal::TransactionControl),
                pg_sys::NodeTag::T_CopyStmt => return Err(Refusal::Copy),
                pg_sys::NodeTag::T_VariableSetStmt if sets_lock_timeout((*tree).stmt) => {
                    return Err(Refusal::LockTimeout);
                }
                _ => {}
            }
            let mut types: *mut pg_sys::Oid = ptr::null_mut();
            let mut count: c_int = 0;
            let query = pg_sys::parse_analyze_varparams(tree, sql.as_ptr(), &mut types, &mut count, ptr::null_mut());
            query_id::set_callers_statement(i64::from_ne_bytes((*query).queryId.to_ne_bytes()));
            let types =
                if count == 0 { Vec::new() } else { std::slice::from_raw_parts(types, count as usize).to_vec() };
            if let Some(place) = types.iter().position(|oid| *oid == pg_sys::InvalidOid) {
                pgrx::ereport!(
                    ERROR,
                    pgrx::PgSqlErrorCode::ERRCODE_INDETERMINATE_DATATYPE,
                    format!("could not determine data type of parameter ${}", place + 1)
                );
            }
            let plan = pg_sys::SPI_prepare(sql.as_ptr(), count, types.as_ptr().cast_mut());
            let status = pg_sys::SPI_result;
            assert!(!plan.is_null(), "SPI_prepare answered {status}");
            Ok(Self { plan, types })
        }
    }

    /// Runs the statement with the members of the JSON array `parameters` bound in order. A SELECT stops after
    /// `limit` rows; what changes rows always runs to its end.
    pub fn run(&self, connection: &Connection, parameters: Jsonb, limit: i64) -> Result<Rows, Refusal> {
        let values: Vec<Value> = jsonb::members(parameters).map(|(_, value)| value).collect();
        if values.len() != self.types.len() {
            return Err(Refusal::ParameterCount { wanted: self.types.len() });
        }
        let datums: Vec<_> = values.iter().zip(&self.types).map(|(value, oid)| typed(value, *oid)).collect();
        Ok(connection.execute(self.plan, datums.into_iter(), if self.is_plain_select() { limit } else { 0 }))
    }

    /// Whether stopping early loses nothing but rows: a SELECT that changes none itself.
    fn is_plain_select(&self) -> bool {
        // SAFETY: the plan is alive; SPI_is_cursor_plan reads it.
        unsafe {
            let sources = PgList::<pg_sys::CachedPlanSource>::from_pg(pg_sys::SPI_plan_get_plan_sources(self.plan));
            sources.len() == 1
                && sources.get_ptr(0).is_some_and(|source| {
                    (*source).commandTag == pg_sys::CommandTag::CMDTAG_SELECT && !changes_rows((*source).query_list)
                })
        }
    }
}

/// Whether one of the queries has a data-modifying WITH, or calls a function that may change rows.
///
/// # Safety
/// `queries` is a list of `Query`.
unsafe fn changes_rows(queries: *mut pg_sys::List) -> bool {
    // SAFETY: the caller's; the walk only reads the tree.
    unsafe {
        PgList::<pg_sys::Query>::from_pg(queries)
            .iter_ptr()
            .any(|query| (*query).hasModifyingCTE || pg_sys::contain_volatile_functions(query.cast()))
    }
}

/// Whether a SET is of the one setting that the guard has set for the call, whose end would undo it without a word.
///
/// # Safety
/// `statement` is a `VariableSetStmt`.
unsafe fn sets_lock_timeout(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: the caller's; the name is NULL for RESET ALL.
    unsafe {
        let name = (*statement.cast::<pg_sys::VariableSetStmt>()).name;
        !name.is_null() && CStr::from_ptr(name).to_bytes().eq_ignore_ascii_case(b"lock_timeout")
    }
}

/// The JSON value as a datum of type `oid`, through that type's input function.
fn typed(value: &Value, oid: pg_sys::Oid) -> Option<pg_sys::Datum> {
    if value.kind() == Kind::Null {
        // A domain may forbid NULL, which its input function is asked even then.
        input(oid, ptr::null_mut());
        return None;
    }
    if oid == pg_sys::JSONBOID {
        return Some(value.to_jsonb().datum());
    }
    // SAFETY: a catalog look-up; InvalidOid for what is no array.
    let element = unsafe { pg_sys::get_element_type(oid) };
    let text = match value.kind() {
        Kind::Array if element != pg_sys::InvalidOid => {
            array_literal(value, element == pg_sys::JSONOID || element == pg_sys::JSONBOID)
        }
        Kind::String if oid != pg_sys::JSONOID => copy(value.string_bytes().unwrap_or_default()),
        _ => json_text(value.to_jsonb()),
    };
    Some(input(oid, text.as_ptr().cast_mut()))
}

/// What a type's input function makes of a C string, or of NULL.
fn input(oid: pg_sys::Oid, text: *mut c_char) -> pg_sys::Datum {
    let (mut function, mut io_parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: a type's input function takes a C string or NULL, its io parameter and a type modifier.
    unsafe {
        pg_sys::getTypeInputInfo(oid, &mut function, &mut io_parameter);
        pg_sys::OidInputFunctionCall(function, text, io_parameter, -1)
    }
}

/// A JSON array as an array literal, in the server's encoding: members quoted, nested arrays as dimensions. Where the
/// elements are JSON themselves, each member is one.
fn array_literal<'a>(array: &Value, of_json: bool) -> &'a CStr {
    let mut literal = StringInfo::new();
    write_array(&mut literal, array, of_json);
    literal.push_bytes(b"\0");
    // SAFETY: the buffer ends with a NUL, and its memory stays when it is let go: the memory context's.
    unsafe { CStr::from_ptr(literal.into_char_ptr()) }
}

/// Appends an array literal.
fn write_array(literal: &mut StringInfo, array: &Value, of_json: bool) {
    // SAFETY: raises where the stack is nearly used up, as the server's own recursive functions do.
    unsafe { pg_sys::check_stack_depth() };
    literal.push_str("{");
    for (index, (_, member)) in jsonb::members_of(array).enumerate() {
        if index > 0 {
            literal.push_str(",");
        }
        match member.kind() {
            _ if of_json => quote_into(literal, json_text(member.to_jsonb()).to_bytes()),
            Kind::Null => literal.push_str("NULL"),
            Kind::Array => write_array(literal, &member, false),
            Kind::String => quote_into(literal, member.string_bytes().unwrap_or_default()),
            _ => quote_into(literal, json_text(member.to_jsonb()).to_bytes()),
        }
    }
    literal.push_str("}");
}

/// Quotes a member of an array literal. Backslash and quote are single bytes in every server encoding.
fn quote_into(literal: &mut StringInfo, member: &[u8]) {
    literal.push_str("\"");
    for piece in member.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
        // Each piece but the last ends with the byte that needs a backslash before it.
        match piece.split_last() {
            Some((last @ (b'"' | b'\\'), rest)) => {
                literal.push_bytes(rest);
                literal.push_bytes(&[b'\\', *last]);
            }
            _ => literal.push_bytes(piece),
        }
    }
    literal.push_str("\"");
}

/// A C string of these bytes in the current memory context.
fn copy<'a>(bytes: &[u8]) -> &'a CStr {
    // SAFETY: pointer and length are of one slice; the server copies it and ends it with a NUL. A jsonb string has
    // none inside.
    unsafe { CStr::from_ptr(pg_sys::pnstrdup(bytes.as_ptr().cast(), bytes.len())) }
}

/// A jsonb's text in the server's encoding: of a number its digits, of a boolean its word.
fn json_text<'a>(document: Jsonb) -> &'a CStr {
    // SAFETY: jsonb_out takes a jsonb and answers a C string in the current memory context.
    unsafe {
        let datum = direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(document.datum())]);
        CStr::from_ptr(datum.unwrap_or(pg_sys::Datum::null()).cast_mut_ptr::<c_char>())
    }
}

/// The first `limit` rows as a JSON array, copied to where the connection was opened.
pub fn rows_as_json(rows: &Rows, limit: usize) -> Jsonb {
    let mut array = StringInfo::new();
    array.push_str("[");
    for (index, row) in rows.iter().take(limit).enumerate() {
        if index > 0 {
            array.push_str(",");
        }
        array.push_bytes(row.json_text().to_bytes());
    }
    array.push_str("]");
    array.push_bytes(b"\0");
    // SAFETY: jsonb_in reads a C string, which the buffer is; the result is a varlena, copied outward.
    unsafe {
        let datum = direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(array.as_ptr().into())]);
        Jsonb::from_raw(pg_sys::SPI_datumTransfer(datum.unwrap_or(pg_sys::Datum::null()), false, -1))
    }
}

/// The statement's text as a C string in the server's encoding, in the current memory context.
pub fn text_of<'a>(statement: super::datum::Text) -> &'a CStr {
    // SAFETY: the datum is a text; text_to_cstring answers a C string.
    unsafe { CStr::from_ptr(pg_sys::text_to_cstring(pg_sys::pg_detoast_datum(statement.datum().cast_mut_ptr()))) }
}

/// A short piece of the statement for a message.
pub fn excerpt(statement: &CStr, limit: usize) -> String {
    server_text(statement.to_bytes(), limit)
}
