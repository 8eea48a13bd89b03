//! Why a job does not run, by the claim's own conditions.

use super::live::LIVE_JOB;
use super::status::Status;
use crate::error::Error;
use crate::pg::datum::Timestamptz;
use crate::pg::spi::{self, Row, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use crate::shared::floors;
use pgrx::pg_sys;
use serde_json::{Value, json};

/// The statement counts one more, and then stops.
const MOST_AHEAD: i64 = 1_000;

static LOOK: Statement = Statement::by_index(
    c"SELECT j.status::text, q.name,
             pg_catalog.to_jsonb(q.paused_at) OPERATOR(pg_catalog.#>>) '{}',
             pg_catalog.to_jsonb(j.ready_at) OPERATOR(pg_catalog.#>>) '{}', j.ready_at OPERATOR(pg_catalog.>) $2,
             j.run_at OPERATOR(pg_catalog.<=) $2,
             pg_catalog.to_jsonb(j.lease_expires_at) OPERATOR(pg_catalog.#>>) '{}',
             j.lease_expires_at OPERATOR(pg_catalog.<=) $2,
             j.worker, j.attempt, j.max_attempts, j.error, j.cancel_requested_at IS NOT NULL,
             CASE WHEN j.is_live AND j.status OPERATOR(pg_catalog.=) 'pending' THEN (
                 SELECT pg_catalog.count(*) FROM (
                     SELECT 1 FROM pg_catalog.generate_series(0, j.priority) AS p (priority)
                     CROSS JOIN LATERAL (
                         SELECT 1 FROM foreman.live_job AS b
                         WHERE b.queue_id OPERATOR(pg_catalog.=) j.queue_id
                           AND b.priority OPERATOR(pg_catalog.=) p.priority::smallint
                           AND b.status OPERATOR(pg_catalog.=) 'pending'
                           AND b.ready_at OPERATOR(pg_catalog.<=) $2
                           AND (p.priority OPERATOR(pg_catalog.<) j.priority
                               OR ROW(b.ready_at, b.id) OPERATOR(pg_catalog.<) ROW(j.ready_at, j.id))
                         LIMIT 1001
                     ) AS before
                     LIMIT 1001
                 ) AS ahead)
             END, j.queue_id
      FROM foreman.any_job AS j
      CROSS JOIN LATERAL (
          SELECT n.name, n.paused_at FROM foreman.queue AS n WHERE n.id OPERATOR(pg_catalog.=) j.queue_id OFFSET 0
      ) AS q
      WHERE j.id OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID],
);

/// `explain_job`.
pub fn explain(job_id: i64) -> Result<Reply, Error> {
    spi::connect(|connection| {
        let rows = connection.run(&LOOK, &[&job_id, &Timestamptz::at(xact::clock())]);
        let row = rows.first().ok_or_else(|| Error::no_job(job_id))?;
        let status = row.text(1).and_then(|name| Status::of_name(&name)).ok_or_else(|| Error::no_job(job_id))?;
        let mut reasons = match status {
            Status::Pending => of_pending(&row),
            Status::Running => of_running(&row),
            ended => vec![of_ended(ended, &row)],
        };
        let runnable = status == Status::Pending && reasons.is_empty();
        if runnable {
            reasons.extend(unclaimed(&row));
        }
        let ahead = row.bigint(14);
        Ok(Reply::success()
            .field("job_id", job_id)
            .field("queue", row.text(2).unwrap_or_default())
            .field("job_status", status.name())
            .field("runnable", runnable)
            .optional("jobs_ahead", ahead.map(|ahead| ahead.min(MOST_AHEAD)))
            .optional("jobs_ahead_is_at_least", ahead.filter(|ahead| *ahead > MOST_AHEAD).map(|_| true))
            .field("reasons", Value::Array(reasons)))
    })
}

/// What keeps a pending job from being claimed now.
fn of_pending(row: &Row) -> Vec<Value> {
    let mut reasons = Vec::new();
    if let Some(since) = row.text(3) {
        let message = "The queue is paused: foreman.resume_queue lets its jobs go on.";
        reasons.push(json!({"reason": "queue_paused", "message": message, "since": since}));
    }
    if row.boolean(5) {
        let due = row.text(4);
        let message = if row.boolean(6) {
            "The job is not due yet: it waits after a failed attempt, or the server's clock was put back."
        } else {
            "The job is not due yet: it was created or given back for a later time."
        };
        reasons.push(json!({"reason": "not_due", "message": message, "due_at": due}));
    }
    reasons
}

/// That nobody asks for jobs of the queue, if so: a worker that waits looks every ten seconds. Only shared memory knows.
fn unclaimed(row: &Row) -> Option<Value> {
    /// Microseconds.
    const LONG: i64 = 15_000_000;
    let looked_at = row.integer(15).filter(|_| floors::are_shared()).map(|id| floors::looked_at(LIVE_JOB.oid(), id))?;
    let is_long_ago = looked_at.is_none_or(|at| xact::clock() - at > LONG);
    let message = "No session has claimed from this queue since then, or ever: are its workers running?";
    let since = looked_at.map(|at| Timestamptz::at(at).to_json());
    is_long_ago.then(|| json!({"reason": "not_claimed_from", "message": message, "since": since}))
}

/// What keeps a running job from being given to another worker.
fn of_running(row: &Row) -> Vec<Value> {
    let (reason, message) = if row.boolean(8) {
        ("lease_expired", "The lease has expired: the next rescue_expired or maintain makes the job pending again.")
    } else if row.boolean(13) {
        ("cancel_requested", "A cancel was requested: the worker learns it by its next heartbeat.")
    } else {
        ("leased", "A worker holds the job until its lease expires.")
    };
    vec![json!({"reason": reason, "message": message, "lease_expires_at": row.text(7), "worker": row.text(9)})]
}

/// Why a job that has ended does not run.
fn of_ended(status: Status, row: &Row) -> Value {
    let (attempt, max_attempts) = (row.integer(10), row.integer(11));
    if status == Status::Failed && attempt >= max_attempts {
        let message = "The attempts are used up: foreman.retry_job gives the job another.";
        return json!({"reason": "attempts_used_up", "message": message, "attempt": attempt,
                      "max_attempts": max_attempts, "error": row.text(12)});
    }
    let message = match status {
        Status::Completed => "The job is completed.",
        Status::Cancelled => "The job was cancelled: foreman.retry_job makes it pending again.",
        _ => "The job failed for good: foreman.retry_job makes it pending again.",
    };
    json!({"reason": "ended", "message": message, "error": row.text(12)})
}
