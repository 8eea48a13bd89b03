//! The one envelope: a JSON object with a status, made from a result or from an error.

use crate::error::{Code, Error, sqlstate_text};
use crate::guc;
use crate::pg::datum::Jsonb;
use crate::pg::document::{self, Member};
use crate::pg::error_context::Facts;
use pgrx::PgSqlErrorCode;
use serde_json::Value;
use std::time::Duration;

/// A reply under construction: its fields, and perhaps an object that the server made.
///
/// What is jsonb already stays as it is and never becomes text: a payload comes back equal.
#[derive(Debug)]
pub struct Reply {
    fields: Vec<(&'static str, Member)>,
    body: Option<Jsonb>,
}

/// The circumstances of a call that its reply tells.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// How often the call was tried, the last time included.
    pub attempts: u32,
    /// Whether the caller has a transaction block open.
    pub in_transaction: bool,
    /// Whether only redoing the caller's transaction helps.
    pub whole_transaction: bool,
    /// Whether the server has doomed the caller's transaction.
    pub transaction_doomed: bool,
    /// Whether the failed statement was the caller's own, who may know what it says.
    pub callers_statement: bool,
    /// How long the call took, attempts and waits included.
    pub took: Duration,
}

impl Reply {
    /// A reply with this status and nothing else yet.
    pub fn with_status(status: &str) -> Self {
        Self { fields: Vec::new(), body: None }.field("status", status)
    }

    /// The call did what it was asked.
    pub fn success() -> Self {
        Self::with_status("success")
    }

    /// The call did nothing, as asked.
    pub fn skipped(reason: &str) -> Self {
        Self::with_status("skipped").field("reason", reason)
    }

    /// A document that is handed on as it is.
    pub fn verbatim(document: Jsonb) -> Self {
        Self { fields: Vec::new(), body: Some(document) }
    }

