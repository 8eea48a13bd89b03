//! Every way a call can fail, and what each becomes: a code, an HTTP status, a SQLSTATE, whether trying again helps.

use crate::jobs::status::Status;
use crate::pg::datum::Jsonb;
use crate::pg::error_context::Facts;
use std::borrow::Cow;

/// The stable codes of the public contract, as `foreman.error_codes` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    DbConnectionError,
    DbQueryError,
    DbTimeoutError,
    InvalidParams,
    NotFound,
    DuplicateEntry,
    InternalError,
    Unauthorized,
    DbDeadlock,
    InvalidTransition,
    LeaseLost,
    VersionConflict,
    QueueFull,
    ReadOnly,
}

impl Code {
    /// All codes; a code's place is its index in the counters.
    pub const ALL: [Code; 14] = [
        Code::DbConnectionError,
        Code::DbQueryError,
        Code::DbTimeoutError,
        Code::InvalidParams,
        Code::NotFound,
        Code::DuplicateEntry,
        Code::InternalError,
        Code::Unauthorized,
        Code::DbDeadlock,
        Code::InvalidTransition,
        Code::LeaseLost,
        Code::VersionConflict,
        Code::QueueFull,
        Code::ReadOnly,
    ];

    /// The name that replies carry.
    pub fn name(self) -> &'static str {
        match self {
            Code::DbConnectionError => "DB_CONNECTION_ERROR",
            Code::DbQueryError => "DB_QUERY_ERROR",
            Code::DbTimeoutError => "DB_TIMEOUT_ERROR",
            Code::InvalidParams => "INVALID_PARAMS",
            Code::NotFound => "NOT_FOUND",
            Code::DuplicateEntry => "DUPLICATE_ENTRY",
            Code::InternalError => "INTERNAL_ERROR",
            Code::Unauthorized => "UNAUTHORIZED",
            Code::DbDeadlock => "DB_DEADLOCK",
            Code::InvalidTransition => "INVALID_TRANSITION",
            Code::LeaseLost => "LEASE_LOST",
            Code::VersionConflict => "VERSION_CONFLICT",
            Code::QueueFull => "QUEUE_FULL",
            Code::ReadOnly => "READ_ONLY",
        }
    }

    /// What an HTTP endpoint in front of the call would answer.
    pub fn http_status(self) -> i32 {
        match self {
            Code::DbConnectionError | Code::DbDeadlock | Code::ReadOnly => 503,
            Code::DbQueryError | Code::InternalError => 500,
            Code::DbTimeoutError => 408,
            Code::InvalidParams => 400,
            Code::NotFound => 404,
            Code::Unauthorized => 401,
            Code::DuplicateEntry | Code::InvalidTransition | Code::LeaseLost | Code::VersionConflict => 409,
            Code::QueueFull => 429,
        }
    }

    /// Whether the same call may succeed later.
    pub fn retryable(self) -> bool {
        matches!(self, Code::DbConnectionError | Code::DbTimeoutError | Code::DbDeadlock | Code::QueueFull)
    }

    /// The SQLSTATE of errors that are ours and no server error's: class `JF`.
    pub fn own_sqlstate(self) -> &'static str {
        match self {
            Code::DbConnectionError => "JF001",
            Code::DbQueryError => "JF002",
            Code::DbTimeoutError => "JF003",
            Code::InvalidParams => "JF004",
            Code::NotFound => "JF005",
            Code::DuplicateEntry => "JF006",
            Code::InternalError => "JF007",
            Code::Unauthorized => "JF008",
            Code::DbDeadlock => "JF009",
            Code::InvalidTransition => "JF010",
            Code::LeaseLost => "JF011",
            Code::VersionConflict => "JF012",
            Code::QueueFull => "JF013",
            Code::ReadOnly => "JF014",
        }
    }

    /// The code of this name.
    pub fn of_name(name: &str) -> Option<Code> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// What is said of a server error whose own words stay hidden.
    fn public_message(self) -> &'static str {
        match self {
            Code::DbConnectionError => "The database is not available.",
            Code::DbQueryError => "The database could not run the statement.",
            Code::DbTimeoutError => "The call did not finish in time.",
            Code::InvalidParams => "A value was refused by the database.",
            Code::NotFound => "There is no such object.",
            Code::DuplicateEntry => "An entry with the same key already exists.",
            Code::InternalError => "An internal error occurred.",
            Code::Unauthorized => "The role lacks a privilege for this.",
            Code::DbDeadlock => "The call conflicted with another session.",
            Code::InvalidTransition => "The job's state does not allow this.",
            Code::LeaseLost => "The lease token is not the job's current one.",
            Code::VersionConflict => "The version is not the expected one.",
            Code::QueueFull => "The queue takes no more jobs.",
            Code::ReadOnly => "The server or the transaction is read-only.",
        }
    }

    /// The code of a server error.
    pub fn of_sqlstate(sqlstate: &str) -> Code {
        let class = sqlstate.get(..2).unwrap_or_default();
        match (class, sqlstate) {
            (_, "40P01" | "40001") => Code::DbDeadlock,
            (_, "55P03" | "57014") => Code::DbTimeoutError,
            (_, "23505" | "23P01") => Code::DuplicateEntry,
            (_, "23502" | "23503" | "23514" | "54000") | ("22", _) => Code::InvalidParams,
            (_, "25006") => Code::ReadOnly,
            (_, "42501") | ("28", _) => Code::Unauthorized,
            (_, "53300" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05") | ("08", _) => Code::DbConnectionError,
            ("XX", _) => Code::InternalError,
            ("JF", _) => {
                Code::ALL.into_iter().find(|code| code.own_sqlstate() == sqlstate).unwrap_or(Code::DbQueryError)
            }
            _ => Code::DbQueryError,
        }
    }
}

