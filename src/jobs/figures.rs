//! The figures of jobs: what is small is counted now, the rest as it was rolled up (sql/36_figures.sql), and days that are
//! over as they were counted once (sql/35_counted_days.sql).
//!
//! All that a `Reader` reads is seen by the snapshot in force, so that no job is in two parts of the figures, or in none. In
//! Rust, since what a session does first is to load plpgsql, compile functions and plan their statements: 7 ms, and 2 as it is.

use super::live::{FINISHED, FINISHED_JOB, FINISHED_REST, LIVE_JOB, column, finished_column};
use super::status::Status;
use crate::pg::datum::{Array, Date};
use crate::pg::spi::{self, Row, Statement};
use crate::pg::table::{Open, Table};
use crate::pg::{activity, catalog, disk, walk, xact};
use pgrx::pg_sys;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::iter;

/// Bytes of a table that are counted in 2 to 3 ms, dead rows included, however short the rows are.
const SMALL: u64 = 2 << 20;
/// Rows that are counted in a tenth of a second, which is as long as who asks for health may wait. By what statistics say of
/// them: a size would wait for whoever has the table locked.
const MANY: i64 = 300_000;

const MINUTE: i64 = 60_000_000;
const QUARTER: i64 = 15 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

static DAYS: Statement = Statement::new(
    c"SELECT d.day, d.partition_name, c.partition
      FROM foreman.finished_day AS d
      LEFT JOIN foreman.finished_counted AS c ON c.day OPERATOR(pg_catalog.=) d.day",
    &[],
);

static LAST: Statement = Statement::by_index(
    c"SELECT r.id, r.as_of, EXTRACT(epoch FROM r.took)::double precision
      FROM foreman.roll_up AS r
      ORDER BY r.id DESC
      LIMIT 1",
    &[],
);

static LIVE: Statement = Statement::by_index(
    c"SELECT r.queue_id, r.pending, r.scheduled, r.running, r.oldest_ready_at
      FROM foreman.roll_up_live AS r
      WHERE r.roll_up OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID],
);

static ENDED: Statement = Statement::by_index(
    c"SELECT r.queue_id, r.status, r.jobs, r.ended_from
      FROM foreman.roll_up_ended AS r
      WHERE r.roll_up OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID],
);

// $1 are days that are counted, $2 the first of which it is asked, $3 the first hour of that. What transactions have changed
// that are not added yet comes beside it.
static COUNTED: Statement = Statement::by_index(
    c"SELECT f.queue_id, f.status, f.jobs
      FROM foreman.finished_count AS f
      WHERE f.hour IS NULL AND f.day OPERATOR(pg_catalog.=) ANY ($1)
        AND (f.day OPERATOR(pg_catalog.>) $2 OR $3 OPERATOR(pg_catalog.=) 0)
      UNION ALL
      SELECT f.queue_id, f.status, f.jobs
      FROM foreman.finished_count AS f
      WHERE f.hour OPERATOR(pg_catalog.>=) $3 AND f.day OPERATOR(pg_catalog.=) $2
        AND f.day OPERATOR(pg_catalog.=) ANY ($1) AND $3 OPERATOR(pg_catalog.>) 0
      UNION ALL
      SELECT f.queue_id, f.status, f.jobs
      FROM foreman.finished_change AS f
      WHERE f.transaction OPERATOR(pg_catalog.>=) COALESCE(
              (SELECT a.below FROM foreman.finished_added AS a ORDER BY a.id DESC LIMIT 1), '0')
        AND f.day OPERATOR(pg_catalog.=) ANY ($1)
        AND (f.day OPERATOR(pg_catalog.>) $2 OR f.hour OPERATOR(pg_catalog.>=) $3)",
    &[pg_sys::DATEARRAYOID, pg_sys::DATEOID, pg_sys::INT4OID],
);

/// Where the figures come from, a roll-up or (`None`) a count, and the moments that they are of.
pub struct Source {
    pub live_roll_up: Option<i64>,
    pub ended_roll_up: Option<i64>,
    pub live_as_of: i64,
    pub as_of: i64,
}

