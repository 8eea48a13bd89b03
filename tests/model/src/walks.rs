//! A model of claims that walk from a floor ([`Floor`], the very code that the server runs) while transactions that make jobs
//! ready and claims that take them come and go: which jobs does the floor hide?
//!
//! Each job has its place, in their order, and a session that makes it ready: it writes, then commits, rolls back or
//! prepares, and then tells. So any of them may come late. A claim looks, takes its snapshot, walks, and tells what it has
//! found, in four steps; between any two of them everything else may happen. It takes one job, which is gone when it
//! commits. The other steps are [`Twist`]s, of which there are a bounded number.
//!
//! | step | function |
//! | --- | --- |
//! | `Look` | `look` in `src/shared/floors.rs` |
//! | `LookBack` | `Window::next` in `src/shared/floors/window.rs` |
//! | `Snapshot` | `Rows::scan` in `src/pg/rows.rs` |
//! | `Walk` | `due` and `look_back` in `src/jobs/walk.rs` |
//! | `Settle` | `View::settle` and `View::is_empty_until` in `src/shared/floors.rs` |
//! | `Tell` | `transaction_ended` there |
//! | `Crash` | `complete` there, for what comes after it |
//!
//! Left out: walks that tell on their way, looks back that go on where another has stopped, jobs that are due later, more arrivals and ranges than a floor keeps one by one;
//! `src/shared/floor/tests.rs` has these, at random.

mod world;

use crate::floor::{Floor, Position};
use stateright::{Model, Property};
use world::{APART, place};

pub use world::{Claim, Found, Job, Looked, State, Status, Word};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Twist {
    Crash,
    /// A claim is rolled back.
    Abort,
    Prepare,
    ByHand,
    LookBack,
    Tick,
}

impl Twist {
    pub const ALL: &'static [Self] =
        &[Self::Crash, Self::Abort, Self::Prepare, Self::ByHand, Self::LookBack, Self::Tick];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Write {
        job: usize,
    },
    Commit {
        job: usize,
    },
    RollBack {
        job: usize,
    },
    Tell {
        job: usize,
    },
    CommitPrepared {
        job: usize,
    },
    Look {
        claim: usize,
    },
    Snapshot {
        claim: usize,
    },
    Walk {
        claim: usize,
    },
    Settle {
        claim: usize,
    },
    /// The claim that took the job commits.
    Take {
        job: usize,
    },
    LookBack {
        claim: usize,
    },
    Prepare {
        job: usize,
    },
    WriteByHand {
        job: usize,
    },
    /// The claim that took the job is rolled back.
    Abort {
        job: usize,
    },
    Tick,
    Crash,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    Nothing,
    /// What arrives after the look does not bound what is cleared.
    ArrivalsIgnored,
    SnapshotBeforeLook,
    ToldBeforeCommit,
    /// A prepared transaction tells as if it had committed.
    HoldLost,
    /// A crash forgets what is prepared.
    CrashForgets,
    /// A claim clears the place of the job that it takes.
    ClearsItsOwn,
}

/// The claims, within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Walks {
    pub jobs: usize,
    pub claims: usize,
    pub twists: u8,
    pub of: &'static [Twist],
    pub mistake: Mistake,
}

pub const NOT_HIDDEN: &str = "no job that was told of is hidden";
pub const FOUND_ONCE: &str = "where all is told, no look back has found what claims would not";
pub const AT_LAST: &str = "where all is quiet, claims get each job";
pub const WITHOUT_LOOKING_BACK: &str = "where all is quiet, claims get each job without looking back";

impl Walks {
    fn may(&self, state: &State, twist: Twist) -> bool {
        state.twists < self.twists && self.of.contains(&twist)
    }