    /// Adds a field.
    pub fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, Member::Value(value.into())));
        self
    }

    /// Adds the fields of another reply, its status left out.
    pub fn with_fields_of(mut self, other: Reply) -> Self {
        self.fields.extend(other.fields.into_iter().filter(|(name, _)| *name != "status"));
        self
    }

    /// The sum of the fields that are whole numbers.
    pub fn total(&self) -> i64 {
        let number = |member: &Member| match member {
            Member::Value(value) => value.as_i64(),
            _ => None,
        };
        self.fields.iter().filter_map(|(_, member)| number(member)).sum()
    }

    /// Adds a field if there is a value.
    pub fn optional(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Adds a list as a field.
    pub fn list(self, name: &'static str, members: Vec<Member>) -> Self {
        self.member(name, Member::Array(members))
    }

    /// Adds a document as a field.
    pub fn document(self, name: &'static str, document: Jsonb) -> Self {
        self.member(name, Member::Document(document))
    }

    /// Adds a member of any kind.
    pub fn member(mut self, name: &'static str, member: Member) -> Self {
        self.fields.push((name, member));
        self
    }

    /// Adds the fields of an object that the server made.
    pub fn merge(mut self, object: Jsonb) -> Self {
        self.body = Some(match self.body {
            Some(body) => body.merge(object),
            None => object,
        });
        self
    }

    /// The reply as the caller gets it.
    pub fn into_jsonb(self) -> Jsonb {
        match self.body {
            Some(body) if self.fields.is_empty() => body,
            Some(body) => body.merge(document::object(&self.fields)),
            None => document::object(&self.fields),
        }
    }

    /// Completes the reply of a call that did not fail.
    pub fn told(self, circumstances: Circumstances) -> Self {
        if self.fields.is_empty() {
            return self;
        }
        let Circumstances { attempts, callers_statement, took, in_transaction, .. } = circumstances;
        self.optional("attempts", (attempts > 1 || callers_statement).then_some(attempts))
            .optional("duration_ms", callers_statement.then_some(took.as_micros() as f64 / 1000.0))
            .optional("in_transaction", in_transaction.then_some(true))
    }

    /// The reply of a call that failed.
    pub fn error(error: &Error, circumstances: Circumstances) -> Self {
        let code = error.code();
        let reply = Self::with_status("error")
            .field("error_code", code.name())
            .field("http_status", code.http_status())
            .field("sqlstate", error.sqlstate())
            .field("message", message(error))
            .field("retryable", code.retryable() || circumstances.whole_transaction)
            .field("attempts", circumstances.attempts);
        let reply = reply.facts_of(error).scope(code, circumstances).constraint(error, circumstances);
        match error.facts() {
            Some(facts) if guc::debug() => reply.field("debug_details", debug_details(error, facts)),
            _ => reply,
        }
    }

    /// What an error of ours carries besides its message.
    fn facts_of(self, error: &Error) -> Self {
        match error {
            Error::Invalid { argument, got, allowed } => {
                self.field("argument", argument.as_ref()).field("got", got.as_str()).field("allowed", allowed.as_ref())
            }
            Error::Duplicate { job_id, status } => {
                self.field("job_id", *job_id).optional("job_status", status.map(|status| status.name()))
            }
            Error::Transition { job_id, from, to, allowed } => {
                let allowed: Vec<_> = allowed.iter().map(|status| status.name()).collect();
                self.field("job_id", *job_id).field("from", from.name()).field("to", *to).field("allowed", allowed)
            }
            Error::LeaseLost { job_id } => self.field("job_id", *job_id),
            Error::VersionConflict { key, expected, version, value } => {
                let reply =
                    self.field("key", key.as_str()).field("expected_version", *expected).field("version", *version);
                match value {
                    Some(object) => reply.merge(*object),
                    None => reply,
                }
            }
            Error::NotFound { .. }
            | Error::Told { .. }
            | Error::ReadOnly
            | Error::Deadline
            | Error::Parallel
            | Error::NeedsOwnTransaction
            | Error::WaitInTransaction
            | Error::Server(_)
            | Error::Panic(_) => self,
        }
    }

    /// What has to be done again for trying again to help.
    fn scope(self, code: Code, circumstances: Circumstances) -> Self {
        let scope = if circumstances.whole_transaction { "transaction" } else { "call" };
        let retryable = code.retryable() || circumstances.whole_transaction;
        let reply = if retryable { self.field("retry_scope", scope) } else { self };
        let reply = if circumstances.transaction_doomed { reply.field("transaction_usable", false) } else { reply };
        if circumstances.in_transaction { reply.field("in_transaction", true) } else { reply }
    }

    /// Which of the caller's own constraints was violated: the name is no value of anybody's row.
    fn constraint(self, error: &Error, circumstances: Circumstances) -> Self {
        let name = error.facts().and_then(|facts| facts.constraint.as_deref());
        self.optional("constraint", name.filter(|_| circumstances.callers_statement))
    }
}

/// The sentence for people: the server's own only for those who may read it.
pub fn message(error: &Error) -> String {
    match error.facts() {
        Some(facts) if guc::debug() || is_own(facts) => facts.message.clone(),
        _ => error.to_string(),
    }
}

/// Whether an error is one of ours that `foreman.check` or `foreman.on_error` raised inside a statement.
fn is_own(facts: &Facts) -> bool {
    sqlstate_text(facts.sqlstate).starts_with("JF")
}

/// `debug_details`: what the server said, for those who may know.
fn debug_details(error: &Error, facts: &Facts) -> Value {
    let kind = exception_type(error, facts);
    [
        ("exception_type", Some(&kind)),
        ("exception_message", Some(&facts.message)),
        ("detail", facts.detail.as_ref()),
        ("hint", facts.hint.as_ref()),
        ("context", facts.context.as_ref()),
        ("schema", facts.schema.as_ref()),
        ("table", facts.table.as_ref()),
        ("column", facts.column.as_ref()),
        ("constraint", facts.constraint.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), text?.as_str().into())))
    .collect::<serde_json::Map<_, _>>()
    .into()
}

/// The server's name for the condition, such as `deadlock_detected`; a SQLSTATE that it has no name for as it is.
fn exception_type(error: &Error, facts: &Facts) -> String {
    if matches!(error, Error::Panic(_)) {
        return "rust_panic".to_owned();
    }
    let known = PgSqlErrorCode::from(facts.sqlstate as isize);
    if known as isize == facts.sqlstate as isize {
        let name = format!("{known:?}").to_lowercase();
        let name = name.strip_prefix("errcode_").unwrap_or(&name);
        name.strip_prefix("t_r_").unwrap_or(name).to_owned()
    } else {
        sqlstate_text(facts.sqlstate)
    }
}