/// A day that has a partition.
pub struct Day {
    pub day: Date,
    pub name: String,
    pub partition: u32,
    /// What is to be counted; `None` where the day is over and counted.
    table: Option<Table>,
}

/// Whether jobs are few enough to be counted by who asks.
pub struct Small {
    pub live: bool,
    /// Of those that ended on days that are not counted.
    pub ended: bool,
}

/// The live jobs of a queue.
#[derive(Debug, Default)]
pub struct Live {
    pub pending: i64,
    pub scheduled: i64,
    pub running: i64,
    pub oldest_ready_at: Option<i64>,
}

/// Jobs of a queue that ended so.
pub struct Ended {
    pub queue: i32,
    pub status: Status,
    pub jobs: i64,
    /// Those of them that ended since the moment that was asked for.
    pub since: i64,
}

/// Jobs of a queue that ended so within a quarter of an hour, on a day that is not counted.
pub struct Uncounted {
    pub ended: Ended,
    pub from: i64,
}

/// Reads figures.
#[derive(Default)]
pub struct Reader {
    days: OnceCell<Vec<Day>>,
}

impl Reader {
    /// The partitions of finished jobs. A table that was detached or dropped is no part of the figures.
    pub fn days(&self) -> &[Day] {
        self.days.get_or_init(|| {
            let partitions = catalog::children(FINISHED_JOB.oid());
            spi::connect_to_read(|connection| {
                let days = connection.run(&DAYS, &[]);
                days.iter().filter_map(|row| Day::of(&row, &partitions)).collect()
            })
        })
    }

    /// The tables of jobs that ended and are not counted.
    fn uncounted_tables(&self) -> impl Iterator<Item = &Table> {
        iter::once(&FINISHED_REST).chain(self.days().iter().filter_map(|day| day.table.as_ref()))
    }

    /// Whether they are.
    pub fn small(&self) -> Small {
        let bytes = |table: &Table| disk::size_of(table.oid());
        Small { live: bytes(&LIVE_JOB) <= SMALL, ended: self.uncounted_tables().map(bytes).sum::<u64>() <= SMALL }
    }

    /// The last roll-up, unless nobody seems to do upkeep any more, of what is not small.
    pub fn source(&self) -> Source {
        let now = xact::clock();
        let last = spi::connect_to_read(|connection| {
            let rows = connection.run(&LAST, &[]);
            let row = rows.first()?;
            Some((row.bigint(1)?, row.time(2)?.microseconds(), (row.double(3)? * 1e6) as i64))
        });
        let last = last.filter(|(_, as_of, took)| now - as_of < HOUR.max(50 * took));
        let Some((id, rolled_up, _)) = last else {
            return Source { live_roll_up: None, ended_roll_up: None, live_as_of: now, as_of: now };
        };
        let small = self.small();
        let live_roll_up = (!small.live).then_some(id);
        // Live jobs of then and ended ones of now would have some in both.
        let ended_roll_up = (!(small.live && small.ended)).then_some(id);
        let as_of = |roll_up: Option<i64>| if roll_up.is_some() { rolled_up } else { now };
        Source { live_roll_up, ended_roll_up, live_as_of: as_of(live_roll_up), as_of: as_of(ended_roll_up) }
    }

    /// Whether jobs that ended would have to be counted, and are many.
    pub fn ended_take_long(&self, of_roll_up: Option<i64>) -> bool {
        of_roll_up.is_none()
            && self.uncounted_tables().map(|table| activity::live_rows(table.oid())).sum::<i64>() > MANY
    }

    /// From which moment on jobs can be counted that have ended since this one: it, or the beginning of its hour or quarter.
    pub fn since(&self, at: i64, of_roll_up: Option<i64>) -> i64 {
        let is_counted = self.days().iter().any(|day| day.is_counted() && day.day == day_of(at));
        let step = match of_roll_up {
            _ if is_counted => HOUR,
            Some(_) => QUARTER,
            None => return at,
        };
        at.div_euclid(step) * step
    }

