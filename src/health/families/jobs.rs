//! Jobs, by their queues: counted once for all who look at them.

use crate::error::Error;
use crate::health::check::{self, Measure};
use crate::health::run::probe;
use crate::jobs::figures::{self, Live, Reader};
use crate::jobs::iso_time;
use crate::jobs::live::LIVE_JOB;
use crate::jobs::status::Status;
use crate::pg::document::Member;
use crate::pg::identity::Identity;
use crate::pg::spi::{self, Row, Statement};
use crate::pg::{catalog, xact};
use crate::shared::floors;
use std::collections::BTreeMap;

static QUEUES: Statement = Statement::new(
    c"SELECT q.id, q.name, q.paused_at IS NOT NULL, q.ready_target_seconds FROM foreman.queue AS q",
    &[],
);

/// All that is known of jobs.
#[derive(Debug, Default)]
pub struct Figures {
    /// The moment that they are of; none where live jobs and those that ended could not be read together.
    as_of: Option<String>,
    /// Why nothing is known of live jobs, if nothing is.
    pub live_missing: Option<Missing>,
    /// The same of jobs that ended.
    pub ended_missing: Option<Missing>,
    /// By the queues' ids.
    queues: BTreeMap<i32, OfQueue>,
}

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Both,
    Live,
    Ended,
}

/// Microseconds of the time that `last_hour` is of.
const HOUR: i64 = 3_600_000_000;

/// Why nothing is known.
#[derive(Debug, Clone)]
pub enum Missing {
    /// They would have to be counted, and are too many for who asks for health.
    TakesLong,
    Failed(String),
}

/// The figures of a queue.
#[derive(Debug, Default)]
pub struct OfQueue {
    pub name: String,
    pub is_paused: bool,
    /// For how long its jobs may wait, in seconds.
    pub target: Option<f64>,
    pending: i64,
    pub running: i64,
    /// For how long its oldest job has been ready, in seconds; negative before it is.
    pub oldest: Option<f64>,
    /// Seconds since somebody last looked for jobs, as far as shared memory knows.
    pub looked: Option<f64>,
    pub last_hour: Ended,
    ever: Ended,
}

/// Jobs that ended.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ended {
    pub completed: i64,
    pub failed: i64,
    all: i64,
}

impl Figures {
    /// Counts, or reads what was counted.
    pub fn read() -> Figures {
        let mut figures = match Figures::of(Part::Both) {
            Ok(figures) => figures,
            // Perhaps a lock of somebody's on one of the tables: then the others can be read.
            Err(_) => Figures::read_apart(),
        };
        // Empty without preload: only shared memory knows of other sessions.
        for seen in floors::figures(LIVE_JOB.oid()) {
            let seconds = (xact::clock() - seen.looked_at) as f64 / 1e6;
            figures.queues.entry(seen.queue).or_default().looked = Some(seconds);
        }
        figures
    }

    /// Reads live jobs and those that ended each for itself.
    fn read_apart() -> Figures {
        match (Figures::of(Part::Live), Figures::of(Part::Ended)) {
            (Ok(live), Ok(ended)) => live.and(ended),
            (Ok(live), Err(error)) => Figures { ended_missing: Some(Missing::of(error)), as_of: None, ..live },
            (Err(error), Ok(ended)) => Figures { live_missing: Some(Missing::of(error)), as_of: None, ..ended },
            (Err(live), Err(ended)) => Figures {
                live_missing: Some(Missing::of(live)),
                ended_missing: Some(Missing::of(ended)),
                ..Figures::default()
            },
        }
    }

    /// Reads a part, in one snapshot, so that no job is in two parts, or in none. With the rights of who owns the jobs'
    /// tables, as a view has them: their numbers are no secret from who may ask for health.
    fn of(part: Part) -> Result<Figures, Error> {
        probe(|| {
            let _owner = catalog::owner(LIVE_JOB.oid()).map(Identity::of);
            spi::in_one_snapshot(|| Figures::seen(part))
        })
    }

    /// Reads a part as the snapshot in force sees it.
    fn seen(part: Part) -> Figures {
        let reader = Reader::default();
        let source = reader.source();
        let mut figures = Figures { as_of: Some(iso_time::utc(source.as_of)), ..Figures::default() };
        spi::connect_to_read(|connection| {
            let queues = connection.run(&QUEUES, &[]);
            figures.queues = queues.iter().filter_map(|row| OfQueue::of(&row)).collect();
        });
        match part {
            Part::Ended => {}
            _ if figures::live_take_long(source.live_roll_up) => figures.live_missing = Some(Missing::TakesLong),
            _ => figures.add_live(figures::live(source.live_roll_up)),
        }
        match part {
            Part::Live => {}
            _ if reader.ended_take_long(source.ended_roll_up) => figures.ended_missing = Some(Missing::TakesLong),
            _ => {
                let since = reader.since(xact::clock() - HOUR, source.ended_roll_up);
                figures.add_ended(&reader.ended(source.ended_roll_up, Some(since)));
            }
        }
        figures
    }

