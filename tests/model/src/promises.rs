//! What must hold in each state, whatever went wrong on the way there.

use crate::database::{Answer, Database, Status, Verdict};
use crate::protocol::Protocol;
use crate::state::{State, Told, Worker};
use stateright::{Model, Property};

pub const FINISHED_ONCE: &str = "no attempt is finished twice";
pub const UNDER_ITS_LEASE: &str = "no finish is accepted under an ended lease";
pub const IS_THERE: &str = "what was answered is there";
pub const NOT_DENIED: &str = "no completion is denied to who made it";
pub const ONE_TOKEN: &str = "no job is run under two current tokens";
pub const IN_TIME: &str = "no lease is rescued before its end";
pub const AT_LAST: &str = "at last each job ends";

pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(FINISHED_ONCE, finished_once),
        Property::always(UNDER_ITS_LEASE, under_its_lease),
        Property::always(IS_THERE, |_, state: &State| state.told.iter().all(|told| is_there(&state.seen, told))),
        Property::always(NOT_DENIED, not_denied),
        Property::always(ONE_TOKEN, one_token),
        Property::always(IN_TIME, |_, state: &State| !state.rescued_early),
        Property::always(AT_LAST, at_last),
    ]
}

/// Whether the tables have what somebody was told.
pub fn is_there(tables: &Database, told: &Told) -> bool {
    match *told {
        Told::Created { job } => tables.jobs[job].status != Status::Absent,
        Told::Finished { job, attempt, verdict } => tables.jobs[job].has_accepted(attempt, verdict),
    }
}

/// Of one attempt at most one finish counts. What a crash or a failover has undone does not: the worker that asks again
/// is right to.
fn finished_once(_: &Protocol, state: &State) -> bool {
    state.seen.jobs.iter().all(|job| {
        let mut by = job.accepted.iter().map(|accepted| accepted.by).collect::<Vec<u8>>();
        by.sort_unstable();
        by.windows(2).all(|pair| pair[0] != pair[1])
    })
}

/// Who finishes an attempt is who made it. A lease ends when it is rescued, finished, released or lost with its claim;
/// one that is past its time and was not rescued has not ended.
fn under_its_lease(_: &Protocol, state: &State) -> bool {
    state.seen.jobs.iter().flat_map(|job| &job.accepted).all(|accepted| accepted.by == accepted.of)
}

/// Asked again, a completion is answered with success.
fn not_denied(_: &Protocol, state: &State) -> bool {
    state.workers.iter().all(|worker| match worker {
        Worker::Waiting(held, Verdict::Complete, Answer::LeaseLost) => {
            !state.seen.jobs[held.job].has_accepted(held.claim.attempt, Verdict::Complete)
        }
        _ => true,
    })
}

fn one_token(_: &Protocol, state: &State) -> bool {
    (0..state.seen.jobs.len()).all(|job| {
        let held = state.workers.iter().filter_map(Worker::held).filter(|held| held.job == job);
        held.filter(|held| state.is_current(*held)).count() <= 1
    })
}

/// Nothing can happen any more, and a job has not ended: then it never will.
fn at_last(protocol: &Protocol, state: &State) -> bool {
    if state.seen.jobs.iter().all(|job| job.has_ended()) {
        return true;
    }
    let mut steps = Vec::new();
    protocol.actions(state, &mut steps);
    !steps.is_empty()
}
