//! The one way through: every public function runs its work here, and nothing else in this crate catches an error.
//!
//! A call is a subtransaction of its own, tried again on deadlock, bounded in time, and answered with JSON. The
//! caller's transaction stays usable whatever happens in it. What ends the statement or the session by somebody
//! else's will (a cancel, a terminate, a shutdown) passes through as the server raised it.

mod attempt;
mod deadline;
pub mod function;
mod outcome;
mod retry;

use crate::error::{Code, Error};
use crate::guc;
use crate::pg::datum::Jsonb;
use crate::pg::{latch, query_id, xact};
use crate::reply::Reply;
use attempt::{Attempt, Bounds, Failure};
use deadline::Deadline;
use function::{Access, Function};
use outcome::Outcome;
pub use outcome::raise;
use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    /// Calls of ours that are under way in this backend: more than one when a trigger or a statement of
    /// `foreman.execute` calls us.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether the caller of the outermost had a transaction block open.
    static IN_TRANSACTION: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller of the call under way has a transaction block open. Asked before the call's own subtransaction began,
/// inside of which the server can't always tell.
pub fn in_transaction_block() -> bool {
    IN_TRANSACTION.get()
}

/// What a caller may set for one call. `None` is the session's setting.
#[derive(Debug, Default, Clone, Copy)]
pub struct Limits {
    pub max_retries: Option<u32>,
    pub timeout: Option<Duration>,
    /// Bounds one wait for a lock, in milliseconds.
    pub lock_timeout: Option<i32>,
    /// Whether a violated unique key is an answer and no error.
    pub skip_duplicates: bool,
}

impl Limits {
    /// Whether the caller wants this failure as an answer.
    fn skips(&self, failure: &Failure) -> bool {
        self.skip_duplicates && failure.code() == Code::DuplicateEntry
    }
}

/// The answer to a violated unique key that is no error.
fn skipped(failure: &Failure) -> Reply {
    Reply::skipped("duplicate").optional("constraint", failure.facts().constraint.as_deref())
}

/// Runs `work` under the guard and answers its reply, or the reply of its failure.
pub fn run(function: Function, work: impl Fn() -> Result<Reply, Error>) -> Jsonb {
    run_within(function, || Ok(Limits::default()), work)
}

/// The same with limits of the call's own, whose check may itself fail.
pub fn run_within(
    function: Function,
    limits: impl FnOnce() -> Result<Limits, Error>,
    work: impl Fn() -> Result<Reply, Error>,
) -> Jsonb {
    let call = Call::begin(function);
    let outcome = match limits() {
        Ok(limits) => call.carry_out(limits, &work),
        Err(error) => Outcome::refused(error),
    };
    call.answer(outcome)
}

/// Runs a step of a call's work in a subtransaction of its own, so that a lock that it can't have, in time or for a
/// deadlock, costs only the step. Other failures are the whole call's.
pub fn apart(step: impl Fn() -> Result<Reply, Error>) -> Result<Reply, Error> {
    match attempt::attempt(None, &step) {
        Attempt::Ended(result) => result,
        Attempt::Failed(failure) if failure.is_deadlock() || failure.sqlstate() == "55P03" => Err(failure.into_error()),
        Attempt::Failed(failure) => failure.pass_on(),
    }
}

/// Runs a step of a call's work that may fail for itself alone, in a subtransaction of its own and with a bound for its
/// waits for locks. A cancel is the whole call's. In recovery, where none is opened, so is every failure.
pub fn probe<T>(lock_timeout: i32, step: impl Fn() -> T) -> Result<T, Error> {
    if xact::in_recovery() {
        return Ok(step());
    }
    let result = Cell::new(None);
    let bounds = Bounds { deadline: Deadline::of_another(), lock_timeout: Some(lock_timeout) };
    let work = || {
        result.set(Some(step()));
        Ok(Reply::success())
    };
    match attempt::attempt(Some(&bounds), &work) {
        Attempt::Ended(Ok(_)) => result.take().ok_or(Error::Deadline),
        Attempt::Ended(Err(error)) => Err(error),
        Attempt::Failed(failure) if failure.sqlstate() == "57014" => failure.pass_on(),
        Attempt::Failed(failure) => Err(failure.into_error()),
    }
}

