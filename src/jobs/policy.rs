//! What a queue's owner may say of it: leases, attempts, backoff, retention, pause, how long its jobs may wait.

use super::queue;
use crate::error::Error;
use crate::pg::spi::{self, Connection, Statement};
use crate::reply::Reply;
use crate::shared::wakes;
use pgrx::pg_sys;

// What is NULL stays as it is.
static CONFIGURE: Statement = Statement::by_index(
    c"UPDATE foreman.queue AS q
      SET lease_seconds = COALESCE($2, q.lease_seconds), max_attempts = COALESCE($3, q.max_attempts),
          backoff = COALESCE($4, q.backoff), backoff_base_seconds = COALESCE($5, q.backoff_base_seconds),
          backoff_factor = COALESCE($6, q.backoff_factor), backoff_cap_seconds = COALESCE($7, q.backoff_cap_seconds),
          backoff_jitter = COALESCE($8, q.backoff_jitter), max_run_seconds = COALESCE($9, q.max_run_seconds),
          completed_retention_seconds = COALESCE($10, q.completed_retention_seconds),
          failed_retention_seconds = COALESCE($11, q.failed_retention_seconds), notify = COALESCE($12, q.notify),
          default_priority = COALESCE($13, q.default_priority),
          ready_target_seconds = NULLIF(COALESCE($14, q.ready_target_seconds), 0)
      WHERE q.id OPERATOR(pg_catalog.=) $1
      RETURNING q.backoff_base_seconds, q.backoff_cap_seconds",
    &[
        pg_sys::INT4OID,
        pg_sys::FLOAT8OID,
        pg_sys::INT4OID,
        pg_sys::TEXTOID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::BOOLOID,
        pg_sys::INT4OID,
        pg_sys::FLOAT8OID,
    ],
);

static POLICY: Statement = Statement::by_index(
    c"SELECT pg_catalog.to_jsonb(q) FROM foreman.queues AS q WHERE q.queue OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static POLICIES: Statement = Statement::new(
    c"SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(q) ORDER BY q.queue), '[]'::jsonb) FROM foreman.queues AS q",
    &[],
);

static PAUSE: Statement = Statement::by_index(
    c"UPDATE foreman.queue AS q
      SET paused_at = CASE WHEN $2 THEN pg_catalog.clock_timestamp() END
      WHERE q.id OPERATOR(pg_catalog.=) $1 AND (q.paused_at IS NOT NULL) OPERATOR(pg_catalog.<>) $2
      RETURNING q.id",
    &[pg_sys::INT4OID, pg_sys::BOOLOID],
);

/// A policy as somebody wants it; what is `None` stays as it is.
#[derive(Debug, Default)]
pub struct Policy {
    pub lease_seconds: Option<f64>,
    pub max_attempts: Option<i32>,
    pub backoff: Option<&'static str>,
    pub backoff_base_seconds: Option<f64>,
    pub backoff_factor: Option<f64>,
    pub backoff_cap_seconds: Option<f64>,
    pub backoff_jitter: Option<f64>,
    pub max_run_seconds: Option<f64>,
    pub completed_retention_seconds: Option<f64>,
    pub failed_retention_seconds: Option<f64>,
    pub notify: Option<bool>,
    pub default_priority: Option<i32>,
    /// 0: none any more.
    pub ready_target_seconds: Option<f64>,
}

/// `configure_queue`: makes the queue if need be.
pub fn configure(name: &str, policy: &Policy) -> Result<Reply, Error> {
    spi::connect(|connection| {
        let queue = queue::ensure(connection, name)?;
        let rows = connection.run(
            &CONFIGURE,
            &[
                &queue.id,
                &policy.lease_seconds,
                &policy.max_attempts,
                &policy.backoff,
                &policy.backoff_base_seconds,
                &policy.backoff_factor,
                &policy.backoff_cap_seconds,
                &policy.backoff_jitter,
                &policy.max_run_seconds,
                &policy.completed_retention_seconds,
                &policy.failed_retention_seconds,
                &policy.notify,
                &policy.default_priority,
                &policy.ready_target_seconds,
            ],
        );
        let pair = rows.first().and_then(|row| Some((row.double(1)?, row.double(2)?)));
        let (base, cap) = pair.ok_or_else(|| no_queue(name))?;
        if cap < base {
            let allowed = format!("at least backoff_base_seconds, which is {base}");
            return Err(Error::invalid("backoff_cap_seconds", cap, allowed));
        }
        told(connection, name)
    })
}

/// A queue that is not there.
fn no_queue(name: &str) -> Error {
    Error::NotFound { kind: "queue", name: name.to_owned() }
}

/// The policy as a reply.
fn told(connection: &Connection, name: &str) -> Result<Reply, Error> {
    let policy = connection.run(&POLICY, &[&name]).first().and_then(|row| row.jsonb(1));
    policy.map(|policy| Reply::success().merge(policy)).ok_or_else(|| no_queue(name))
}

/// `pause_queue`, `resume_queue`.
pub fn pause(name: &str, paused: bool) -> Result<Reply, Error> {
    spi::connect(|connection| {
        let queue = queue::existing(connection, name)?;
        let changed = connection.run(&PAUSE, &[&queue.id, &paused]).first().is_some();
        if changed && !paused {
            wakes::queue_opened(queue.id);
        }
        Ok(Reply::success().field("queue", name).field("paused", paused).field("changed", changed))
    })
}

/// `list_queues`.
pub fn list() -> Reply {
    let queues = spi::connect(|connection| connection.run(&POLICIES, &[]).first().and_then(|row| row.jsonb(1)));
    match queues {
        Some(queues) => Reply::success().document("queues", queues),
        None => Reply::success(),
    }
}
