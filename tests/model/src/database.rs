//! The tables, and what each call does to them in one transaction.

use crate::variant::Variant;

/// How long a lease is: one tick of the clock. Longer ones have no order of events that this has not.
const LEASE: i8 = 1;

/// What a worker is given with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// By this the promises are judged. No call compares it.
    pub attempt: u8,
    pub token: u8,
}

/// A row's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    pub claim: Claim,
    pub since: i8,
    pub until: i8,
}

/// What a worker says of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Complete,
    Fail,
    Release,
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    Changed,
    Unchanged,
    LeaseLost,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    pub completed: bool,
    /// Whose finish it was: nobody's after a rescue.
    pub token: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Absent,
    Pending,
    Running(Lease),
    Ended(End),
}

/// A finish that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted {
    /// The attempt of the worker that asked.
    pub by: u8,
    /// The attempt that it ended.
    pub of: u8,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    pub status: Status,
    pub attempts: u8,
    /// In order. No table of ours has this: it is what the promises are about.
    pub accepted: Vec<Accepted>,
}

/// What the rescuer read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading {
    pub at: i8,
    pub jobs: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Database {
    pub jobs: Vec<Job>,
    /// Only [`Variant::CounterAsToken`] takes from it.
    pub sequence: u8,
}

impl Job {
    pub fn lease(&self) -> Option<Lease> {
        match self.status {
            Status::Running(lease) => Some(lease),
            _ => None,
        }
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.status, Status::Ended(_))
    }

    /// Whether this attempt's finish was accepted, as what it was meant.
    pub fn has_accepted(&self, attempt: u8, verdict: Verdict) -> bool {
        self.accepted.iter().any(|accepted| accepted.by == attempt && accepted.verdict == verdict)
    }
}

impl Database {
    pub fn of(jobs: usize) -> Self {
        let job = Job { status: Status::Absent, attempts: 0, accepted: Vec::new() };
        Self { jobs: vec![job; jobs], sequence: 0 }
    }

    /// The job is running, under a lease of its own.
    pub fn claim(&mut self, job: usize, fresh: u8, clock: i8, variant: Variant) -> Claim {
        let token = if variant == Variant::CounterAsToken {
            self.sequence += 1;
            self.sequence
        } else {
            fresh
        };
        let claim = Claim { attempt: fresh, token };
        let job = &mut self.jobs[job];
        job.attempts += 1;
        job.status = Status::Running(Lease { claim, since: clock, until: clock + LEASE });
        claim
    }

    /// The lease goes on, if it is current and this makes it longer. One that is past its end and was not rescued is
    /// current.
    pub fn extend(&mut self, job: usize, claim: Claim, clock: i8) -> bool {
        match &mut self.jobs[job].status {
            Status::Running(lease) if lease.claim.token == claim.token && lease.until < clock + LEASE => {
                lease.until = clock + LEASE;
                true
            }
            _ => false,
        }
    }

    pub fn finish(&mut self, job: usize, claim: Claim, verdict: Verdict, most: u8, variant: Variant) -> Answer {
        let job = &mut self.jobs[job];
        let is_current = |token: u8| token == claim.token || variant == Variant::OnlyTheId;
        match job.status {
            Status::Running(lease) if is_current(lease.claim.token) => {
                job.accepted.push(Accepted { by: claim.attempt, of: lease.claim.attempt, verdict });
                let end = |completed| Status::Ended(End { completed, token: Some(lease.claim.token) });
                job.status = match verdict {
                    Verdict::Complete => end(true),
                    Verdict::Fail if job.attempts >= most => end(false),
                    Verdict::Fail | Verdict::Release => Status::Pending,
                };
                job.attempts -= u8::from(verdict == Verdict::Release);
                Answer::Changed
            }
            // Said before, by the same worker: the reply was lost.
            Status::Ended(End { completed, token: Some(token) })
                if is_current(token) && completed == (verdict == Verdict::Complete) && verdict != Verdict::Release =>
            {
                Answer::Unchanged
            }
            _ => Answer::LeaseLost,
        }
    }

    /// Whose leases are over by the clock.
    pub fn look(&self, clock: i8, variant: Variant) -> Reading {
        let is_over = |job: &Job| job.lease().is_some_and(|lease| Self::is_over(lease, clock, variant));
        Reading { at: clock, jobs: (0..self.jobs.len()).filter(|job| is_over(&self.jobs[*job])).collect() }
    }

    /// Takes those jobs back whose leases are over under the row's lock, too, by the same reading of the clock. Returns
    /// the leases that were taken.
    pub fn rescue(&mut self, reading: &Reading, most: u8, variant: Variant) -> Vec<Lease> {
        let mut taken = Vec::new();
        for job in &reading.jobs {
            let job = &mut self.jobs[*job];
            let Some(lease) = job.lease() else { continue };
            if variant == Variant::StaleReading || Self::is_over(lease, reading.at, variant) {
                taken.push(lease);
                let token = (variant == Variant::TokenLeftBehind).then_some(lease.claim.token);
                let is_last = job.attempts >= most;
                job.status = if is_last { Status::Ended(End { completed: false, token }) } else { Status::Pending };
            }
        }
        taken
    }

    fn is_over(lease: Lease, clock: i8, variant: Variant) -> bool {
        let until = if variant == Variant::ElapsedTime { lease.since + LEASE } else { lease.until };
        until <= clock
    }
}