    /// The jobs that have ended on days that are not counted yet, and those since then, counted now.
    pub fn uncounted(&self, since: Option<i64>) -> Vec<Uncounted> {
        let (mut sums, today) = (BTreeMap::new(), day_of(xact::clock()));
        // Opening those of days to come would take longer than all else. Only of them a size is believed: where somebody has
        // just rewritten a table, this session may still look at its old file.
        let may_have_jobs = |day: &&Day| day.day <= today || disk::size_of(day.partition) > 0;
        let days = self.days().iter().filter(may_have_jobs).filter_map(|day| day.table.as_ref());
        for table in iter::once(&FINISHED_REST).chain(days) {
            add_uncounted(table, since, &mut sums);
        }
        let uncounted = |((queue, from, status), (jobs, since)): ((i32, i64, usize), (i64, i64))| Uncounted {
            ended: Ended { queue, status: Status::ENDS[status], jobs, since },
            from,
        };
        sums.into_iter().map(uncounted).collect()
    }

    /// The jobs that have ended since then (the full hour) on days that are over and counted.
    pub fn counted(&self, since: Option<i64>) -> Vec<(i32, Status, i64)> {
        let (first_day, first_hour) = match since {
            None => (Date(i32::MIN), 0),
            Some(since) => (day_of(since), (since.rem_euclid(DAY) / HOUR) as i32),
        };
        let days = self.days().iter().filter(|day| day.is_counted() && day.day >= first_day).map(|day| day.day);
        let days: Vec<Date> = days.collect();
        // Also spares a new session the planning.
        if days.is_empty() {
            return Vec::new();
        }
        spi::connect_to_read(|connection| {
            let days = Array::of(days.into_iter().map(Some));
            let rows = connection.run(&COUNTED, &[&days, &first_day, &first_hour]);
            rows.iter().filter_map(|row| Some((row.integer(1)?, status(&row, 2)?, row.bigint(3)?))).collect()
        })
    }

    /// The jobs of each queue that have ended ever, and those since then (`None`: all), several times each.
    pub fn ended(&self, of_roll_up: Option<i64>, since: Option<i64>) -> Vec<Ended> {
        let mut all: Vec<Ended> = match of_roll_up {
            Some(roll_up) => rolled_up(roll_up, since),
            None => {
                let uncounted = self.uncounted(since).into_iter().map(|uncounted| uncounted.ended);
                let counted = self.counted(None).into_iter().map(|(queue, status, jobs)| Ended {
                    queue,
                    status,
                    jobs,
                    since: if since.is_none() { jobs } else { 0 },
                });
                uncounted.chain(counted).collect()
            }
        };
        if since.is_some() {
            let late = self.counted(since);
            all.extend(late.into_iter().map(|(queue, status, since)| Ended { queue, status, jobs: 0, since }));
        }
        all
    }
}

/// The day (UTC) of a moment.
fn day_of(at: i64) -> Date {
    Date(at.div_euclid(DAY) as i32)
}

/// A column of a job's state.
fn status(row: &Row<'_>, column: i32) -> Option<Status> {
    row.text(column).as_deref().and_then(Status::of_name)
}

/// Opens a table of ours that is there, as far as it is ours.
fn open(table: &Table) -> Option<Open> {
    let open = Open::extended(table, pg_sys::AccessShareLock);
    // A partition may just have been dropped.
    if open.is_none() && table.oid() != 0 {
        table.raise_not_as_known();
    }
    open
}

