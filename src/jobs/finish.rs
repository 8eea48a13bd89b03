//! Ending jobs: a finished job's row moves from the live table to the finished one in one statement, for one job or many.

use super::keys;
use super::live::{self, LIVE_JOB, column};
use super::status::Status;
use crate::pg::datum::{Array, Jsonb, Text, Timestamptz, Uuid};
use crate::pg::rows::{Key, Rows, Scan};
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::table::Value;
use crate::pg::xact;
use crate::shared::tally::{self, Event};
use pgrx::pg_sys;
use std::collections::HashSet;

/// What is said of the end of a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    pub result: Option<Jsonb>,
    pub error: Option<Text>,
}

/// When a job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In any case.
    Always = 0,
    /// Where it can't be tried again: its attempts are used up, or a cancel was requested.
    NoAttemptLeft = 1,
    /// Where a cancel was requested.
    CancelRequested = 2,
}

/// A job that is to end.
pub struct End<'a> {
    pub job_id: i64,
    pub lease_token: Option<&'a str>,
    pub ending: Ending,
    pub when: When,
}

/// A job that has ended.
pub struct Ended {
    pub job_id: i64,
    pub from: Status,
    pub to: Status,
}

/// Which jobs may end, and as what.
pub struct Rule<'a> {
    pub to: Status,
    pub from: &'a [Status],
    /// Whether a lease of somebody else's is no obstacle.
    pub forced: bool,
}

// Why the ids are said twice is told in live.rs, and there too why it is not asked here whether the day has a partition.
//
// Rows are locked in the order of the arrays. Whoever did not want an end in any case and finds a cancel requested
// has cancelled the job. The token is kept only of the lease under which the job was ended: to a holder that lost his,
// nothing must look as if he had ended it.
static FINISH: Statement = Statement::by_index(
    c"WITH gone AS (
          DELETE FROM foreman.live_job AS j
          USING ROWS FROM (
              pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
              pg_catalog.unnest($5)
          ) AS w (id, token, result, error, end_when)
          WHERE j.id OPERATOR(pg_catalog.=) w.id
            AND j.id OPERATOR(pg_catalog.=) ANY ($1)
            AND j.status::text OPERATOR(pg_catalog.=) ANY ($7)
            AND ($8 OR j.lease_token IS NOT DISTINCT FROM w.token::uuid)
            AND (w.end_when OPERATOR(pg_catalog.=) 0 OR j.cancel_requested_at IS NOT NULL
                OR (w.end_when OPERATOR(pg_catalog.=) 1 AND j.attempt OPERATOR(pg_catalog.>=) j.max_attempts))
          RETURNING j.*, w.result, w.error,
                    w.end_when OPERATOR(pg_catalog.>) 0 AND j.cancel_requested_at IS NOT NULL AS is_cancelled
      ), done AS (
          SELECT g.id, g.run_at, g.created_at, g.started_at, $9 AS finished_at, g.queue_id, g.attempt, g.max_attempts,
                 g.priority, CASE WHEN g.is_cancelled THEN 'cancelled' ELSE $6 END::foreman.job_status AS status,
                 CASE WHEN NOT $8 THEN g.lease_token END AS lease_token, g.job_type, g.unique_key, g.worker, g.payload, g.metadata, g.result,
                 CASE WHEN NOT g.is_cancelled THEN g.error
                      ELSE COALESCE(g.cancel_reason, CASE WHEN NOT $8 THEN g.error END, 'A cancel was requested.')
                 END AS error
          FROM gone AS g
      ), kept AS (
          INSERT INTO foreman.finished_job
              (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
               priority, status, lease_token, job_type, unique_key, worker, payload, metadata, result, error)
          SELECT d.id, d.run_at, d.created_at, d.started_at, d.finished_at, d.queue_id, d.attempt, d.max_attempts,
                 d.priority, d.status, d.lease_token, d.job_type, d.unique_key, d.worker, d.payload, d.metadata,
                 d.result, d.error
          FROM done AS d WHERE $10
      ), rest AS (
          INSERT INTO foreman.finished_rest
              (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
               priority, status, lease_token, job_type, unique_key, worker, payload, metadata, result, error)
          SELECT d.id, d.run_at, d.created_at, d.started_at, d.finished_at, d.queue_id, d.attempt, d.max_attempts,
                 d.priority, d.status, d.lease_token, d.job_type, d.unique_key, d.worker, d.payload, d.metadata,
                 d.result, d.error
          FROM done AS d WHERE NOT $10
      )
      SELECT g.id, g.status::text, g.is_cancelled, g.queue_id, g.unique_key, g.key_taken_at, g.started_at FROM gone AS g",
    &[
        pg_sys::INT8ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::JSONBARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::BOOLOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::BOOLOID,
    ],
);

/// Ends those jobs that are in a state which allows it and whose lease is the given one, and says which.
pub fn finish(ends: &[End], rule: &Rule) -> Vec<Ended> {
    let mut ended = without_statement(ends, rule).unwrap_or_default();
    if ended.len() < ends.len() {
        let done: HashSet<i64> = ended.iter().map(|ended| ended.job_id).collect();
        let left: Vec<&End> = ends.iter().filter(|end| !done.contains(&end.job_id)).collect();
        ended.extend(spi::connect(|connection| by_statement(connection, &left, rule)));
    }
    ended
}

