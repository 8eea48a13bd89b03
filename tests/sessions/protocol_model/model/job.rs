//! A job, its states, and what may follow which.

use super::TokenId;

/// The error of a cancelled job of which neither a reason nor an error is known.
const REQUESTED: &str = "A cancel was requested.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Gone for good.
    Deleted,
}

use Status::{Cancelled, Completed, Deleted, Failed, Pending, Running};

impl Status {
    /// Those that a job can be set to.
    pub const ALL: [Status; 5] = [Pending, Running, Completed, Failed, Cancelled];

    pub fn word(self) -> &'static str {
        match self {
            Pending => "pending",
            Running => "running",
            Completed => "completed",
            Failed => "failed",
            Cancelled => "cancelled",
            Deleted => "deleted",
        }
    }

    pub fn has_ended(self) -> bool {
        matches!(self, Completed | Failed | Cancelled)
    }

    /// What may follow.
    pub(super) fn allows(self, to: Status) -> bool {
        match self {
            Pending => to != Pending,
            Running => to != Running,
            Failed | Cancelled => to == Pending,
            Completed | Deleted => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Job {
    pub queue: usize,
    pub key: Option<u8>,
    pub status: Status,
    pub priority: i64,
    pub attempt: i64,
    pub max_attempts: i64,
    pub payload: u32,
    /// run_at is tomorrow.
    pub tomorrow: bool,
    /// Since when it is ready; none for one that is not due.
    pub ready: Option<u64>,
    /// Of a running job, none where it runs without a claim; of one that ended, the one under which it was ended.
    pub(super) token: Option<TokenId>,
    /// Since when the lease is over.
    pub(super) expired: Option<u64>,
    /// It was made so by hand, and has no length: heartbeats ask for more, and are written into the row.
    pub(super) has_no_length: bool,
    pub(super) cancel: Option<Option<&'static str>>,
    pub worker: Option<String>,
    pub progress: Option<i32>,
    pub result: Option<String>,
    pub error: Option<String>,
    /// Tokens that were given out for it, the latest last.
    pub(super) issued: Vec<TokenId>,
}

impl Job {
    pub fn may_expire(&self) -> bool {
        self.status == Running && self.expired.is_none()
    }

    pub fn may_become_due(&self) -> bool {
        self.status == Pending && self.ready.is_none()
    }

    pub fn cancel_is_requested(&self) -> bool {
        self.status == Running && self.cancel.is_some()
    }

    /// The job waits again, under no lease.
    pub(super) fn wait(&mut self, ready: Option<u64>) {
        self.status = Pending;
        self.ready = ready;
        (self.token, self.expired, self.cancel, self.worker, self.progress) = (None, None, None, None, None);
    }

    pub(super) fn end(&mut self, to: Status, result: Option<String>, error: Option<String>) {
        self.status = to;
        (self.result, self.error) = (result, error);
        (self.ready, self.expired, self.cancel, self.progress) = (None, None, None, None);
    }

    /// Ends as cancelled, as was requested; `said` is the worker's error.
    pub(super) fn end_as_requested(&mut self, said: Option<String>) {
        let reason = self.cancel.flatten().map(str::to_owned);
        self.end(Cancelled, None, reason.or(said).or(Some(REQUESTED.to_owned())));
    }

    pub(super) fn run(&mut self, token: Option<TokenId>, worker: Option<String>) {
        self.status = Running;
        self.attempt += 1;
        (self.token, self.worker, self.ready) = (token, worker, None);
        self.has_no_length = false;
    }
}
