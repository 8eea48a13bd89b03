//! No job is hidden by the floor that claims walk from; and where the claims make a mistake, the checker finds one that is.

use foreman_model::walks::{AT_LAST, FOUND_ONCE, Mistake, NOT_HIDDEN, Twist, WITHOUT_LOOKING_BACK, Walks, events};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

const PROMISES: [&str; 4] = [NOT_HIDDEN, FOUND_ONCE, AT_LAST, WITHOUT_LOOKING_BACK];

/// What may happen, and how many states there are at least.
type Size = (Walks, usize);

const fn walks(jobs: usize, claims: usize, twists: u8, of: &'static [Twist]) -> Walks {
    Walks { jobs, claims, twists, of, mistake: Mistake::Nothing }
}

const SMALL: [Size; 2] = [(walks(2, 2, 0, &[]), 200_000), (walks(2, 1, 2, Twist::ALL), 300_000)];

/// Minutes in a release build.
const LARGE: [Size; 2] = [(walks(2, 2, 1, Twist::ALL), 2_000_000), (walks(2, 1, 3, Twist::ALL), 500_000)];

fn all_promises_are_kept((walks, least): Size) {
    let start = Instant::now();
    let checker = walks.checker().threads(2).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{walks:?}: {states} states in {:?}", start.elapsed());
    assert!(states >= least, "{states} states: what is left out?");
    for promise in PROMISES {
        checker.assert_no_discovery(promise);
    }
    for event in events(&walks) {
        assert!(checker.discovery(event.name).is_some(), "never: {}, within {walks:?}", event.name);
    }
}

#[test]
fn no_job_that_was_told_of_is_hidden_and_each_is_claimed() {
    SMALL.into_iter().for_each(all_promises_are_kept);
}

#[test]
#[ignore = "minutes long: make test-long"]
fn more_of_everything_hides_no_job() {
    LARGE.into_iter().for_each(all_promises_are_kept);
}

/// The checker finds a run in which the mistake hides a job.
fn hides_a_job(mistake: Mistake, of: &'static [Twist]) {
    let walks = Walks { mistake, ..walks(2, 2, 1, of) };
    let checker = walks.checker().finish_when(HasDiscoveries::AnyOf([NOT_HIDDEN].into())).spawn_bfs().join();
    let path = checker.discovery(NOT_HIDDEN).unwrap_or_else(|| panic!("not found: {mistake:?}"));
    println!("{mistake:?}: {:?}", path.into_actions());
}

#[test]
fn arrivals_bound_what_a_claim_clears() {
    hides_a_job(Mistake::ArrivalsIgnored, &[]);
}

#[test]
fn the_snapshot_is_taken_after_the_look() {
    hides_a_job(Mistake::SnapshotBeforeLook, &[]);
}

#[test]
fn nobody_tells_before_the_commit_can_be_seen() {
    hides_a_job(Mistake::ToldBeforeCommit, &[]);
}

#[test]
fn what_is_prepared_is_held() {
    hides_a_job(Mistake::HoldLost, &[Twist::Prepare]);
}

#[test]
fn what_is_prepared_is_held_after_a_crash_too() {
    let walks = Walks { mistake: Mistake::CrashForgets, ..walks(2, 1, 2, &[Twist::Prepare, Twist::Crash]) };
    let checker = walks.checker().finish_when(HasDiscoveries::AnyOf([NOT_HIDDEN].into())).spawn_bfs().join();
    assert!(checker.discovery(NOT_HIDDEN).is_some());
}

#[test]
fn a_claim_does_not_clear_what_it_takes_and_may_give_back() {
    hides_a_job(Mistake::ClearsItsOwn, &[Twist::Abort]);
}