    fn steps_of_job(&self, state: &State, job: usize, steps: &mut Vec<Step>) {
        let Job { status, word, .. } = state.jobs[job];
        let tells_first = self.mistake == Mistake::ToldBeforeCommit;
        match status {
            Status::Absent => {
                steps.push(Step::Write { job });
                if self.may(state, Twist::ByHand) {
                    steps.push(Step::WriteByHand { job });
                }
            }
            Status::Written => {
                if !tells_first || word == Word::Told {
                    steps.extend([Step::Commit { job }, Step::RollBack { job }]);
                }
                if self.may(state, Twist::Prepare) {
                    steps.push(Step::Prepare { job });
                }
            }
            Status::Prepared => steps.extend([Step::CommitPrepared { job }, Step::RollBack { job }]),
            Status::Taken(_) if state.held.contains(&job) => {
                steps.push(Step::Take { job });
                if self.may(state, Twist::Abort) {
                    steps.push(Step::Abort { job });
                }
            }
            _ => {}
        }
        let has_ended = !matches!(status, Status::Absent | Status::Written);
        if word == Word::NotYet && (has_ended || tells_first && status == Status::Written) {
            steps.push(Step::Tell { job });
        }
    }

    fn steps_of_claim(&self, state: &State, claim: usize, steps: &mut Vec<Step>) {
        let snapshot_first = self.mistake == Mistake::SnapshotBeforeLook;
        match &state.claims[claim] {
            // Nothing tells one from another.
            None if state.claims[..claim].iter().any(Option::is_none) => {}
            None => {
                steps.push(if snapshot_first { Step::Snapshot { claim } } else { Step::Look { claim } });
                // Between two of them is time enough to tell of what the first has found.
                if self.may(state, Twist::LookBack) && (state.floor.found() == 0 || state.all_is_told()) {
                    steps.push(Step::LookBack { claim });
                }
            }
            Some(Claim { found: Some(_), .. }) => steps.push(Step::Settle { claim }),
            Some(Claim { looked: Some(_), seen: Some(_), .. }) => steps.push(Step::Walk { claim }),
            Some(Claim { looked: None, .. }) => steps.push(Step::Look { claim }),
            Some(Claim { seen: None, .. }) => steps.push(Step::Snapshot { claim }),
        }
    }

    fn settle(&self, state: &mut State, claim: usize) -> Option<()> {
        let Claim { looked, found, .. } = state.claims[claim].take()?;
        let (mut looked, mut found) = (looked?, found?);
        if let (Mistake::ArrivalsIgnored, Looked::At(look)) = (self.mistake, &mut looked) {
            **look = state.floor.look_below(0);
        }
        if let (Mistake::ClearsItsOwn, Found::At { took: Some(job), ranges, .. }) = (self.mistake, &mut found) {
            ranges.last_mut()?.1.clear_to = place(*job).next();
        }
        let took = state.settle(&looked, &found);
        state.held.extend(took);
        state.held.sort_unstable();
        Some(())
    }

    fn crash(&self, state: &mut State) {
        state.floor = Floor::default();
        state.claims.fill(None);
        state.held.clear();
        for job in &mut state.jobs {
            match job.status {
                Status::Written => job.status = Status::Gone,
                Status::Taken(_) => job.status = Status::Pending,
                Status::Prepared if self.mistake != Mistake::CrashForgets => {
                    state.floor.arrived(Position::FIRST, Position::LAST, job.prepared, state.now);
                }
                _ => {}
            }
            // The new floor begins before all of them.
            if job.status != Status::Absent {
                job.word = Word::Told;
            }
        }
    }
}

