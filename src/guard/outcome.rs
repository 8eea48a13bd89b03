//! What became of a call: counted, logged, and answered or raised.

use super::attempt::{self, Failure};
use super::function::Function;
use super::retry::Verdict;
use crate::error::{Error, sqlstate_packed};
use crate::guc::{self, LogErrors, OnError};
use crate::pg::datum::Jsonb;
use crate::pg::error_context::Facts;
use crate::pg::{log, query_id, raise, xact};
use crate::reply::{self, Circumstances, Reply};
use crate::shared::counters;
use crate::shared::slow_calls::{self, SlowCall};
use std::time::Duration;

/// The end of a call, before it is told.
pub struct Outcome {
    result: Result<Reply, Error>,
    attempts: u32,
    deadlocks: u32,
    /// Until the last attempt began: what the others and the pauses between them took.
    lost: Duration,
    verdict: Verdict,
}

impl Outcome {
    /// The work's own result.
    pub fn of(result: Result<Reply, Error>, attempts: u32) -> Self {
        Self { result, attempts, deadlocks: 0, lost: Duration::ZERO, verdict: Verdict::Final }
    }

    /// An error before or without an attempt.
    pub fn refused(error: Error) -> Self {
        Self::of(Err(error), 1)
    }

    /// A failure that may be the last one.
    pub fn failed(failure: Failure, attempts: u32, verdict: Verdict) -> Self {
        Self { attempts, verdict, ..Self::refused(failure.into_error()) }
    }

    /// The same, with the deadlocks that were seen on the way, and the time that was lost on it.
    pub fn after(self, deadlocks: u32, lost: Duration) -> Self {
        Self { deadlocks, lost, ..self }
    }

    /// Tells the server's log of a failed attempt, without values, as far as `foreman.log_errors` says.
    pub fn log_failure(&mut self, function: Function, attempt: u32) {
        let Err(error) = &self.result else { return };
        let sqlstate = error.sqlstate();
        let serious = sqlstate == "40P01" || matches!(&sqlstate[..2], "XX" | "53" | "58");
        let wanted = match guc::log_errors() {
            LogErrors::Off => false,
            LogErrors::Serious => serious,
            LogErrors::All => true,
        };
        if wanted {
            let what = error.facts().map(|facts| facts.message_id.as_str()).unwrap_or_default();
            log::to_server(format!(
                "foreman.{} failed in attempt {attempt}: {} {sqlstate} {what}",
                function.name(),
                error.code().name()
            ));
        }
    }

    /// Adds the call to the counters; if it was slow, to the slow calls and the server's log.
    pub fn count(&self, function: Function, took: Duration) {
        let code = self.result.as_ref().err().map(Error::code);
        counters::count(function, code, self.attempts - 1, self.deadlocks, took);
        if guc::slow_call_threshold().is_some_and(|threshold| took >= threshold) {
            slow_calls::note(&SlowCall {
                lost: self.lost,
                query_id: if function == Function::Execute {
                    query_id::of_callers_statement()
                } else {
                    query_id::of_session()
                },
                attempts: self.attempts,
                error: code,
                ..SlowCall::ended(function, took)
            });
            let code = code.map_or("no error", |code| code.name());
            log::to_server(format!(
                "slow call: foreman.{} took {} ms in {} attempt(s), {code}",
                function.name(),
                took.as_millis(),
                self.attempts
            ));
        }
    }

    /// Answers the call, or raises its error if the session wants that.
    pub fn answer(self, function: Function, in_transaction: bool, took: Duration) -> Jsonb {
        let circumstances = Circumstances {
            attempts: self.attempts,
            in_transaction,
            whole_transaction: self.verdict == Verdict::WholeTransaction,
            transaction_doomed: self.dooms_transaction(),
            callers_statement: function == Function::Execute,
            took,
        };
        match self.result {
            Ok(reply) => reply.told(circumstances).into_jsonb(),
            Err(error) if function.always_raises() || guc::on_error() == OnError::Raise => {
                raise::raise(facts_to_raise(error, circumstances.callers_statement))
            }
            Err(error) => Reply::error(&error, circumstances).into_jsonb(),
        }
    }

    /// Under SERIALIZABLE another session's commit dooms the transaction, whatever is rolled back; where our own
    /// write met the conflict, it may go on.
    fn dooms_transaction(&self) -> bool {
        matches!(&self.result, Err(error) if error.sqlstate() == "40001")
            && xact::is_serializable()
            && attempt::is_doomed()
    }
}

/// Raises an error of ours where there is no reply.
pub fn raise(error: Error) -> ! {
    raise::raise(facts_to_raise(error, false))
}

/// The error as it is raised: the server's with its SQLSTATE, message and constraint, and more only for those
/// who may know; ours with a class of its own.
fn facts_to_raise(error: Error, callers_statement: bool) -> Facts {
    let own = Facts {
        sqlstate: sqlstate_packed(&error.sqlstate()),
        message: reply::message(&error),
        detail: Some(format!("error_code: {}", error.code().name())),
        hint: error.hint(),
        ..Facts::default()
    };
    match error {
        Error::Server(facts) | Error::Panic(facts) if guc::debug() || callers_statement => *facts,
        Error::Server(facts) => Facts { message: facts.message, constraint: facts.constraint, detail: None, ..own },
        Error::Told { constraint, .. } => Facts { constraint, ..own },
        _ => own,
    }
}
