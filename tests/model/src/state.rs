//! All there is at one moment: tables, disks, workers, the clock, and what was answered.

use crate::bounds::Bounds;
use crate::database::{Answer, Claim, Database, Lease, Reading, Status, Verdict};

/// A job in a worker's hands, as far as the worker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    pub job: usize,
    pub claim: Claim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worker {
    Idle,
    Working(Held),
    /// The server is done with the finish, and the reply is under way.
    Waiting(Held, Verdict, Answer),
    /// The reply was lost: it will ask again.
    Unsure(Held, Verdict),
}

/// A success that reached who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    Created { job: usize },
    Finished { job: usize, attempt: u8, verdict: Verdict },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// As sessions see the tables.
    pub seen: Database,
    /// As they are after a crash.
    pub flushed: Database,
    /// As they are after a failover. Only what is flushed gets here.
    pub replicated: Database,
    pub workers: Vec<Worker>,
    /// The rescuer's, between its snapshot and its row locks.
    pub reading: Option<Reading>,
    pub clock: i8,
    /// Sorted. What a failover lost is written off, and nothing else.
    pub told: Vec<Told>,
    /// Whether a lease was taken that by the clock had not ended at any time since the rescuer's reading.
    pub rescued_early: bool,
    /// How many there were.
    pub twists: u8,
}

impl Worker {
    pub fn held(&self) -> Option<Held> {
        match *self {
            Self::Idle => None,
            Self::Working(held) | Self::Waiting(held, ..) | Self::Unsure(held, _) => Some(held),
        }
    }

    /// The same with another claim of the same job.
    pub fn with_claim(&self, claim: Claim) -> Self {
        let mut same = *self;
        match &mut same {
            Self::Idle => {}
            Self::Working(held) | Self::Waiting(held, ..) | Self::Unsure(held, _) => held.claim = claim,
        }
        same
    }
}

impl Told {
    /// The attempt that it is about.
    pub fn attempt(&self) -> Option<u8> {
        match *self {
            Self::Created { .. } => None,
            Self::Finished { attempt, .. } => Some(attempt),
        }
    }
}

impl State {
    pub fn at_first(bounds: &Bounds) -> Self {
        let empty = Database::of(bounds.jobs);
        Self {
            seen: empty.clone(),
            flushed: empty.clone(),
            replicated: empty,
            workers: vec![Worker::Idle; bounds.workers],
            reading: None,
            clock: 0,
            told: Vec::new(),
            rescued_early: false,
            twists: 0,
        }
    }

    pub fn tell(&mut self, told: Told) {
        if let Err(place) = self.told.binary_search(&told) {
            self.told.insert(place, told);
        }
    }

    /// Whether the worker's token is its job's at this moment.
    pub fn is_current(&self, held: Held) -> bool {
        self.seen.jobs[held.job].lease().is_some_and(|lease| lease.claim.token == held.claim.token)
    }

    /// The least number that no table, no disk, no worker and no answer has.
    pub fn fresh(&self) -> u8 {
        let mut known = 0_u64;
        let mut know = |number: u8| known |= 1 << number;
        for job in [&self.seen, &self.flushed, &self.replicated].into_iter().flat_map(|tables| &tables.jobs) {
            match job.status {
                Status::Running(Lease { claim, .. }) => know(claim.attempt),
                Status::Ended(end) => end.token.into_iter().for_each(&mut know),
                Status::Absent | Status::Pending => {}
            }
            job.accepted.iter().for_each(|accepted| [accepted.by, accepted.of].into_iter().for_each(&mut know));
        }
        self.workers.iter().filter_map(Worker::held).for_each(|held| know(held.claim.attempt));
        self.told.iter().filter_map(Told::attempt).for_each(&mut know);
        known.trailing_ones() as u8
    }
}
