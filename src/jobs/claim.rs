//! Claiming: ready jobs become running, each under a new lease with a random token.

use super::queue::{self, Queue};
use super::rescue;
use crate::error::Error;
use crate::pg::datum::{Jsonb, Timestamptz};
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;
use serde_json::Value;

// Priority by priority, so that in each the index gives the order and ends at now: what is due later is not read, nor is
// what runs or has ended. A row that another session has locked is being claimed or changed by it. By id, not by ctid:
// the row may have moved since the snapshot.
static CLAIM: Statement = Statement::by_index(
    c"WITH picked AS (
          SELECT c.id
          FROM pg_catalog.generate_series(0, 9) AS p (priority)
          CROSS JOIN LATERAL (
              SELECT j.id
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
      ), taken AS (
          UPDATE foreman.live_job AS j
          SET status = 'running', attempt = j.attempt OPERATOR(pg_catalog.+) 1, started_at = $2,
              lease_token = pg_catalog.gen_random_uuid(), lease_seconds = $4,
              lease_expires_at = $2 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $4), worker = $5
          FROM picked AS k
          WHERE j.id OPERATOR(pg_catalog.=) k.id
          RETURNING j.priority, j.ready_at, j.id, pg_catalog.jsonb_build_object(
              'job_id', j.id, 'queue', $6::text, 'job_type', j.job_type, 'payload', j.payload, 'attempt', j.attempt,
              'max_attempts', j.max_attempts, 'priority', j.priority, 'run_at', j.run_at,
              'lease_token', j.lease_token, 'lease_expires_at', j.lease_expires_at, 'metadata', j.metadata,
              'error', j.last_error) AS job
      )
      SELECT pg_catalog.count(*), pg_catalog.jsonb_agg(t.job ORDER BY t.priority, t.ready_at, t.id) FROM taken AS t",
    &[pg_sys::INT4OID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID, pg_sys::FLOAT8OID, pg_sys::TEXTOID, pg_sys::TEXTOID],
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
    Ok(spi::connect(|connection| claimed(connection, Reply::success(), wanted)))
}

/// Adds to the reply what can be claimed.
pub fn claimed(connection: &Connection, reply: Reply, wanted: &Wanted) -> Reply {
    rescue::on_the_side(connection);
    let (mut left, mut jobs) = (wanted.max_jobs, None);
    let (mut paused, mut unknown) = (Vec::new(), Vec::new());
    for name in &wanted.queues {
        match queue::seen(name).or_else(|| queue::find(connection, name)) {
            None => unknown.push(name.as_str()),
            Some(queue) if queue.paused => paused.push(name.as_str()),
            Some(queue) if left > 0 => {
                let (count, batch) = from_one(connection, queue, name, left, wanted);
                left -= count;
                jobs = match (jobs, batch) {
                    (Some(jobs), Some(batch)) => Some(Jsonb::merge(jobs, batch)),
                    (jobs, batch) => jobs.or(batch),
                };
            }
            Some(_) => {}
        }
    }
    let reply = match jobs {
        Some(jobs) => reply.document("jobs", jobs),
        None => reply.field("jobs", Value::Array(Vec::new())),
    };
    let unknown = (!unknown.is_empty()).then(|| format!("There is no queue {} yet.", unknown.join(", ")));
    let all_paused = (!paused.is_empty() && paused.len() == wanted.queues.len()).then_some(true);
    reply.optional("paused", all_paused).optional("warning", unknown)
}

/// Claims from one queue: how many, and the jobs as an array.
fn from_one(connection: &Connection, queue: Queue, name: &str, most: i64, wanted: &Wanted) -> (i64, Option<Jsonb>) {
    let lease = wanted.lease_seconds.unwrap_or(queue.lease_seconds);
    let worker = wanted.worker.as_deref();
    // By the clock, not by the transaction's start: what has become due since is ready, and nothing is early.
    let now = Timestamptz::at(xact::clock());
    let rows = connection.run(&CLAIM, &[&queue.id, &now, &most, &lease, &worker, &name]);
    rows.first().map_or((0, None), |row| (row.bigint(1).unwrap_or_default(), row.jsonb(2)))
}
