//! What can happen next, and what comes of it.

use crate::bounds::{Bounds, Twist};
use crate::database::{Answer, Status, Verdict};
use crate::state::{Held, State, Told, Worker};
use crate::variant::Variant;
use crate::{events, promises};
use stateright::{Model, Property};

/// How far the clock goes when it steps: farther than a lease.
const STEP: i8 = 2;

const VERDICTS: [Verdict; 3] = [Verdict::Complete, Verdict::Fail, Verdict::Release];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Create { job: usize },
    Claim { worker: usize, job: usize },
    Heartbeat { worker: usize },
    Finish { worker: usize, verdict: Verdict },
    Hear { worker: usize },
    AskAgain { worker: usize },
    Look,
    Rescue,
    Tick,
    Flush,
    Replicate,
    LoseReply { worker: usize },
    Die { worker: usize },
    StepForward,
    StepBack,
    Crash,
    FailOver,
}

/// The protocol, or a variant of it, within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    pub bounds: Bounds,
    pub variant: Variant,
}

impl Protocol {
    pub fn sound(bounds: Bounds) -> Self {
        Self { bounds, variant: Variant::Sound }
    }

    fn may(&self, state: &State, twist: Twist) -> bool {
        state.twists < self.bounds.twists && self.bounds.has(twist)
    }

    /// What a worker can do, and what can happen to it.
    fn steps_of(&self, state: &State, worker: usize, steps: &mut Vec<Step>) {
        match state.workers[worker] {
            Worker::Idle => {
                let is_pending = |job: &usize| state.seen.jobs[*job].status == Status::Pending;
                steps.extend((0..self.bounds.jobs).filter(is_pending).map(|job| Step::Claim { worker, job }));
            }
            Worker::Working(held) => {
                let may = |verdict: &Verdict| *verdict != Verdict::Release || self.may(state, Twist::Release);
                steps.extend(VERDICTS.into_iter().filter(may).map(|verdict| Step::Finish { worker, verdict }));
                if self.may(state, Twist::Heartbeat) && state.seen.clone().extend(held.job, held.claim, state.clock) {
                    steps.push(Step::Heartbeat { worker });
                }
            }
            Worker::Waiting(..) => {
                steps.push(Step::Hear { worker });
                if self.may(state, Twist::LostReply) {
                    steps.push(Step::LoseReply { worker });
                }
            }
            Worker::Unsure(..) => steps.push(Step::AskAgain { worker }),
        }
        // A worker that was answered has nothing to lose.
        if self.may(state, Twist::Death) && matches!(state.workers[worker], Worker::Working(_) | Worker::Unsure(..)) {
            steps.push(Step::Die { worker });
        }
    }

    /// What goes on in the server, and what can happen to that.
    fn steps_of_server(&self, state: &State, steps: &mut Vec<Step>) {
        let may = |twist| self.may(state, twist);
        match &state.reading {
            Some(_) => steps.push(Step::Rescue),
            None if state.seen.look(state.clock, self.variant).jobs.is_empty() => {}
            None => steps.push(Step::Look),
        }
        let mut push_if = |condition: bool, step: Step| steps.extend(condition.then_some(step));
        // Time matters only while a lease runs, so that is when it passes.
        let leases = || state.seen.jobs.iter().filter_map(|job| job.lease());
        let is_waited_for = leases().any(|lease| lease.until > state.clock);
        push_if(is_waited_for, Step::Tick);
        push_if(is_waited_for && may(Twist::StepForward), Step::StepForward);
        push_if(leases().next().is_some() && may(Twist::StepBack), Step::StepBack);
        push_if(state.seen != state.flushed, Step::Flush);
        push_if(state.flushed != state.replicated, Step::Replicate);
        let is_busy = state.reading.is_some() || state.workers.iter().any(|w| matches!(w, Worker::Waiting(..)));
        push_if(may(Twist::Crash) && (is_busy || state.seen != state.flushed), Step::Crash);
        push_if(may(Twist::FailOver) && (is_busy || state.seen != state.replicated), Step::FailOver);
    }

