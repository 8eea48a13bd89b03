//! Jobs, by their queues: counted once for all who look at them.

use crate::error::Error;
use crate::health::check::{self, Measure};
use crate::health::run::probe;
use crate::jobs::live::LIVE_JOB;
use crate::pg::document::Member;
use crate::pg::spi::{self, Row, Statement};
use crate::pg::xact;
use crate::shared::floors;
use pgrx::pg_sys;
use std::collections::BTreeMap;

// A line is of a part of the figures, which says what its numbers are. One statement, so that no job is in two parts, or in
// none; without $1 live jobs are left alone, without $2 those that ended.
static FIGURES: Statement = Statement::new(
    c"WITH source AS MATERIALIZED (
          SELECT f.live_roll_up, f.ended_roll_up, f.as_of,
                 CASE WHEN $1 THEN foreman.live_take_long(f.live_roll_up) ELSE false END AS live_take_long,
                 CASE WHEN $2 THEN foreman.ended_take_long(f.ended_roll_up) ELSE false END AS ended_take_long
          FROM foreman.figure_source() AS f
      )
      SELECT 'source', 0, s.live_take_long::integer::bigint, s.ended_take_long::integer::bigint, NULL::double precision,
             pg_catalog.to_char(s.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
      FROM source AS s
      UNION ALL
      SELECT 'queue', q.queue_id, (q.paused_at IS NOT NULL)::integer, NULL, q.ready_target_seconds, q.queue
      FROM foreman.queue_names AS q
      UNION ALL
      SELECT 'live', f.queue_id, f.pending, f.running,
             EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) f.oldest_ready_at), NULL
      FROM source AS s
      CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
      WHERE $1 AND NOT s.live_take_long
      UNION ALL
      SELECT 'ended', f.queue_id, f.jobs, f.jobs_since, NULL, f.status::text
      FROM source AS s
      CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, foreman.figures_since(
          pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-) interval '1 hour', s.ended_roll_up)) AS f
      WHERE $2 AND NOT s.ended_take_long",
    &[pg_sys::BOOLOID, pg_sys::BOOLOID],
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

/// Why nothing is known.
#[derive(Debug, Clone)]
pub enum Missing {
    /// They would have to be counted, and are too many for who asks for health.
    TakesLong,
    Failed(String),
}

/// A row of the statement.
struct Line {
    part: String,
    id: i32,
    number: i64,
    other: i64,
    seconds: Option<f64>,
    text: String,
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
        let mut figures = Figures::default();
        match lines(true, true) {
            Ok(lines) => figures.add(lines),
            // Perhaps a lock of somebody's on one of the tables: then the others can be read.
            Err(_) => figures.read_apart(),
        }
        // Empty without preload: only shared memory knows of other sessions.
        for seen in floors::figures(LIVE_JOB.oid()) {
            let seconds = (xact::clock() - seen.looked_at) as f64 / 1e6;
            figures.queues.entry(seen.queue).or_default().looked = Some(seconds);
        }
        figures
    }

    /// Reads live jobs and those that ended each for itself.
    fn read_apart(&mut self) {
        match lines(true, false) {
            Ok(lines) => self.add(lines),
            Err(error) => self.live_missing = Some(Missing::of(error)),
        }
        match lines(false, true) {
            Ok(lines) => self.add(lines),
            Err(error) => self.ended_missing = Some(Missing::of(error)),
        }
        self.as_of = None;
    }

    fn add(&mut self, lines: Vec<Line>) {
        for line in lines {
            if line.part == "source" {
                self.as_of = Some(line.text);
                if line.number != 0 {
                    self.live_missing = Some(Missing::TakesLong);
                }
                if line.other != 0 {
                    self.ended_missing = Some(Missing::TakesLong);
                }
                continue;
            }
            let queue = self.queues.entry(line.id).or_default();
            match line.part.as_str() {
                "queue" => (queue.name, queue.is_paused, queue.target) = (line.text, line.number != 0, line.seconds),
                "live" => (queue.pending, queue.running, queue.oldest) = (line.number, line.other, line.seconds),
                _ => {
                    queue.ever.add(&line.text, line.number);
                    queue.last_hour.add(&line.text, line.other);
                }
            }
        }
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
    fn add(&mut self, status: &str, jobs: i64) {
        self.all += jobs;
        match status {
            "completed" => self.completed += jobs,
            "failed" => self.failed += jobs,
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

/// The rows of the parts that are asked for.
fn lines(live: bool, ended: bool) -> Result<Vec<Line>, Error> {
    probe(|| {
        spi::connect(|connection| connection.run(&FIGURES, &[&live, &ended]).iter().map(|row| Line::of(&row)).collect())
    })
}

impl Line {
    fn of(row: &Row<'_>) -> Line {
        Line {
            part: row.text(1).unwrap_or_default(),
            id: row.integer(2).unwrap_or_default(),
            number: row.bigint(3).unwrap_or_default(),
            other: row.bigint(4).unwrap_or_default(),
            seconds: row.double(5),
            text: row.text(6).unwrap_or_default(),
        }
    }
}
