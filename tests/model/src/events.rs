//! What must be seen to happen, so that the promises are not kept by a model in which nothing does.
//!
//! Each is a step that a state allows and what it would change, so that no state has to carry a record of the past.

use crate::bounds::{Bounds, Twist};
use crate::database::{Answer, Verdict};
use crate::protocol::{Protocol, Step};
use crate::state::{State, Worker};
use stateright::{Model, Property};

/// Those that can happen within the bounds.
pub fn all(bounds: &Bounds) -> Vec<Property<Protocol>> {
    let mut events: Vec<Property<Protocol>> = vec![
        Property::sometimes("a job is completed", |_, state: &State| told(state, Verdict::Complete)),
        Property::sometimes("a job is rescued", |model: &Protocol, state: &State| {
            happens(model, state, Step::Rescue, |next| next.seen.jobs != state.seen.jobs)
        }),
        Property::sometimes("a rescue ends a job whose attempts are used up", |model: &Protocol, state: &State| {
            happens(model, state, Step::Rescue, |next| {
                state.seen.jobs.iter().zip(&next.seen.jobs).any(|(job, next)| !job.has_ended() && next.has_ended())
            })
        }),
        Property::sometimes("a rescue finds its job finished meanwhile", |model: &Protocol, state: &State| {
            happens(model, state, Step::Rescue, |next| next.seen == state.seen)
        }),
        Property::sometimes("a finish is refused", |_, state: &State| answered(state, Answer::LeaseLost)),
        Property::sometimes("a lease past its end is finished", |_, state: &State| {
            state
                .workers
                .iter()
                .filter_map(Worker::held)
                .filter(|held| state.is_current(*held))
                .any(|held| state.seen.jobs[held.job].lease().is_some_and(|lease| lease.until <= state.clock))
        }),
    ];
    if bounds.max_attempts > 1 {
        events.push(Property::sometimes("a job is tried again after a failure", |_, state: &State| {
            state
                .seen
                .jobs
                .iter()
                .any(|job| job.attempts > 1 && job.accepted.iter().any(|a| a.verdict == Verdict::Fail))
        }));
    }
    if bounds.has(Twist::Heartbeat) {
        events.push(Property::sometimes("a rescue finds a lease extended meanwhile", |_, state: &State| {
            state.reading.as_ref().is_some_and(|reading| {
                reading.jobs.iter().any(|job| state.seen.jobs[*job].lease().is_some_and(|l| l.until > reading.at))
            })
        }));
    }
    if bounds.has(Twist::LostReply) {
        events.push(Property::sometimes("a finish that was asked again is answered the same", |_, state: &State| {
            answered(state, Answer::Unchanged)
        }));
    }
    if bounds.has(Twist::Release) {
        events.push(Property::sometimes("a job is given back", |_, state: &State| told(state, Verdict::Release)));
    }
    if bounds.has(Twist::StepBack) {
        events.push(Property::sometimes("the clock is behind the beginning of a lease", |_, state: &State| {
            state.seen.jobs.iter().filter_map(|job| job.lease()).any(|lease| lease.since > state.clock)
        }));
    }
    if bounds.has(Twist::Crash) {
        events.push(Property::sometimes("a crash loses a claim", |model: &Protocol, state: &State| {
            happens(model, state, Step::Crash, |next| loses_a_claim(state, next))
        }));
    }
    if bounds.has(Twist::FailOver) {
        events.push(Property::sometimes(
            "a failover loses a claim that was flushed",
            |model: &Protocol, state: &State| {
                state.seen == state.flushed && happens(model, state, Step::FailOver, |next| loses_a_claim(state, next))
            },
        ));
        events.push(Property::sometimes("a failover loses what was answered", |model: &Protocol, state: &State| {
            happens(model, state, Step::FailOver, |next| next.told != state.told)
        }));
        events.push(Property::sometimes(
            "a lease that a failover brought back is finished",
            |model: &Protocol, state: &State| {
                happens(model, state, Step::FailOver, |next| {
                    next.workers.iter().filter_map(Worker::held).any(|h| next.is_current(h) && !state.is_current(h))
                })
            },
        ));
    }
    events
}

/// Whether the step can be made in this state, with that outcome.
fn happens(model: &Protocol, state: &State, step: Step, outcome: impl Fn(&State) -> bool) -> bool {
    let mut steps = Vec::new();
    model.actions(state, &mut steps);
    steps.contains(&step) && model.next_state(state, step).is_some_and(|next| outcome(&next))
}

fn told(state: &State, what: Verdict) -> bool {
    state.told.iter().any(|told| matches!(told, crate::state::Told::Finished { verdict, .. } if *verdict == what))
}

fn answered(state: &State, what: Answer) -> bool {
    state.workers.iter().any(|worker| matches!(worker, Worker::Waiting(_, _, answer) if *answer == what))
}

/// A worker had the job, and has no longer, and does not know.
fn loses_a_claim(state: &State, next: &State) -> bool {
    state.workers.iter().filter_map(Worker::held).any(|held| state.is_current(held) && !next.is_current(held))
}
