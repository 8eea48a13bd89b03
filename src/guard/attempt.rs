//! One attempt: a subtransaction, the work in it, and what was caught.

use super::deadline::Deadline;
use crate::error::{Code, Error, sqlstate_text};
use crate::jobs::queue;
use crate::pg::error_context::{self, Facts};
use crate::pg::lock_timeout::{self, Bound};
use crate::pg::{raise, table, timeout};
use crate::reply::Reply;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use std::panic::AssertUnwindSafe;

/// How an attempt ended.
pub enum Attempt {
    /// The work ran to its end: with a reply, and is kept, or with an error of ours, and is rolled back.
    Ended(Result<Reply, Error>),
    /// The server or a panic ended it; it is rolled back.
    Failed(Failure),
}

/// What the outermost call puts on an attempt.
pub struct Bounds {
    pub deadline: Deadline,
    /// Bounds one wait for a lock, in milliseconds.
    pub lock_timeout: Option<i32>,
}

/// An error that was caught.
pub struct Failure {
    facts: Facts,
    /// A Rust panic, and no error of the server's.
    is_panic: bool,
    /// Our deadline's timer raised it.
    by_deadline: bool,
}

/// Where the caller stood before the subtransaction. Both go back, however it ended.
struct Surroundings {
    context: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
}

impl Surroundings {
    /// Reads them.
    fn here() -> Self {
        // SAFETY: read on the backend's one thread.
        unsafe { Self { context: pg_sys::CurrentMemoryContext, owner: pg_sys::CurrentResourceOwner } }
    }

    /// Puts them back.
    fn restore(&self) {
        // SAFETY: both were current one level up when `here` ran, so they outlive the subtransaction, released
        // or rolled back. Assignments can't raise; a backend has one thread.
        unsafe {
            pg_sys::CurrentMemoryContext = self.context;
            pg_sys::CurrentResourceOwner = self.owner;
        }
    }
}

/// Runs `work` in a subtransaction. The outermost call brings its bounds; inside another call, `None`, that one's
/// are in force already.
pub fn attempt(bounds: Option<&Bounds>, work: &dyn Fn() -> Result<Reply, Error>) -> Attempt {
    if bounds.is_some_and(|bounds| bounds.deadline.is_over()) {
        return Attempt::Ended(Err(Error::Deadline));
    }
    // A bound of a call around this one holds after this one, too.
    lock_timeout::become_setting();
    let surroundings = Surroundings::here();
    // SAFETY: we are in a transaction, in neither parallel mode nor recovery. If it raises, nothing was begun.
    unsafe { pg_sys::BeginInternalSubTransaction(std::ptr::null()) };
    surroundings.restore_context();
    let (result, facts) = error_context::watch(|| catching(|| inside(bounds, &surroundings, work)));
    match result {
        Ok(Ok(reply)) => Attempt::Ended(Ok(reply)),
        Ok(Err(error)) => {
            roll_back(&surroundings);
            Attempt::Ended(Err(error))
        }
        Err(caught) => {
            let by_deadline = bounds.is_some() && timeout::fired();
            roll_back(&surroundings);
            Attempt::Failed(Failure::new(&caught, facts, by_deadline))
        }
    }
}

impl Surroundings {
    /// Goes back to the caller's memory context inside the subtransaction, so that results outlive it.
    fn restore_context(&self) {
        // SAFETY: as for `restore`; the resource owner has to stay the subtransaction's.
        unsafe { pg_sys::CurrentMemoryContext = self.context };
    }
}

/// Whether the server has doomed this SERIALIZABLE transaction: asked in a subtransaction that is rolled back.
pub fn is_doomed() -> bool {
    let surroundings = Surroundings::here();
    // SAFETY: as in `attempt`.
    unsafe { pg_sys::BeginInternalSubTransaction(std::ptr::null()) };
    surroundings.restore_context();
    let answer = catching(|| table::raise_if_doomed(&queue::QUEUE));
    roll_back(&surroundings);
    answer.is_err()
}