    fn add_live(&mut self, live: BTreeMap<i32, Live>) {
        let now = xact::clock();
        for (id, live) in live {
            let queue = self.queues.entry(id).or_default();
            (queue.pending, queue.running) = (live.pending, live.running);
            queue.oldest = live.oldest_ready_at.map(|at| (now - at) as f64 / 1e6);
        }
    }

    fn add_ended(&mut self, ended: &[figures::Ended]) {
        for of_queue in ended {
            let queue = self.queues.entry(of_queue.queue).or_default();
            queue.ever.add(of_queue.status, of_queue.jobs);
            queue.last_hour.add(of_queue.status, of_queue.since);
        }
    }

    /// Live jobs of these, and those that ended of others: as of no moment.
    fn and(mut self, ended: Figures) -> Figures {
        for (id, of_queue) in ended.queues {
            let queue = self.queues.entry(id).or_default();
            (queue.ever, queue.last_hour) = (of_queue.ever, of_queue.last_hour);
        }
        Figures { ended_missing: ended.ended_missing, as_of: None, ..self }
    }

    /// Whether live jobs and those that ended are known as of one moment.
    pub fn is_whole(&self) -> bool {
        self.as_of.is_some()
    }

    /// Why it is not even known which queues there are, where neither part could be read.
    pub fn queues_missing(&self) -> Option<&Missing> {
        match (&self.live_missing, &self.ended_missing) {
            (Some(missing @ Missing::Failed(_)), Some(Missing::Failed(_))) => Some(missing),
            _ => None,
        }
    }

    /// The queues that there are.
    pub fn queues(&self) -> impl Iterator<Item = &OfQueue> {
        self.queues.values().filter(|queue| !queue.name.is_empty())
    }

    /// The jobs of all queues that ended within the last hour.
    pub fn last_hour(&self) -> Ended {
        self.queues.values().map(|queue| queue.last_hour).sum()
    }

    /// The document's `database_stats`.
    pub fn told(&self) -> Option<Member> {
        let as_of = self.as_of.as_deref()?;
        if self.live_missing.is_some() || self.ended_missing.is_some() {
            return None;
        }
        let ended: Ended = self.queues.values().map(|queue| queue.ever).sum();
        let live: i64 = self.queues.values().map(|queue| queue.pending + queue.running).sum();
        let done = ended.completed + ended.failed;
        let success_rate = (done > 0).then(|| (1e3 * ended.completed as f64 / done as f64).round() / 10.0);
        Some(Member::Object(vec![
            ("total_jobs", Member::Value((live + ended.all).into())),
            ("completed_jobs", Member::Value(ended.completed.into())),
            ("failed_jobs", Member::Value(ended.failed.into())),
            ("success_rate", Member::Value(success_rate.into())),
            ("as_of", Member::Value(as_of.into())),
        ]))
    }
}

impl Ended {
    fn add(&mut self, status: Status, jobs: i64) {
        self.all += jobs;
        match status {
            Status::Completed => self.completed += jobs,
            Status::Failed => self.failed += jobs,
            _ => {}
        }
    }
}

impl std::iter::Sum for Ended {
    fn sum<I: Iterator<Item = Ended>>(all: I) -> Ended {
        all.fold(Ended::default(), |sum, one| Ended {
            completed: sum.completed + one.completed,
            failed: sum.failed + one.failed,
            all: sum.all + one.all,
        })
    }
}

impl Missing {
    fn of(error: Error) -> Missing {
        Missing::Failed(check::failure(&error))
    }

    /// What a check says.
    pub fn told(&self) -> Measure {
        match self {
            Missing::Failed(reason) => Measure::because(reason.clone()),
            Missing::TakesLong => Measure {
                reveal: Some("SELECT foreman.maintain();".to_owned()),
                ..Measure::because("jobs are many, and nobody has counted them for an hour".to_owned())
            },
        }
    }
}

impl OfQueue {
    fn of(row: &Row<'_>) -> Option<(i32, OfQueue)> {
        let (name, is_paused, target) = (row.text(2)?, row.boolean(3), row.double(4));
        Some((row.integer(1)?, OfQueue { name, is_paused, target, ..OfQueue::default() }))
    }
}
