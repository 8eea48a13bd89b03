//! Each promise in each state of the sound protocol, whatever goes wrong. All are checked at once, and once.

use foreman_model::promises::{AT_LAST, FINISHED_ONCE, IN_TIME, IS_THERE, NOT_DENIED, ONE_TOKEN, UNDER_ITS_LEASE};
use foreman_model::{Bounds, Protocol, Twist, events};
use stateright::{Checker, Model};
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

/// What the checker saw within some bounds.
struct Seen {
    bounds: Bounds,
    /// How each came about: a broken promise, or an event.
    found: HashMap<&'static str, String>,
}

/// Bounds, and how many states there are at least within them.
type Size = (Bounds, usize);

/// Any two twists around one job, and what two jobs have to do with each other.
const SMALL: [Size; 2] = [
    (Bounds { workers: 3, jobs: 1, max_attempts: 2, twists: 2, of: Twist::ALL }, 30_000),
    (Bounds { workers: 3, jobs: 2, max_attempts: 1, twists: 1, of: Twist::ALL }, 15_000),
];

/// Two minutes in a release build on two cores, many in another one.
const LARGE: [Size; 4] = [
    (Bounds { workers: 2, jobs: 1, max_attempts: 2, twists: 4, of: Twist::ALL }, 300_000),
    (Bounds { workers: 2, jobs: 1, max_attempts: 3, twists: 3, of: Twist::ALL }, 400_000),
    (Bounds { workers: 3, jobs: 1, max_attempts: 2, twists: 3, of: Twist::ALL }, 250_000),
    (Bounds { workers: 3, jobs: 2, max_attempts: 2, twists: 1, of: Twist::ALL }, 1_400_000),
];

fn see((bounds, least): Size) -> Seen {
    let start = Instant::now();
    let checker = Protocol::sound(bounds).checker().threads(2).symmetry().spawn_dfs().join();
    let states = checker.unique_state_count();
    println!("{bounds:?}: {states} states in {:?}", start.elapsed());
    assert!(states >= least, "{states} states: what is left out?");
    let found = checker.discoveries().into_iter().map(|(name, path)| (name, format!("{:?}", path.into_actions())));
    Seen { bounds, found: found.collect() }
}

static SEEN: LazyLock<Vec<Seen>> = LazyLock::new(|| SMALL.into_iter().map(see).collect());

fn is_kept(promise: &str) {
    for seen in SEEN.iter() {
        if let Some(steps) = seen.found.get(promise) {
            panic!("not so: {promise}, within {:?}: {steps}", seen.bounds);
        }
    }
}

fn events_are_seen(seen: &Seen) {
    for event in events::all(&seen.bounds) {
        assert!(seen.found.contains_key(event.name), "never: {}, within {:?}", event.name, seen.bounds);
    }
}

#[test]
fn no_attempt_is_finished_twice() {
    is_kept(FINISHED_ONCE);
}

#[test]
fn no_finish_is_accepted_under_an_ended_lease() {
    is_kept(UNDER_ITS_LEASE);
}

#[test]
fn what_was_answered_is_there() {
    is_kept(IS_THERE);
}

#[test]
fn no_completion_is_denied_to_who_made_it() {
    is_kept(NOT_DENIED);
}

#[test]
fn no_job_is_run_under_two_current_tokens() {
    is_kept(ONE_TOKEN);
}

#[test]
fn no_lease_is_rescued_before_its_end() {
    is_kept(IN_TIME);
}

#[test]
fn at_last_each_job_ends() {
    is_kept(AT_LAST);
}

#[test]
fn what_can_go_wrong_does() {
    SEEN.iter().for_each(events_are_seen);
}

#[test]
#[ignore = "minutes long: make test-long"]
fn more_of_everything_breaks_no_promise() {
    for size in LARGE {
        let seen = see(size);
        let broken = foreman_model::promises::all().into_iter().find(|promise| seen.found.contains_key(promise.name));
        assert!(broken.is_none(), "within {:?}: {:?}", seen.bounds, seen.found);
        events_are_seen(&seen);
    }
}
