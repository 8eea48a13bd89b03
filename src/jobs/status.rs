//! The states of a job, and the one table of what may follow what.

use std::ffi::CStr;
use std::fmt;

/// A state, as `foreman.job_status` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

use Status::{Cancelled, Completed, Failed, Pending, Running};

/// What may follow each state. A job whose owner drives it himself goes straight from pending to its end.
const TRANSITIONS: [(Status, &[Status]); 5] = [
    (Pending, &[Running, Completed, Failed, Cancelled]),
    (Running, &[Pending, Completed, Failed, Cancelled]),
    (Completed, &[]),
    (Failed, &[Pending]),
    (Cancelled, &[Pending]),
];

impl Status {
    /// The names of all states, in the order of the type.
    pub const NAMES: [&str; 5] = ["pending", "running", "completed", "failed", "cancelled"];

    /// The states in which a job has ended.
    pub const ENDS: &[Status] = &[Completed, Failed, Cancelled];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The name as the server's own functions take it.
    pub fn label(self) -> &'static CStr {
        [c"pending", c"running", c"completed", c"failed", c"cancelled"][self as usize]
    }

    /// The state of this name.
    pub fn of_name(name: &str) -> Option<Status> {
        TRANSITIONS.into_iter().map(|(status, _)| status).find(|status| status.name() == name)
    }

    /// What may follow.
    pub fn next(self) -> &'static [Status] {
        TRANSITIONS[self as usize].1
    }

    /// The states that this one may follow.
    pub fn previous(self) -> impl Iterator<Item = Status> {
        TRANSITIONS.into_iter().filter(move |(_, next)| next.contains(&self)).map(|(status, _)| status)
    }

    /// Whether a job in this state has ended.
    pub fn is_final(self) -> bool {
        Self::ENDS.contains(&self)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_stands_at_its_own_place_in_the_table() {
        for (place, (status, _)) in TRANSITIONS.into_iter().enumerate() {
            assert_eq!(status as usize, place);
            assert_eq!(Status::of_name(status.name()), Some(status));
            assert_eq!(status.label().to_str(), Ok(status.name()));
        }
    }

    #[test]
    fn a_completed_job_stays_completed() {
        assert!(Completed.next().is_empty());
    }
}