impl Model for Walks {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::at_first(self)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        (0..self.jobs).for_each(|job| self.steps_of_job(state, job, steps));
        (0..self.claims).for_each(|claim| self.steps_of_claim(state, claim, steps));
        let twists = [(Twist::Tick, Step::Tick), (Twist::Crash, Step::Crash)];
        steps.extend(twists.into_iter().filter(|(twist, _)| self.may(state, *twist)).map(|(_, step)| step));
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Write { job } => state.jobs[job].status = Status::Written,
            Step::Commit { job } => state.jobs[job].status = Status::Pending,
            Step::CommitPrepared { job } => {
                state.jobs[job].status = Status::Pending;
                if state.jobs[job].word == Word::Told {
                    state.jobs[job].prepared = 0;
                }
            }
            Step::RollBack { job } => state.jobs[job] = Job { status: Status::Gone, word: Word::Told, prepared: 0 },
            Step::Tell { job } => {
                let holder = if self.mistake == Mistake::HoldLost { 0 } else { state.jobs[job].prepared };
                state.floor.arrived(place(job), place(job), holder, state.now);
                state.jobs[job].word = Word::Told;
                if state.jobs[job].status != Status::Prepared {
                    state.jobs[job].prepared = 0;
                }
            }
            Step::Look { claim } => {
                let look = state.look();
                let seen = state.claims[claim].take().and_then(|claim| claim.seen);
                state.claims[claim] =
                    look.map(|look| Claim { looked: Some(Looked::At(Box::new(look))), seen, found: None });
            }
            Step::LookBack { claim } => {
                let looked = Some(state.look_back());
                state.claims[claim] = Some(Claim { looked, seen: None, found: None });
                state.twists += 1;
            }
            Step::Snapshot { claim } => {
                let seen = Some(state.snapshot());
                let new = Claim { looked: None, seen: None, found: None };
                state.claims[claim].get_or_insert(new).seen = seen;
            }
            Step::Walk { claim } => {
                let Claim { looked, seen, .. } = state.claims[claim].clone()?;
                let found = state.walk_all(&looked?, &seen?);
                state.claims[claim].as_mut()?.found = Some(found);
            }
            Step::Settle { claim } => self.settle(&mut state, claim)?,
            Step::Take { job } => {
                state.jobs[job].status = Status::Gone;
                state.held.retain(|held| *held != job);
            }
            Step::Abort { job } => {
                state.jobs[job].status = Status::Pending;
                state.held.retain(|held| *held != job);
                state.twists += 1;
            }
            Step::Prepare { job } => {
                state.transactions += 1;
                state.jobs[job] = Job { status: Status::Prepared, word: Word::NotYet, prepared: state.transactions };
                state.twists += 1;
            }
            Step::WriteByHand { job } => {
                state.jobs[job] = Job { status: Status::Pending, word: Word::Never, prepared: 0 };
                state.twists += 1;
            }
            Step::Tick => {
                state.now += APART;
                state.twists += 1;
            }
            Step::Crash => {
                self.crash(&mut state);
                state.twists += 1;
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NOT_HIDDEN, |_, state: &State| {
                (0..state.jobs.len()).all(|job| state.jobs[job].word != Word::Told || !state.hides(job))
            }),
            Property::always(FOUND_ONCE, |_, state: &State| {
                state.has_by_hand() || !state.all_is_told() || state.floor.found() == 0
            }),
            Property::always(AT_LAST, |_, state: &State| !state.is_quiet() || state.drains(true)),
            Property::always(WITHOUT_LOOKING_BACK, |_, state: &State| {
                state.has_by_hand() || !state.is_quiet() || state.drains(false)
            }),
        ];
        properties.extend(events(self));
        properties
    }
}

/// What must be seen to happen, so that the promises are not kept by a model in which nothing does.
pub fn events(walks: &Walks) -> Vec<Property<Walks>> {
    let mut events: Vec<Property<Walks>> = vec![
        Property::sometimes("a job is told of below the open end", |_, state: &State| {
            state.floor.look(state.now).is_some_and(|look| look.walks().count() > 1)
        }),
        Property::sometimes("a job is hidden until it is told of", |_, state: &State| {
            (0..state.jobs.len()).any(|job| state.jobs[job].word == Word::NotYet && state.hides(job))
        }),
    ];
    if walks.of.contains(&Twist::Tick) {
        events.push(Property::sometimes("what a claim holds is set apart", |_, state: &State| {
            state.has_held_range() && state.jobs.iter().all(|job| job.prepared == 0)
        }));
    }
    if walks.of.contains(&Twist::Prepare) {
        events.push(Property::sometimes("what is prepared is held", |_, state: &State| {
            state.has_held_range() && state.jobs.iter().any(|job| job.status == Status::Prepared)
        }));
    }
    if walks.of.contains(&Twist::LookBack) {
        events
            .push(Property::sometimes("a look back finds a job that is told of a moment later", |_, state: &State| {
                state.floor.found() > 0 && state.jobs.iter().all(|job| job.word != Word::Never)
            }));
    }
    if walks.twists > 1 && walks.of.contains(&Twist::ByHand) && walks.of.contains(&Twist::LookBack) {
        events.push(Property::sometimes("a look back finds what was written by hand", |_, state: &State| {
            state.floor.found() > 0
                && state.jobs.iter().all(|job| job.word != Word::NotYet || job.status == Status::Absent)
        }));
    }
    events
}