/// Adds the jobs of a table to the sums by queue, quarter and end.
fn add_uncounted(table: &Table, since: Option<i64>, sums: &mut BTreeMap<(i32, i64, usize), (i64, i64)>) {
    use finished_column::{FINISHED_AT, QUEUE_ID, STATUS};
    let Some(open) = open(table) else { return };
    let ends: Vec<u32> = Status::ENDS.iter().map(|status| walk::label(&open, STATUS, status.label())).collect();
    walk::through(&open, STATUS + 1, |row| {
        let at = row.time(FINISHED_AT).unwrap_or_default();
        let Some(end) = ends.iter().position(|end| *end == row.number(STATUS)) else { return };
        let sum = sums.entry((row.integer(QUEUE_ID), at.div_euclid(QUARTER) * QUARTER, end)).or_insert((0, 0));
        sum.0 += 1;
        sum.1 += i64::from(since.is_none_or(|since| at >= since));
    });
}

/// The jobs that ended, as they were rolled up.
fn rolled_up(roll_up: i64, since: Option<i64>) -> Vec<Ended> {
    spi::connect_to_read(|connection| {
        let rows = connection.run(&ENDED, &[&roll_up]);
        let ended = |row: Row<'_>| {
            let (jobs, from) = (row.bigint(3)?, row.time(4)?.microseconds());
            let is_since = since.is_none_or(|since| from >= since);
            Some(Ended {
                queue: row.integer(1)?,
                status: status(&row, 2)?,
                jobs,
                since: if is_since { jobs } else { 0 },
            })
        };
        rows.iter().filter_map(ended).collect()
    })
}

/// Whether live jobs would have to be counted, and are many: upkeep has not counted them for an hour.
pub fn live_take_long(of_roll_up: Option<i64>) -> bool {
    let table = LIVE_JOB.oid();
    of_roll_up.is_none() && activity::live_rows(table) + activity::dead_rows(table) > MANY
}

/// The live jobs of each queue as they were rolled up, or as they are now (`None`).
pub fn live(of_roll_up: Option<i64>) -> BTreeMap<i32, Live> {
    match of_roll_up {
        Some(roll_up) => spi::connect_to_read(|connection| {
            connection.run(&LIVE, &[&roll_up]).iter().filter_map(|row| Live::of(&row)).collect()
        }),
        None => counted_live(),
    }
}

/// The live jobs, counted now.
fn counted_live() -> BTreeMap<i32, Live> {
    let mut queues: BTreeMap<i32, Live> = BTreeMap::new();
    let now = xact::clock();
    let Some(open) = open(&LIVE_JOB) else { return queues };
    let [pending, running] =
        [Status::Pending, Status::Running].map(|status| walk::label(&open, column::STATUS, status.label()));
    walk::through(&open, column::STATUS + 1, |row| {
        let live = queues.entry(row.integer(column::QUEUE_ID)).or_default();
        let status = row.number(column::STATUS);
        if status == pending {
            let ready_at = row.time(column::READY_AT);
            live.pending += 1;
            live.scheduled += i64::from(ready_at.is_some_and(|at| at > now));
            live.oldest_ready_at = live.oldest_ready_at.into_iter().chain(ready_at).min();
        }
        live.running += i64::from(status == running);
    });
    queues
}

impl Day {
    /// A day whose partition is one.
    fn of(row: &Row<'_>, partitions: &HashSet<u32>) -> Option<Day> {
        let (day, name) = (Date(row.integer(1)?), row.text(2)?);
        if let Some(partition) = row.number(3).filter(|partition| partitions.contains(partition)) {
            return Some(Day { day, name, partition, table: None });
        }
        let table = Table::partition(CString::new(name.as_str()).ok()?, FINISHED);
        let partition = table.oid();
        partitions.contains(&partition).then_some(Day { day, name, partition, table: Some(table) })
    }

    /// Whether it is over and counted.
    pub fn is_counted(&self) -> bool {
        self.table.is_none()
    }
}

impl Live {
    fn of(row: &Row<'_>) -> Option<(i32, Live)> {
        let number = |column| row.bigint(column).unwrap_or_default();
        let oldest_ready_at = row.time(5).map(|at| at.microseconds());
        Some((row.integer(1)?, Live { pending: number(2), scheduled: number(3), running: number(4), oldest_ready_at }))
    }
}