/// A failed call. Variants carry facts; sentences are made once, below.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{argument} must be {allowed}, but was {got}.")]
    Invalid { argument: Cow<'static, str>, got: String, allowed: Cow<'static, str> },
    #[error("There is no {kind} {name}.")]
    NotFound { kind: &'static str, name: String },
    #[error("A job with this unique key already exists.")]
    Duplicate { job_id: i64, status: Option<Status> },
    #[error("Job {job_id} is {from} and can't become {to}; {}.", allowed_sentence(allowed))]
    Transition { job_id: i64, from: Status, to: &'static str, allowed: &'static [Status] },
    #[error("The lease token is not the current one of job {job_id}.")]
    LeaseLost { job_id: i64 },
    #[error("Setting {key} has version {version}, not {expected}.")]
    VersionConflict { key: String, expected: i32, version: i32, value: Option<Jsonb> },
    #[error("The server or the transaction is read-only.")]
    ReadOnly,
    #[error("The call did not finish within its time limit.")]
    Deadline,
    #[error("Functions of foreman can't run in a parallel worker: a function that calls one is marked PARALLEL SAFE.")]
    Parallel,
    #[error("Upkeep has to run in a transaction of its own: outside of a transaction block, with autocommit.")]
    NeedsOwnTransaction,
    #[error("wait_for_jobs ends transactions, which it may not do in a transaction block or inside a function.")]
    WaitInTransaction,
    #[error("{message}")]
    Told { code: Code, sqlstate: String, message: String, constraint: Option<String> },
    #[error("{}", Code::of_sqlstate(&sqlstate_text(.0.sqlstate)).public_message())]
    Server(Box<Facts>),
    #[error("{}", Code::InternalError.public_message())]
    Panic(Box<Facts>),
}

impl Error {
    /// An argument that can't be used: what it was, shortened, and what is allowed.
    pub fn invalid(
        argument: impl Into<Cow<'static, str>>,
        got: impl std::fmt::Display,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error::Invalid { argument: argument.into(), got: shown(&got.to_string()), allowed: allowed.into() }
    }

