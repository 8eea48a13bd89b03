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

/// What is to be walked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Looked {
    At(Box<Look>),
    /// A look back: what looks pass over, from one place to another.
    Back(Vec<(Position, Position)>),
}

/// What a walk has found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Found {
    /// Range by range, whether that was nothing, and the job that it took.
    At { ranges: Vec<(Range, Walked)>, is_empty: bool, took: Option<usize> },
    /// A look back tells as it walks.
    Back,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    pub looked: Option<Looked>,
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
    fn walk(&mut self, range: &Range, seen: &[bool]) -> (Track, Option<usize>) {
        let mut track = Track::of(range);
        let is_entry = |job: &usize| range.from <= place(*job) && place(*job) <= range.to;
        for job in (0..self.jobs.len()).filter(is_entry) {
            match self.jobs[job].status {
                Status::Absent => {}
                _ if !seen[job] => track.not_pending(place(job)),
                Status::Taken(by) => track.pending(place(job), Some(by)),
                Status::Pending => {
                    track.pending(place(job), None);
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

    pub fn walk_all(&mut self, looked: &Looked, seen: &[bool]) -> Found {
        let look = match looked {
            Looked::At(look) => look,
            Looked::Back(stretches) => {
                self.meet(stretches, seen);
                return Found::Back;
            }
        };
        let (mut ranges, mut is_all_empty, mut taken) = (Vec::new(), true, None);
        for range in look.walks() {
            let (track, took) = self.walk(&range, seen);
            ranges.push((range, track.walked()));
            is_all_empty &= track.is_empty();
            taken = took;
            if took.is_some() {
                break;
            }
        }
        Found::At { ranges, is_empty: is_all_empty, took: taken }
    }

    /// Tells of the jobs that a look back could take, as it meets them.
    fn meet(&mut self, stretches: &[(Position, Position)], seen: &[bool]) {
        for job in (0..self.jobs.len()).filter(|job| seen[*job]) {
            let is_there = stretches.iter().any(|(from, to)| *from <= place(job) && place(job) <= *to);
            if is_there && self.jobs[job].status == Status::Pending {
                self.floor.meets(place(job), self.now);
            }
        }
    }

    /// What looks pass over.
    pub fn look_back(&self) -> Looked {
        let mut stretches: Vec<(Position, Position)> = Vec::new();
        let next =
            |stretches: &Vec<(Position, Position)>| stretches.last().map_or(Position::FIRST, |last| last.1.next());
        while let Some(stretch) = self.floor.hidden_from(next(&stretches), self.now) {
            stretches.push(stretch);
        }
        Looked::Back(stretches)
    }

    /// Tells what a walk has found, and gives the job that it took.
    pub fn settle(&mut self, looked: &Looked, found: &Found) -> Option<usize> {
        match (looked, found) {
            (Looked::At(look), Found::At { ranges, is_empty, took }) => {
                for (range, walked) in ranges {
                    self.floor.settle(look, range, walked, self.now);
                }
                if *is_empty && look.has_open() {
                    self.floor.is_empty_until(look, i64::MAX);
                }
                *took
            }
            (_, Found::Back) | (Looked::Back(_), _) => None,
        }
    }

    /// Whether claims one after the other, each committed, get all jobs.
    pub fn drains(&self, looks_back: bool) -> bool {
        let mut state = self.clone();
        for turn in 0..4 * state.jobs.len() {
            let is_back = looks_back && turn % 2 == 0;
            let looked = if is_back { Some(state.look_back()) } else { state.look().map(Box::new).map(Looked::At) };
            if let Some(looked) = looked {
                let found = state.walk_all(&looked, &state.snapshot());
                let took = state.settle(&looked, &found);
                took.into_iter().for_each(|job| state.jobs[job].status = Status::Gone);
            }
        }
        state.jobs.iter().all(|job| job.status != Status::Pending)
    }
}