    /// A worker's finish, first or again: on disk before it is answered.
    fn finish(&self, state: &mut State, worker: usize, held: Held, verdict: Verdict) {
        let answer = state.seen.finish(held.job, held.claim, verdict, self.bounds.max_attempts, self.variant);
        if answer == Answer::Changed {
            state.flushed = state.seen.clone();
        }
        state.workers[worker] = Worker::Waiting(held, verdict, answer);
    }

    fn rescue(&self, state: &mut State) {
        let Some(reading) = state.reading.take() else { return };
        let taken = state.seen.rescue(&reading, self.bounds.max_attempts, self.variant);
        // A clock that was stepped back since the reading has shown what it had shown.
        state.rescued_early |= taken.iter().any(|lease| lease.until > reading.at.max(state.clock));
    }
}

/// The server is gone, with all that was under way in its memory.
fn restart(state: &mut State) {
    state.seen = state.flushed.clone();
    state.reading = None;
    for worker in &mut state.workers {
        if let Worker::Waiting(held, verdict, _) = *worker {
            *worker = Worker::Unsure(held, verdict);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::at_first(&self.bounds)]
    }

    /// Only steps that change something, so that a state without any is the end of a run.
    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let is_absent = |job: &usize| state.seen.jobs[*job].status == Status::Absent;
        steps.extend((0..self.bounds.jobs).filter(is_absent).map(|job| Step::Create { job }));
        (0..self.bounds.workers).for_each(|worker| self.steps_of(state, worker, steps));
        self.steps_of_server(state, steps);
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Create { job } => {
                state.seen.jobs[job].status = Status::Pending;
                state.flushed = state.seen.clone();
                state.tell(Told::Created { job });
            }
            Step::Claim { worker, job } => {
                let claim = state.seen.claim(job, before.fresh(), state.clock, self.variant);
                state.workers[worker] = Worker::Working(Held { job, claim });
            }
            Step::Heartbeat { worker } => {
                let Held { job, claim } = state.workers[worker].held()?;
                state.seen.extend(job, claim, state.clock);
                state.flushed = state.seen.clone();
                state.twists += 1;
            }
            Step::Finish { worker, verdict } => {
                let held = state.workers[worker].held()?;
                state.twists += u8::from(verdict == Verdict::Release);
                self.finish(&mut state, worker, held, verdict);
            }
            Step::Hear { worker } => {
                let Worker::Waiting(Held { job, claim }, verdict, answer) = state.workers[worker] else { return None };
                state.workers[worker] = Worker::Idle;
                if answer != Answer::LeaseLost {
                    state.tell(Told::Finished { job, attempt: claim.attempt, verdict });
                }
            }
            Step::AskAgain { worker } => {
                let Worker::Unsure(held, verdict) = state.workers[worker] else { return None };
                self.finish(&mut state, worker, held, verdict);
            }
            Step::Look => state.reading = Some(state.seen.look(state.clock, self.variant)),
            Step::Rescue => self.rescue(&mut state),
            Step::Tick => state.clock += 1,
            Step::Flush => state.flushed = state.seen.clone(),
            Step::Replicate => state.replicated = state.flushed.clone(),
            Step::LoseReply { worker } => {
                let Worker::Waiting(held, verdict, _) = state.workers[worker] else { return None };
                state.workers[worker] = Worker::Unsure(held, verdict);
                state.twists += 1;
            }
            Step::Die { worker } => {
                state.workers[worker] = Worker::Idle;
                state.twists += 1;
            }
            Step::StepForward => {
                state.clock += STEP;
                state.twists += 1;
            }
            Step::StepBack => {
                state.clock -= STEP;
                state.twists += 1;
            }
            Step::Crash => {
                restart(&mut state);
                state.twists += 1;
            }
            Step::FailOver => {
                state.flushed = state.replicated.clone();
                restart(&mut state);
                state.told.retain(|told| promises::is_there(&before.replicated, told));
                state.twists += 1;
            }
        }
        // Where nothing can be lost any more, what is on which disk makes no difference.
        if !self.may(&state, Twist::FailOver) {
            if !self.may(&state, Twist::Crash) {
                state.flushed = state.seen.clone();
            }
            state.replicated = state.flushed.clone();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all().into_iter().chain(events::all(&self.bounds)).collect()
    }
}