    /// A job that is not there.
    pub fn no_job(job_id: i64) -> Error {
        Error::NotFound { kind: "job", name: job_id.to_string() }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Error::Invalid { .. } => Code::InvalidParams,
            Error::NotFound { .. } => Code::NotFound,
            Error::Duplicate { .. } => Code::DuplicateEntry,
            Error::Transition { .. } => Code::InvalidTransition,
            Error::LeaseLost { .. } => Code::LeaseLost,
            Error::VersionConflict { .. } => Code::VersionConflict,
            Error::ReadOnly => Code::ReadOnly,
            Error::Deadline => Code::DbTimeoutError,
            Error::Parallel | Error::NeedsOwnTransaction | Error::WaitInTransaction => Code::DbQueryError,
            Error::Told { code, .. } => *code,
            Error::Server(facts) => Code::of_sqlstate(&sqlstate_text(facts.sqlstate)),
            Error::Panic(_) => Code::InternalError,
        }
    }

    /// The SQLSTATE: the server's where the error is the server's, else ours.
    pub fn sqlstate(&self) -> String {
        match self {
            Error::Server(facts) | Error::Panic(facts) => sqlstate_text(facts.sqlstate),
            Error::Told { sqlstate, .. } => sqlstate.clone(),
            // As the server would say it, so that whoever catches unique_violation catches it.
            Error::Duplicate { .. } => "23505".to_owned(),
            Error::ReadOnly => "25006".to_owned(),
            Error::Parallel => "25000".to_owned(),
            Error::NeedsOwnTransaction | Error::WaitInTransaction => "25001".to_owned(),
            Error::Invalid { .. }
            | Error::NotFound { .. }
            | Error::Transition { .. }
            | Error::LeaseLost { .. }
            | Error::VersionConflict { .. }
            | Error::Deadline => self.code().own_sqlstate().to_owned(),
        }
    }

    /// What the caller may do about it, where that is no part of the message.
    pub fn hint(&self) -> Option<String> {
        matches!(self, Error::WaitInTransaction).then(|| "CALL it by itself, with autocommit.".to_owned())
    }

    /// What the server said, where the error is the server's or a panic.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Error::Server(facts) | Error::Panic(facts) => Some(facts),
            _ => None,
        }
    }
}

/// A caller's value as a message shows it: cut, without raw control characters, in quotes where it would not be seen.
fn shown(text: &str) -> String {
    let cut: String = shorten(text).chars().flat_map(escaped).collect();
    if text.trim() == text && !text.is_empty() { cut } else { format!("'{cut}'") }
}

/// A character, or what a control character is written as.
fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// Characters of a caller's value that a message repeats.
const SHOWN: usize = 60;

/// A caller's value cut to a length that a message can carry.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The second half of the sentence about a refused transition.
fn allowed_sentence(allowed: &[Status]) -> String {
    if allowed.is_empty() {
        "nothing can follow".to_owned()
    } else {
        format!("allowed: {}", allowed.iter().map(|status| status.name()).collect::<Vec<_>>().join(", "))
    }
}

/// A packed SQLSTATE as its five characters (`unpack_sql_state` of elog.c).
pub fn sqlstate_text(packed: i32) -> String {
    (0..5).map(|place| char::from(((packed >> (6 * place)) & 0x3f) as u8 + b'0')).collect()
}

/// Five characters packed as the server has them (`MAKE_SQLSTATE` of elog.h).
pub fn sqlstate_packed(text: &str) -> i32 {
    text.bytes()
        .take(5)
        .enumerate()
        .map(|(place, byte)| (i32::from(byte.wrapping_sub(b'0')) & 0x3f) << (6 * place))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_survives_packing() {
        for state in ["00000", "40P01", "JF014", "XX000"] {
            assert_eq!(sqlstate_text(sqlstate_packed(state)), state);
        }
    }

    #[test]
    fn each_code_has_a_sqlstate_of_its_own_that_leads_back_to_it() {
        for code in Code::ALL {
            assert_eq!(Code::of_sqlstate(code.own_sqlstate()), code);
        }
    }

    #[test]
    fn failures_of_the_machine_are_never_retryable() {
        for state in ["53100", "53200", "58030", "XX001", "XX002"] {
            assert!(!Code::of_sqlstate(state).retryable(), "{state}");
        }
    }
}