/// Runs a step of the background worker's in a transaction that it has begun: tried once, and bounded as a call is, or by
/// a limit of its own. A cancel passes through.
pub fn step(
    lock_timeout: i32,
    limit: Option<Duration>,
    work: impl Fn() -> Result<Reply, Error>,
) -> Result<Reply, Error> {
    let bounds = Bounds { deadline: Deadline::from_now(limit), lock_timeout: Some(lock_timeout) };
    match attempt::attempt(Some(&bounds), &work) {
        Attempt::Ended(result) => result,
        Attempt::Failed(failure) if failure.is_somebody_elses_cancel() => failure.pass_on(),
        Attempt::Failed(failure) => Err(failure.into_error()),
    }
}

/// A call under way.
struct Call {
    function: Function,
    started: Instant,
    in_transaction: bool,
    /// Whether another call of ours is around this one.
    nested: bool,
    /// Of the statement that a call around this one runs.
    outer_query_id: i64,
}

impl Call {
    /// Enters the guard.
    fn begin(function: Function) -> Self {
        let depth = DEPTH.get();
        DEPTH.set(depth + 1);
        let in_transaction = xact::in_transaction_block();
        if depth == 0 {
            IN_TRANSACTION.set(in_transaction);
        }
        let outer_query_id = query_id::set_callers_statement(0);
        Call { function, started: Instant::now(), in_transaction, nested: depth > 0, outer_query_id }
    }

    /// Chooses how the work may be run where we are.
    fn carry_out(&self, limits: Limits, work: &dyn Fn() -> Result<Reply, Error>) -> Outcome {
        if xact::in_parallel_mode() {
            return Outcome::refused(Error::Parallel);
        }
        if xact::in_recovery() {
            return self.on_standby(work);
        }
        if self.nested { self.inside_another(limits, work) } else { self.with_retries(limits, work) }
    }

    /// In recovery no subtransaction is opened: a recovery conflict inside one would end the session. Server
    /// errors are raised as they are.
    fn on_standby(&self, work: &dyn Fn() -> Result<Reply, Error>) -> Outcome {
        match self.function.access() {
            Access::Write => Outcome::refused(Error::ReadOnly),
            Access::Read => Outcome::of(work(), 1),
        }
    }

    /// Under another call of ours the outer one's deadline and retries hold: what only a retry of the whole can
    /// mend goes up to it.
    fn inside_another(&self, limits: Limits, work: &dyn Fn() -> Result<Reply, Error>) -> Outcome {
        match attempt::attempt(None, work) {
            Attempt::Ended(result) => Outcome::of(result, 1),
            Attempt::Failed(failure) if failure.concerns_outermost() => failure.pass_on(),
            Attempt::Failed(failure) if limits.skips(&failure) => Outcome::of(Ok(skipped(&failure)), 1),
            Attempt::Failed(failure) => {
                let mut outcome = Outcome::refused(failure.into_error());
                outcome.log_failure(self.function, 1);
                outcome
            }
        }
    }

    /// The outermost call: tries until the work ends, trying again can't help, or the time is used up.
    fn with_retries(&self, limits: Limits, work: &dyn Fn() -> Result<Reply, Error>) -> Outcome {
        let bounds = Bounds {
            deadline: Deadline::from_now(limits.timeout),
            lock_timeout: limits.lock_timeout.or_else(guc::lock_timeout),
        };
        let max_retries = limits.max_retries.unwrap_or_else(guc::max_retries);
        let (mut deadlocks, mut lost) = (0, Duration::ZERO);
        for attempts in 1.. {
            let failure = match attempt::attempt(Some(&bounds), work) {
                Attempt::Ended(result) => return Outcome::of(result, attempts).after(deadlocks, lost),
                Attempt::Failed(failure) if failure.is_somebody_elses_cancel() => failure.pass_on(),
                Attempt::Failed(failure) => failure,
            };
            deadlocks += u32::from(failure.is_deadlock());
            if limits.skips(&failure) {
                return Outcome::of(Ok(skipped(&failure)), attempts).after(deadlocks, lost);
            }
            let verdict = retry::judge(&failure);
            let mut outcome = Outcome::failed(failure, attempts, verdict).after(deadlocks, lost);
            outcome.log_failure(self.function, attempts);
            match verdict {
                retry::Verdict::Again if attempts <= max_retries => match bounds.deadline.share(retry::pause(attempts))
                {
                    Some(pause) => {
                        latch::wait(pause);
                        lost = self.started.elapsed();
                    }
                    None => return outcome,
                },
                _ => return outcome,
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Counts the call, tells the log if it was slow, and turns the outcome into the answer.
    fn answer(&self, outcome: Outcome) -> Jsonb {
        let took = self.started.elapsed();
        outcome.count(self.function, took);
        outcome.answer(self.function, self.in_transaction, took)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
        query_id::set_callers_statement(self.outer_query_id);
    }
}