/// Ends jobs that run under the given leases row by row, as the statement does; those that it can't end so are left to
/// the statement, all of them, and nothing done, where `None`.
fn without_statement(ends: &[End], rule: &Rule) -> Option<Vec<Ended>> {
    if rule.forced || rule.from != [Status::Running] || !xact::is_read_committed() {
        return None;
    }
    let now = xact::clock();
    let live = Rows::open(&LIVE_JOB)?;
    let finished = Rows::open(&live::partition_at(now))?;
    let mut scan = live.scan(c"live_job_has_an_id", &[column::ID])?;
    let mut ended = Vec::with_capacity(ends.len());
    for end in ends {
        scan.start(&[Key::bigint(end.job_id)]);
        if scan.next() && is_to_end(&mut scan, end) {
            let row = finished_row(&scan, end, rule.to, now);
            if scan.delete() {
                finished.insert(&row);
                free_key(&scan);
                tell(Status::Running, rule.to, now, Some(scan.bigint(column::STARTED_AT)));
                ended.push(Ended { job_id: end.job_id, from: Status::Running, to: rule.to });
            }
        }
    }
    Some(ended)
}

/// Counts a job that has ended. One that did not run at the end may have done so in an earlier attempt.
fn tell(from: Status, to: Status, now: i64, started_at: Option<i64>) {
    let event = match to {
        Status::Completed => Some(Event::Completed),
        Status::Failed => Some(Event::Failed),
        Status::Cancelled => Some(Event::Cancelled),
        Status::Pending | Status::Running => None,
    };
    event.into_iter().for_each(|event| tally::count(event, 1));
    if let Some(started_at) = started_at.filter(|_| from == Status::Running) {
        tally::ran(now.saturating_sub(started_at));
    }
}

/// Frees the key of the job that the walk stands at, if it has one.
fn free_key(scan: &Scan) {
    if let (Some(key), Some(_)) = (scan.text(column::UNIQUE_KEY), scan.column(column::KEY_TAKEN_AT)) {
        keys::free(scan.integer(column::QUEUE_ID), key, scan.bigint(column::KEY_TAKEN_AT));
    }
}

/// Whether the job that the walk stands at may end so. One that a cancel was asked of is left to the statement.
fn is_to_end(scan: &mut Scan, end: &End) -> bool {
    let is_due = match end.when {
        When::Always => true,
        When::NoAttemptLeft => scan.integer(column::ATTEMPT) >= scan.integer(column::MAX_ATTEMPTS),
        When::CancelRequested => false,
    };
    is_due
        && scan.column(column::CANCEL_REQUESTED_AT).is_none()
        && scan.is_label(column::STATUS, c"running")
        && scan.uuid(column::LEASE_TOKEN).map(Uuid::to_text).as_deref() == end.lease_token
}

/// The row for the partition, its values in the order of the columns there. They lie in the page that the walk stands
/// at, which stays pinned until it goes on.
fn finished_row(scan: &Scan, end: &End, to: Status, now: i64) -> [Value; 18] {
    [
        scan.value(column::ID),
        scan.value(column::RUN_AT),
        scan.value(column::CREATED_AT),
        scan.value(column::STARTED_AT),
        Timestamptz::at(now).into(),
        scan.value(column::QUEUE_ID),
        scan.value(column::ATTEMPT),
        scan.value(column::MAX_ATTEMPTS),
        scan.value(column::PRIORITY),
        Value::Label(to.label()),
        scan.value(column::LEASE_TOKEN),
        scan.value(column::JOB_TYPE),
        scan.value(column::UNIQUE_KEY),
        scan.value(column::WORKER),
        scan.value(column::PAYLOAD),
        scan.value(column::METADATA),
        end.ending.result.into(),
        end.ending.error.into(),
    ]
}

/// Ends jobs by the statement.
fn by_statement(connection: &Connection, ends: &[&End], rule: &Rule) -> Vec<Ended> {
    let now = xact::clock();
    let from: Vec<&str> = rule.from.iter().map(|status| status.name()).collect();
    let rows = connection.run(
        &FINISH,
        &[
            &Array::of(ends.iter().map(|end| Some(end.job_id))),
            &Array::of(ends.iter().map(|end| end.lease_token.map(Text::from_utf8))),
            &Array::of(ends.iter().map(|end| end.ending.result)),
            &Array::of(ends.iter().map(|end| end.ending.error)),
            &Array::of(ends.iter().map(|end| Some(end.when as i32))),
            &rule.to.name(),
            &Array::of_names(&from),
            &rule.forced,
            &Timestamptz::at(now),
            &live::has_partition(now),
        ],
    );
    let ended = |row: Row| {
        keys::free_of(&row, 4);
        let to = if row.boolean(3) { Status::Cancelled } else { rule.to };
        let from = Status::of_name(&row.text(2)?)?;
        tell(from, to, now, row.bigint(7));
        Some(Ended { job_id: row.bigint(1)?, from, to })
    };
    rows.iter().filter_map(ended).collect()
}
