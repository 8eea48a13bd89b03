//! Each state is visited, and each run followed to its end, without the checker and its short cuts.

use foreman_model::{Bounds, Protocol, State, Step, Twist};
use stateright::{Checker, Model, Representative};
use std::collections::{HashMap, HashSet};

const BOUNDS: Bounds = Bounds { workers: 2, jobs: 1, max_attempts: 2, twists: 1, of: Twist::ALL };

/// Where a walk is with a state.
#[derive(PartialEq)]
enum Visit {
    /// Some of what comes after it is still to be visited.
    Open,
    Done,
}

fn steps(protocol: &Protocol, state: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    protocol.actions(state, &mut steps);
    steps
}

/// All states that can be reached, none of them from itself.
fn walk(protocol: &Protocol) -> HashMap<State, Visit> {
    let mut visits = HashMap::new();
    let mut path = Vec::new();
    for state in protocol.init_states() {
        visits.insert(state.clone(), Visit::Open);
        path.push((steps(protocol, &state), state));
    }
    while let Some((left, state)) = path.last_mut() {
        let Some(step) = left.pop() else {
            visits.insert(state.clone(), Visit::Done);
            path.pop();
            continue;
        };
        let next = protocol.next_state(state, step).expect("only steps that can be made are named");
        match visits.get(&next) {
            Some(Visit::Done) => {}
            Some(Visit::Open) => panic!("{step:?} leads back to {next:?}"),
            None => {
                visits.insert(next.clone(), Visit::Open);
                path.push((steps(protocol, &next), next));
            }
        }
    }
    visits
}

#[test]
fn each_run_has_an_end_and_there_each_job_has_ended() {
    let protocol = Protocol::sound(BOUNDS);
    let states = walk(&protocol);
    let ends: Vec<&State> = states.keys().filter(|state| steps(&protocol, state).is_empty()).collect();
    assert!(ends.len() > 100, "{} of {}", ends.len(), states.len());
    assert!(ends.iter().all(|state| state.seen.jobs.iter().all(|job| job.has_ended())));
}

#[test]
fn no_state_is_taken_for_another() {
    let protocol = Protocol::sound(BOUNDS);
    let states = walk(&protocol);
    let kinds: HashSet<State> = states.keys().map(Representative::representative).collect();
    let checker = protocol.checker().symmetry().spawn_dfs().join();
    println!("{} states of {} kinds", states.len(), kinds.len());
    assert_eq!(checker.unique_state_count(), kinds.len());
}
