//! Which states are the same, as far as anything goes that can still happen: only one of them has to be looked at.
//!
//! Nothing tells one worker from another, nor one unused token from another; what counts of the time is how far it is
//! from the clock; and an answer that the standby has is there for good. This is of the sound protocol, whose tokens
//! are its attempts.

use crate::database::{Claim, Database, Status};
use crate::promises;
use crate::state::{State, Told, Worker};
use stateright::Representative;

impl Representative for State {
    fn representative(&self) -> Self {
        let mut same = self.clone();
        same.forget();
        same.turn_the_clock();
        same.rename();
        same
    }
}

/// All attempts that the tables know, in a fixed order, some of them more than once.
fn attempts_of(tables: &mut Database) -> impl Iterator<Item = &mut u8> {
    tables.jobs.iter_mut().flat_map(|job| {
        let of_status = match &mut job.status {
            Status::Running(lease) => vec![&mut lease.claim.attempt, &mut lease.claim.token],
            Status::Ended(end) => end.token.iter_mut().collect(),
            Status::Absent | Status::Pending => Vec::new(),
        };
        let accepted = job.accepted.iter_mut().flat_map(|accepted| [&mut accepted.by, &mut accepted.of]);
        of_status.into_iter().chain(accepted)
    })
}

/// Numbers attempts in the order in which it meets them.
#[derive(Default)]
struct Names(Vec<u8>);

impl Names {
    fn rename(&mut self, attempt: &mut u8) {
        *attempt = self.known(*attempt).unwrap_or_else(|| {
            self.0.push(*attempt);
            self.0.len() as u8 - 1
        });
    }

    fn known(&self, attempt: u8) -> Option<u8> {
        self.0.iter().position(|name| *name == attempt).map(|place| place as u8)
    }
}

impl State {
    fn tables(&mut self) -> [&mut Database; 3] {
        [&mut self.seen, &mut self.flushed, &mut self.replicated]
    }

    /// Answers that can't be lost any more go, and finishes of which nobody will hear again.
    fn forget(&mut self) {
        let replicated = self.replicated.clone();
        self.told.retain(|told| !promises::is_there(&replicated, told));
        let mut matter: Vec<u8> = self.workers.iter().filter_map(Worker::held).map(|held| held.claim.attempt).collect();
        matter.extend(self.told.iter().filter_map(Told::attempt));
        for job in self.tables().into_iter().flat_map(|tables| &mut tables.jobs) {
            job.accepted.retain(|accepted| accepted.by != accepted.of || matter.contains(&accepted.by));
            if let Status::Ended(end) = &mut job.status {
                end.token = end.token.filter(|token| matter.contains(token));
            }
        }
    }

    /// The clock is at zero.
    fn turn_the_clock(&mut self) {
        let clock = std::mem::take(&mut self.clock);
        if let Some(reading) = &mut self.reading {
            reading.at -= clock;
        }
        for job in self.tables().into_iter().flat_map(|tables| &mut tables.jobs) {
            if let Status::Running(lease) = &mut job.status {
                lease.until -= clock;
                // Read by a variant only.
                lease.since = 0;
            }
        }
    }

    /// Attempts are numbered in the order in which the tables have them, and workers stand in the order of these.
    fn rename(&mut self) {
        let mut names = Names::default();
        self.tables().into_iter().flat_map(attempts_of).for_each(|attempt| names.rename(attempt));
        for told in &mut self.told {
            if let Told::Finished { attempt, .. } = told {
                names.rename(attempt);
            }
        }
        self.told.sort_unstable();
        // Those whose claim no table has differ by what they do with it.
        self.workers.sort_by_key(|worker| {
            let name = worker.held().map(|held| names.known(held.claim.attempt).unwrap_or(u8::MAX));
            (name, worker.with_claim(Claim { attempt: 0, token: 0 }))
        });
        for worker in &mut self.workers {
            if let Some(mut claim) = worker.held().map(|held| held.claim) {
                names.rename(&mut claim.attempt);
                names.rename(&mut claim.token);
                *worker = worker.with_claim(claim);
            }
        }
    }
}
