//! The one envelope: a JSON object with a status, made from a result or from an error.

use crate::error::{Code, Error, sqlstate_text};
use crate::guc;
use crate::pg::datum::Jsonb;
use crate::pg::error_context::Facts;
use pgrx::PgSqlErrorCode;
use std::fmt::Write;
use std::time::Duration;

/// A reply under construction: fields as JSON text, and perhaps a document that the server made.
///
/// What is jsonb already is merged as such and never becomes text: a payload comes back equal.
#[derive(Debug)]
pub struct Reply {
    fields: String,
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
    fn with_status(status: &str) -> Self {
        Self { fields: format!("{{\"status\":\"{status}\""), body: None }
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
        Self { fields: String::new(), body: Some(document) }
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: impl Json) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a field if there is a value.
    pub fn optional(self, name: &str, value: Option<impl Json>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Adds the fields of an object that the server made.
    pub fn merge(mut self, object: Jsonb) -> Self {
        self.body = Some(match self.body {
            Some(body) => body.merge(object),
            None => object,
        });
        self
    }

    /// Adds a field in place.
    fn push(&mut self, name: &str, value: impl Json) {
        let _ = write!(self.fields, ",\"{name}\":");
        value.write(&mut self.fields);
    }

    /// The reply as the caller gets it.
    pub fn into_jsonb(mut self) -> Jsonb {
        if let (Some(document), true) = (self.body, self.fields.is_empty()) {
            return document;
        }
        self.fields.push('}');
        let envelope = Jsonb::parse(&self.fields);
        match self.body {
            Some(body) => body.merge(envelope),
            None => envelope,
        }
    }

    /// Completes the reply of a call that did not fail.
    pub fn told(mut self, circumstances: Circumstances) -> Self {
        if self.fields.is_empty() {
            return self;
        }
        if circumstances.attempts > 1 || circumstances.callers_statement {
            self.push("attempts", i64::from(circumstances.attempts));
        }
        if circumstances.callers_statement {
            self.push("duration_ms", circumstances.took.as_micros() as f64 / 1000.0);
        }
        if circumstances.in_transaction {
            self.push("in_transaction", true);
        }
        self
    }

    /// The reply of a call that failed.
    pub fn error(error: &Error, circumstances: Circumstances) -> Self {
        let code = error.code();
        let reply = Self::with_status("error")
            .field("error_code", code.name())
            .field("http_status", i64::from(code.http_status()))
            .field("sqlstate", error.sqlstate().as_str())
            .field("message", message(error).as_str())
            .field("retryable", code.retryable() || circumstances.whole_transaction)
            .field("attempts", i64::from(circumstances.attempts));
        let reply = reply.facts_of(error).scope(code, circumstances).constraint(error, circumstances);
        match error.facts() {
            Some(facts) if guc::debug() => reply.field("debug_details", Debug(error, facts)),
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
                self.field("job_id", *job_id).field("from", from.name()).field("to", *to).field("allowed", &allowed[..])
            }
            Error::LeaseLost { job_id } => self.field("job_id", *job_id),
            Error::VersionConflict { key, expected, version, value } => {
                let reply = self
                    .field("key", key.as_str())
                    .field("expected_version", i64::from(*expected))
                    .field("version", i64::from(*version));
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

/// What can be a field.
pub trait Json {
    /// Appends the value as JSON text.
    fn write(&self, out: &mut String);
}

macro_rules! json_by_serde {
    ($($type:ty),*) => {
        $(impl Json for $type {
            fn write(&self, out: &mut String) {
                // Plain strings, numbers and lists of them: serde_json has no way to fail on these.
                out.push_str(&serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned()));
            }
        })*
    };
}

json_by_serde!(&str, bool, f64, &[&str], &[i64], serde_json::Value);

impl Json for i64 {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

/// `debug_details`: what the server said, for those who may know.
struct Debug<'a>(&'a Error, &'a Facts);

impl Json for Debug<'_> {
    fn write(&self, out: &mut String) {
        let Debug(error, facts) = self;
        let mut details = serde_json::Map::new();
        let mut add = |name: &str, text: Option<&str>| {
            if let Some(text) = text {
                details.insert(name.to_owned(), text.into());
            }
        };
        add("exception_type", Some(&exception_type(error, facts)));
        add("exception_message", Some(&facts.message));
        add("detail", facts.detail.as_deref());
        add("hint", facts.hint.as_deref());
        add("context", facts.context.as_deref());
        add("schema", facts.schema.as_deref());
        add("table", facts.table.as_deref());
        add("column", facts.column.as_deref());
        add("constraint", facts.constraint.as_deref());
        serde_json::Value::Object(details).write(out);
    }
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
