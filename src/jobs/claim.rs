//! Claiming: ready jobs become running, each under a new lease with a random token.

use super::live::{LIVE_JOB, column};
use super::queue::{self, Queue};
use super::rescue;
use super::walk::{self, Go};
use crate::error::Error;
use crate::pg::datum::{Text, Timestamptz, Uuid};
use crate::pg::document::Member;
use crate::pg::jsonb;
use crate::pg::rows::{Rows, Scan, Taken};
use crate::pg::spi::{self, Statement};
use crate::pg::table::Value;
use crate::pg::xact;
use crate::reply::Reply;
use crate::shared::{floors, relaxed, tally};
use pgrx::pg_sys;

// What `without_statement` does where the table has triggers or is otherwise out of the ordinary, and under other
// isolation levels than READ COMMITTED.
//
// Priority by priority, so that in each the index gives the order and ends at now: what is due later is not read, nor is
// what runs or has ended. A row that another session has locked is being claimed or changed by it. By id, not by ctid:
// the row may have moved since the snapshot. Why the ids are said twice is told in live.rs.
static CLAIM: Statement = Statement::by_index(
    c"WITH picked AS (
          SELECT c.id, c.has_expired
          FROM pg_catalog.generate_series(0, 9) AS p (priority)
          CROSS JOIN LATERAL (
              SELECT j.id, j.last_error IS NOT DISTINCT FROM $7 AS has_expired
              FROM foreman.live_job AS j
              WHERE j.queue_id OPERATOR(pg_catalog.=) $1
                AND j.priority OPERATOR(pg_catalog.=) p.priority::smallint
                AND j.status OPERATOR(pg_catalog.=) 'pending'
                AND j.ready_at OPERATOR(pg_catalog.<=) $2
              ORDER BY j.ready_at, j.id
              LIMIT $3
              FOR NO KEY UPDATE SKIP LOCKED
          ) AS c
          LIMIT $3
      ), numbered AS (
          SELECT k.id, pg_catalog.row_number() OVER () AS place, k.has_expired FROM picked AS k
      ), alone AS (
          SELECT pg_catalog.min(n.place) AS place FROM numbered AS n WHERE n.has_expired
      ), taken AS (
          UPDATE foreman.live_job AS j
          SET status = 'running', attempt = j.attempt OPERATOR(pg_catalog.+) 1, started_at = $2,
              lease_token = pg_catalog.gen_random_uuid(), lease_seconds = $4,
              lease_expires_at = $2 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $4), worker = $5
          FROM numbered AS n CROSS JOIN alone AS a
          WHERE j.id OPERATOR(pg_catalog.=) n.id
            AND j.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT k.id FROM picked AS k))
            AND (a.place IS NULL OR n.place OPERATOR(pg_catalog.<) a.place
                OR ($8 AND n.place OPERATOR(pg_catalog.=) 1))
          RETURNING j.priority, j.ready_at, j.id, pg_catalog.jsonb_build_object(
              'job_id', j.id, 'queue', $6::text, 'job_type', j.job_type, 'payload', j.payload, 'attempt', j.attempt,
              'max_attempts', j.max_attempts, 'priority', j.priority, 'run_at', j.run_at,
              'lease_token', j.lease_token, 'lease_expires_at', j.lease_expires_at, 'metadata', j.metadata,
              'error', j.last_error) AS job
      )
      SELECT pg_catalog.jsonb_agg(t.job ORDER BY t.priority, t.ready_at, t.id),
             (SELECT a.place IS NOT NULL FROM alone AS a),
             pg_catalog.array_agg(t.ready_at)
      FROM taken AS t",
    &[
        pg_sys::INT4OID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::INT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::BOOLOID,
    ],
);

/// What a worker asks for.
pub struct Wanted {
    /// Looked at in this order.
    pub queues: Vec<String>,
    pub max_jobs: i64,
    /// `None`: the queue's.
    pub lease_seconds: Option<f64>,
    pub worker: Option<String>,
}

/// `claim_jobs`, `claim_jobs_from`.
pub fn claim(wanted: &Wanted) -> Result<Reply, Error> {
    Ok(claimed(Reply::success(), wanted))
}

/// Adds to the reply what can be claimed.
pub fn claimed(reply: Reply, wanted: &Wanted) -> Reply {
    rescue::on_the_side();
    relaxed::claim(|| from_all(reply, wanted))
}

/// Adds what the queues have, one after the other.
fn from_all(reply: Reply, wanted: &Wanted) -> Reply {
    let mut batch = Batch { most: wanted.max_jobs as usize, jobs: Vec::new(), is_closed: false };
    let (mut paused, mut unknown) = (Vec::new(), Vec::new());
    for name in &wanted.queues {
        match queue::known(name) {
            None => unknown.push(name.as_str()),
            Some(queue) if queue.paused => paused.push(name.as_str()),
            Some(queue) => from_one(queue, name, &mut batch, wanted),
        }
    }
    let unknown = (!unknown.is_empty()).then(|| format!("There is no queue {} yet.", unknown.join(", ")));
    let all_paused = (!paused.is_empty() && paused.len() == wanted.queues.len()).then_some(true);
    reply.list("jobs", batch.jobs).optional("paused", all_paused).optional("warning", unknown)
}

/// The jobs of one claim. One whose lease has expired before is handed out alone: should it kill its worker again, it takes
/// no others with it, which would all use up their attempts.
struct Batch {
    most: usize,
    jobs: Vec<Member>,
    /// Whether nothing more goes in.
    is_closed: bool,
}

