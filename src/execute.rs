//! `foreman.execute`: one statement of the caller's own, under the guard that our own functions have.

use crate::arguments;
use crate::error::Error;
use crate::guard::Limits;
use crate::pg::datum::{Jsonb, Text};
use crate::pg::jsonb::{self, Kind};
use crate::pg::spi;
use crate::pg::statement::{self, CallersStatement, Refusal};
use crate::reply::Reply;
use std::ffi::CStr;

/// Most rows that a reply may carry.
const MAX_ROWS: i64 = 10_000;
/// Longest time limit of one call, in seconds: a day.
const MAX_TIMEOUT: f64 = 86_400.0;
/// Longest statement, in bytes.
const MAX_STATEMENT: usize = 1024 * 1024;

/// The limits that the caller set for this call.
pub fn limits(
    on_duplicate: Option<Text>,
    max_retries: Option<i32>,
    timeout_seconds: Option<f64>,
) -> Result<Limits, Error> {
    let retries = max_retries.map(|n| arguments::within("max_retries", Some(n.into()), 0..=10)).transpose()?;
    Ok(Limits {
        max_retries: retries.and_then(|n| u32::try_from(n).ok()),
        timeout: arguments::seconds("timeout_seconds", timeout_seconds, MAX_TIMEOUT)?,
        lock_timeout: None,
        skip_duplicates: arguments::word("on_duplicate", on_duplicate, &["error", "skip"])? == "skip",
    })
}

/// Runs the statement.
pub fn run(statement: Option<Text>, params: Option<Jsonb>, max_rows: Option<i32>) -> Result<Reply, Error> {
    let max_rows = arguments::within("max_rows", max_rows.map(i64::from), 0..=MAX_ROWS)?;
    let text = statement.ok_or_else(|| Error::invalid("statement", "NULL", ALLOWED))?;
    if text.octets() > MAX_STATEMENT {
        return Err(Error::invalid("statement", format!("{} bytes", text.octets()), "at most 1 MiB of SQL"));
    }
    let params = parameters(params)?;
    let sql = statement::text_of(text);
    let (rows, count, truncated) = spi::connect(|connection| {
        let refuse = |refusal| refused(refusal, sql, params);
        let prepared = CallersStatement::prepare(connection, sql).map_err(refuse)?;
        let rows = prepared.run(connection, params, max_rows + 1).map_err(refuse)?;
        let shown = rows.processed().min(max_rows as usize);
        let truncated = rows.has_columns() && rows.processed() > shown;
        let count = if truncated && rows.is_select() { shown } else { rows.processed() };
        Ok((statement::rows_as_json(&rows, shown), count, truncated))
    })?;
    Ok(Reply::success()
        .field("row_count", count as i64)
        .optional("truncated", truncated.then_some(true))
        .document("rows", rows))
}

/// What a statement has to be.
const ALLOWED: &str = "one SQL statement, no transaction control and no COPY";

/// The parameters: a JSON array.
fn parameters(params: Option<Jsonb>) -> Result<Jsonb, Error> {
    const ALLOWED: &str = "a JSON array, a member for each of $1, $2, ...";
    let params = params.ok_or_else(|| Error::invalid("params", "NULL", ALLOWED))?;
    match jsonb::kind(params) {
        Kind::Array => Ok(params),
        kind => Err(Error::invalid("params", arguments::kind_name(kind), ALLOWED)),
    }
}

/// The error of a statement that is none of ours to run.
fn refused(refusal: Refusal, sql: &CStr, params: Jsonb) -> Error {
    let statement = |what: &str| {
        let text = statement::excerpt(sql, 256);
        Error::invalid("statement", format!("{what}: {text}").trim_end(), ALLOWED)
    };
    match refusal {
        Refusal::Empty => statement("no statement"),
        Refusal::Several => statement("several statements"),
        Refusal::TransactionControl => statement("transaction control"),
        Refusal::Copy => statement("COPY"),
        Refusal::LockTimeout => {
            let text = statement::excerpt(sql, 256);
            Error::invalid(
                "statement",
                text,
                "without SET lock_timeout, which the call has set itself: foreman.lock_timeout",
            )
        }
        Refusal::ParameterCount { wanted } => {
            let got = format!("{} member(s)", jsonb::members(params).count());
            Error::invalid("params", got, format!("an array of {wanted}, as the statement has parameters"))
        }
    }
}
