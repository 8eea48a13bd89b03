//! Whether trying again can help, and how long to wait before.

use super::attempt::Failure;
use crate::guc;
use crate::pg::xact;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Trying the call again may help.
    Again,
    /// Only redoing the caller's whole transaction may help.
    WholeTransaction,
    /// Nothing of ours helps.
    Final,
}

/// Judges a failed attempt, whose subtransaction is rolled back already.
pub fn judge(failure: &Failure) -> Verdict {
    match failure.sqlstate().as_str() {
        "40P01" if is_hopeless(failure) => Verdict::WholeTransaction,
        "40P01" | "55P03" => Verdict::Again,
        // A new snapshot is needed, and only a new transaction has one.
        "40001" => Verdict::WholeTransaction,
        _ => Verdict::Final,
    }
}

/// Whether the caller's own transaction holds a lock that the deadlock was about: then a session of its cycle
/// still waits for us although our subtransaction has let go of its locks. Any other session that waits for us
/// is an innocent bystander. The cycle's pids are among the numbers in the detail, in every language.
fn is_hopeless(failure: &Failure) -> bool {
    let detail = failure.facts().detail.as_deref().unwrap_or_default();
    let mut pids: Vec<i32> =
        detail.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().any(xact::waits_for_us)
}

/// The wait after `attempts` failed ones: doubling, a quarter up or down at random, so that two that met once
/// do not meet again.
pub fn pause(attempts: u32) -> Duration {
    let doubled = guc::retry_base_delay().saturating_mul(1 << (attempts - 1).min(16));
    let random = RandomState::new().hash_one(attempts) % 1000;
    doubled.mul_f64(0.75 + random as f64 / 2000.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_doubled_pause_stays_within_a_quarter() {
        for random in [0u64, 999] {
            let factor = 0.75 + random as f64 / 2000.0;
            assert!((0.75..1.25).contains(&factor));
        }
    }
}