/// The work itself, and the release, which may raise too.
fn inside(
    bounds: Option<&Bounds>,
    surroundings: &Surroundings,
    work: &dyn Fn() -> Result<Reply, Error>,
) -> Result<Reply, Error> {
    // Dropped before the error is looked at, also when one unwinds: nothing of ours fires later.
    let timer = bounds.and_then(|bounds| bounds.deadline.arm());
    let lock_bound = bounds.and_then(|bounds| bounds.lock_timeout).map(Bound::set);
    let reply = work()?;
    drop(lock_bound);
    drop(timer);
    // SAFETY: the subtransaction that `attempt` began is the current one: whoever began others inside, a
    // PL or another call of ours, has ended them.
    unsafe { pg_sys::ReleaseCurrentSubTransaction() };
    surroundings.restore();
    Ok(reply)
}

/// Undoes what the subtransaction did and frees its locks.
fn roll_back(surroundings: &Surroundings) {
    // SAFETY: as for the release; after an error the subtransaction is still the current one.
    unsafe { pg_sys::RollbackAndReleaseCurrentSubTransaction() };
    surroundings.restore();
}

/// Runs `work` and catches what the server raises and what panics. The only place that does.
#[allow(clippy::disallowed_methods)]
fn catching<R>(work: impl FnOnce() -> R) -> Result<R, Box<CaughtError>> {
    pgrx::PgTryBuilder::new(AssertUnwindSafe(|| Ok(work()))).catch_others(|caught| Err(Box::new(caught))).execute()
}

impl Failure {
    /// Joins what pgrx caught with what the error context saw of the same error.
    fn new(caught: &CaughtError, facts: Option<Facts>, by_deadline: bool) -> Self {
        let report = match caught {
            CaughtError::PostgresError(report)
            | CaughtError::ErrorReport(report)
            | CaughtError::RustPanic { ereport: report, .. } => report,
        };
        let seen = match caught {
            CaughtError::PostgresError(_) => facts,
            CaughtError::ErrorReport(_) => raise::caught(),
            CaughtError::RustPanic { .. } => None,
        };
        // A panic's text may have a NUL in it, for which neither a jsonb nor a C string has a place.
        let text = |text: &str| text.replace('\0', " ");
        let facts = seen.unwrap_or_else(|| Facts {
            sqlstate: report.sql_error_code() as i32,
            message: text(report.message()),
            detail: report.detail().map(text),
            hint: report.hint().map(text),
            ..Facts::default()
        });
        Self { facts, is_panic: matches!(caught, CaughtError::RustPanic { .. }), by_deadline }
    }

    /// What the server said.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The SQLSTATE in five characters.
    pub fn sqlstate(&self) -> String {
        sqlstate_text(self.facts.sqlstate)
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        Code::of_sqlstate(&self.sqlstate())
    }

    /// Whether the server chose us as a deadlock's victim.
    pub fn is_deadlock(&self) -> bool {
        self.sqlstate() == "40P01"
    }

    /// A cancel that is not our deadline's: the user's, or the session's own time-out. Our timer's cancel reads
    /// as a user's, so the untranslated message tells a statement_timeout from it.
    pub fn is_somebody_elses_cancel(&self) -> bool {
        let ours = self.by_deadline
            && matches!(self.facts.message_id.as_str(), "canceling statement due to user request" | "%s" | "");
        self.sqlstate() == "57014" && !ours
    }

    /// What a call inside another one must not answer itself: only the outermost can roll back all of it.
    pub fn concerns_outermost(&self) -> bool {
        matches!(self.sqlstate().as_str(), "40P01" | "55P03" | "40001" | "57014")
    }

    /// Raises it again as it was. Rethrown by pgrx it would lose its constraint and gain a Rust backtrace.
    pub fn pass_on(self) -> ! {
        raise::raise(self.facts)
    }

    /// The failure as an error of the call.
    pub fn into_error(self) -> Error {
        if self.sqlstate() == "57014" {
            Error::Deadline
        } else if self.is_panic {
            Error::Panic(Box::new(self.facts))
        } else {
            Error::Server(Box::new(self.facts))
        }
    }
}
