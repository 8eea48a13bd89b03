//! All there is at one moment, and what a claim does with it.

use super::Walks;
use crate::floor::{Floor, Look, Position, Range, Track, Walked};

/// Microseconds between two places, and how far the clock goes in a tick: farther than what is near or soon to a floor.
pub const APART: i64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Absent,
    /// By a transaction that has not ended.
    Written,
    Prepared,
    Pending,
    /// By a claim that has not ended.
    Taken(u64),
    Gone,
}

/// Whether claims were told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    NotYet,
    Told,
    /// Written by hand.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    pub status: Status,
    pub word: Word,
    /// The transaction that was prepared; 0 where none was.
    pub prepared: u64,
}

/// What a walk has found: range by range, whether that was nothing, and the job that it took.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    pub ranges: Vec<(Range, Walked)>,
    pub is_empty: bool,
    pub took: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    pub look: Option<Look>,
    pub is_back: bool,
    /// Whether each job was there for its snapshot.
    pub seen: Option<Vec<bool>>,
    pub found: Option<Found>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub floor: Floor,
    pub jobs: Vec<Job>,
    pub claims: Vec<Option<Claim>>,
    /// The jobs of claims that have told what they found and have not ended.
    pub held: Vec<usize>,
    pub transactions: u64,
    pub now: i64,
    pub twists: u8,
}

pub fn place(job: usize) -> Position {
    Position { at: job as i64 * APART, id: job as i64 }
}

impl State {
    pub fn at_first(walks: &Walks) -> Self {
        let absent = Job { status: Status::Absent, word: Word::NotYet, prepared: 0 };
        State {
            floor: Floor::default(),
            jobs: vec![absent; walks.jobs],
            claims: vec![None; walks.claims],
            held: Vec::new(),
            transactions: 0,
            now: 100 * APART,
            twists: 0,
        }
    }

    pub fn is_running(&self, holder: u64) -> bool {
        let is_its = |job: &Job| match job.status {
            Status::Taken(by) => by == holder,
            Status::Prepared => job.prepared == holder,
            _ => false,
        };
        self.jobs.iter().any(is_its)
    }

    pub fn hides(&self, job: usize) -> bool {
        self.jobs[job].status == Status::Pending && self.floor.hides(place(job), self.now)
    }

    pub fn has_by_hand(&self) -> bool {
        self.jobs.iter().any(|job| job.word == Word::Never)
    }

    pub fn all_is_told(&self) -> bool {
        let is_told = |job: &Job| job.word != Word::NotYet || matches!(job.status, Status::Absent | Status::Written);
        self.jobs.iter().all(is_told)
    }

    pub fn has_held_range(&self) -> bool {
        self.floor.look(self.now).is_some_and(|look| look.ranges().iter().any(|range| range.holder != 0))
    }

    pub fn is_quiet(&self) -> bool {
        let is_settled = |job: &Job| match job.status {
            Status::Absent | Status::Gone => true,
            Status::Pending => job.word != Word::NotYet,
            Status::Written | Status::Prepared | Status::Taken(_) => false,
        };
        self.jobs.iter().all(is_settled) && self.claims.iter().all(Option::is_none)
    }

    pub fn look(&mut self) -> Option<Look> {
        let holders = self.floor.look(self.now).into_iter().flat_map(|look| look.ranges().to_vec()).map(|r| r.holder);
        let ended: Vec<u64> = holders.filter(|holder| *holder != 0 && !self.is_running(*holder)).collect();
        if !ended.is_empty() {
            self.floor.release(&ended);
        }
        self.floor.look(self.now).filter(|look| look.walks().next().is_some())
    }

    pub fn snapshot(&self) -> Vec<bool> {
        self.jobs.iter().map(|job| matches!(job.status, Status::Pending | Status::Taken(_))).collect()
    }

    /// Walks one range: what it found, and the job that it took.
    pub fn walk(&mut self, range: &Range, seen: &[bool], is_back: bool) -> (Track, Option<usize>) {
        let mut track = Track::of(range);
        let is_entry = |job: &usize| range.from <= place(*job) && place(*job) <= range.to;
        for job in (0..self.jobs.len()).filter(is_entry) {
            match self.jobs[job].status {
                Status::Absent => {}
                _ if !seen[job] => track.not_pending(place(job)),
                Status::Taken(by) => track.pending(place(job), Some(by)),
                Status::Pending => {
                    track.pending(place(job), None);
                    if is_back {
                        self.floor.meets(place(job), self.now);
                    }
                    self.transactions += 1;
                    self.jobs[job].status = Status::Taken(self.transactions);
                    return (track, Some(job));
                }
                // Taken, since the snapshot.
                _ => track.pending(place(job), None),
            }
        }
        track.has_ended(range);
        (track, None)
    }

    pub fn walk_all(&mut self, look: &Look, seen: &[bool], is_back: bool) -> Found {
        let mut found = Found { ranges: Vec::new(), is_empty: true, took: None };
        for range in look.walks() {
            let (track, took) = self.walk(&range, seen, is_back);
            found.ranges.push((range, track.walked()));
            found.is_empty &= track.is_empty();
            found.took = took;
            if took.is_some() {
                break;
            }
        }
        found
    }

    pub fn settle(&mut self, look: &Look, found: &Found, is_back: bool) {
        for (range, walked) in &found.ranges {
            self.floor.settle(look, range, walked, self.now);
        }
        if found.is_empty && look.has_open() {
            self.floor.is_empty_until(look, i64::MAX);
        }
        if is_back {
            self.floor.has_looked_back();
        }
    }

    /// Whether claims one after the other, each committed, get all jobs.
    pub fn drains(&self, looks_back: bool) -> bool {
        let mut state = self.clone();
        for turn in 0..4 * state.jobs.len() {
            let is_back = looks_back && turn % 2 == 0;
            let look = if is_back { Some(state.floor.look_back(i64::MAX)) } else { state.look() };
            if let Some(look) = look {
                let found = state.walk_all(&look, &state.snapshot(), is_back);
                state.settle(&look, &found, is_back);
                found.took.into_iter().for_each(|job| state.jobs[job].status = Status::Gone);
            }
        }
        state.jobs.iter().all(|job| job.status != Status::Pending)
    }
}
