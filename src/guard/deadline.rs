//! When a call must have ended: by its own limit, and a little before the session's timers would end it.

use crate::guc;
use crate::pg::timeout::{self, Timer};
use crate::pg::xact;
use std::time::Duration;

/// How long before a timer of the session's own we end, so that the caller gets a reply and that timer, whose
/// error must not be swallowed, stays armed.
const BEFORE_SESSION: i64 = 50_000;

/// The moment, in microseconds since 2000-01-01 UTC; `None` is no limit.
pub struct Deadline {
    at: Option<i64>,
}

impl Deadline {
    /// The deadline of a call that begins now. `own` overrides `foreman.query_timeout`.
    pub fn from_now(own: Option<Duration>) -> Self {
        let own = own.or_else(guc::query_timeout);
        let session = timeout::session_deadline();
        if own.is_none() && session.is_none() {
            return Deadline { at: None };
        }
        let now = xact::clock();
        let own = own.map(|limit| now.saturating_add(i64::try_from(limit.as_micros()).unwrap_or(i64::MAX)));
        // Where less than twice the margin is left, half of what is left has to do.
        let session = session.map(|at| at - BEFORE_SESSION.min((at - now).max(0) / 2));
        Deadline { at: own.into_iter().chain(session).min() }
    }

    /// For work inside of a call, whose timer is armed already.
    pub fn of_another() -> Self {
        Deadline { at: None }
    }

    /// Arms the server's timer, if there is a limit.
    pub fn arm(&self) -> Option<Timer> {
        self.at.map(Timer::arm)
    }

    /// Whether the moment has come.
    pub fn is_over(&self) -> bool {
        self.at.is_some_and(|at| at <= xact::clock())
    }

    /// `pause`, or half of what is left if that is less, so that another attempt fits in; `None` if nothing is.
    pub fn share(&self, pause: Duration) -> Option<Duration> {
        let Some(at) = self.at else { return Some(pause) };
        let left = u64::try_from(at - xact::clock()).ok().filter(|left| *left > 0)?;
        Some(pause.min(Duration::from_micros(left / 2)))
    }
}