impl Batch {
    /// Whether there is room for another.
    fn has_room(&self) -> bool {
        !self.is_closed && self.jobs.len() < self.most
    }

    /// Whether the job that the walk stands at may go in; the batch is closed where it has to go alone.
    fn admits(&mut self, scan: &Scan) -> bool {
        let has_expired = scan.column(column::LAST_ERROR).is_some()
            && scan.text(column::LAST_ERROR).is_some_and(|error| error.bytes() == rescue::EXPIRED.as_bytes());
        self.is_closed = has_expired;
        !has_expired || self.jobs.is_empty()
    }
}

/// Claims from one queue.
fn from_one(queue: Queue, name: &str, batch: &mut Batch, wanted: &Wanted) {
    // By the clock, not by the transaction's start: what has become due since is ready, and nothing is early.
    let now = xact::clock();
    let lease = Lease { now, seconds: wanted.lease_seconds.unwrap_or(queue.lease_seconds), worker: &wanted.worker };
    if batch.has_room() && without_statement(queue, name, batch, &lease).is_none() {
        by_statement(queue, name, batch, &lease);
    }
}

/// The lease under which jobs are given out.
struct Lease<'a> {
    now: i64,
    seconds: f64,
    worker: &'a Option<String>,
}

impl Lease<'_> {
    /// When it expires.
    fn expires_at(&self) -> i64 {
        xact::after(self.now, self.seconds)
    }
}

/// Claims by the statement.
fn by_statement(queue: Queue, name: &str, batch: &mut Batch, lease: &Lease) {
    floors::note_look(LIVE_JOB.oid(), queue.id, lease.now);
    let (now, most) = (Timestamptz::at(lease.now), (batch.most - batch.jobs.len()) as i64);
    let (worker, is_empty) = (lease.worker.as_deref(), batch.jobs.is_empty());
    let (claimed, is_closed) = spi::connect(|connection| {
        let rows = connection
            .run(&CLAIM, &[&queue.id, &now, &most, &lease.seconds, &worker, &name, &rescue::EXPIRED, &is_empty]);
        let row = rows.first();
        let ready_at = row.as_ref().and_then(|row| row.times(3)).unwrap_or_default();
        ready_at.iter().for_each(|at| tally::claimed(lease.now.saturating_sub(*at)));
        row.map_or((None, false), |row| (row.jsonb(1), row.boolean(2)))
    });
    batch.is_closed = is_closed;
    if let Some(jobs) = claimed {
        batch.jobs.extend(jsonb::members(jobs).map(|(_, job)| Member::Document(job.to_jsonb())));
    }
}

/// Claims row by row as the statement does, from the same index in the same order; `None`, and nothing done, where that
/// takes a statement. Under other isolation levels it does: there a row that has changed since the snapshot is an error.
fn without_statement(queue: Queue, name: &str, batch: &mut Batch, lease: &Lease) -> Option<()> {
    if !xact::is_read_committed() {
        return None;
    }
    let rows = Rows::open(&LIVE_JOB)?;
    walk::due(&rows, queue.id, lease.now, &mut |scan, taken| {
        if taken == Taken::No && batch.admits(scan) {
            match take(scan, name, lease) {
                Some(job) => batch.jobs.push(job),
                // Somebody else has it by now.
                None => batch.is_closed = false,
            }
        }
        if batch.has_room() { Go::On } else { Go::Home }
    })?;
    Some(())
}

/// Takes the job that the walk stands at, unless another session is at it.
fn take(scan: &mut Scan, queue: &str, lease: &Lease) -> Option<Member> {
    let token = Uuid::random();
    let attempt = scan.integer(column::ATTEMPT) + 1;
    let mut values: Vec<Value> = (0..LIVE_JOB.width()).map(|place| scan.value(place)).collect();
    values[column::STATUS] = Value::Label(c"running");
    values[column::ATTEMPT] = attempt.into();
    values[column::STARTED_AT] = Timestamptz::at(lease.now).into();
    values[column::LEASE_TOKEN] = token.into();
    values[column::LEASE_SECONDS] = lease.seconds.into();
    values[column::LEASE_EXPIRES_AT] = Timestamptz::at(lease.expires_at()).into();
    values[column::WORKER] = lease.worker.as_deref().into();
    if !scan.update(&values) {
        return None;
    }
    tally::claimed(lease.now.saturating_sub(scan.bigint(column::READY_AT)));
    let text = |text: Option<Text>| text.map_or(Member::Value(serde_json::Value::Null), Member::Text);
    let time = |microseconds: i64| Member::Value(Timestamptz::at(microseconds).to_json().into());
    // In the order in which a jsonb keeps them, by length first: the server sorts what is sorted in no time.
    Some(Member::Object(vec![
        ("error", text(scan.text(column::LAST_ERROR))),
        ("queue", Member::Value(queue.into())),
        ("job_id", Member::Value(scan.bigint(column::ID).into())),
        ("run_at", time(scan.bigint(column::RUN_AT))),
        ("attempt", Member::Value(attempt.into())),
        ("payload", scan.jsonb(column::PAYLOAD)),
        ("job_type", text(scan.text(column::JOB_TYPE))),
        ("metadata", scan.jsonb(column::METADATA)),
        ("priority", Member::Value(scan.smallint(column::PRIORITY).into())),
        ("lease_token", Member::Value(token.to_text().into())),
        ("max_attempts", Member::Value(scan.integer(column::MAX_ATTEMPTS).into())),
        ("lease_expires_at", time(lease.expires_at())),
    ]))
}
