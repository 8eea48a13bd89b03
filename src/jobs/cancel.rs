//! Asking for a cancel: what is pending is cancelled at once, what runs learns it by its next heartbeat.

use super::finish::{self, End, Ending, Rule, When};
use super::status::Status;
use super::transition;
use crate::error::Error;
use crate::pg::datum::{Text, Timestamptz};
use crate::pg::spi::{self, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;

static REQUEST: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET cancel_requested_at = COALESCE(j.cancel_requested_at, $2), cancel_reason = COALESCE($3, j.cancel_reason)
      WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) 'running'
      RETURNING j.id",
    &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID],
);

/// Times that a job may change under our eyes before we call it a refusal.
const MAX_LOOKS: usize = 10;

/// `request_cancel`.
pub fn request(job_id: i64, reason: Option<Text>) -> Result<Reply, Error> {
    let told = |from: Status, to: Status, changed: bool| {
        let reply = Reply::success().field("job_id", job_id).field("from", from.name());
        reply.field("to", to.name()).field("changed", changed)
    };
    spi::connect(|connection| {
        let mut seen = Status::Running;
        for _ in 0..MAX_LOOKS {
            let ending = Ending { result: None, error: reason };
            let end = End { job_id, lease_token: None, ending, when: When::Always };
            let rule = Rule { to: Status::Cancelled, from: &[Status::Pending], forced: true };
            if !finish::finish(&[end], &rule).is_empty() {
                return Ok(told(Status::Pending, Status::Cancelled, true));
            }
            if connection.run(&REQUEST, &[&job_id, &Timestamptz::at(xact::clock()), &reason]).first().is_some() {
                return Ok(told(Status::Running, Status::Running, false).field("cancel_requested", true));
            }
            match transition::look_at(connection, job_id).map(|job| job.status) {
                None => return Err(Error::no_job(job_id)),
                Some(Status::Cancelled) => return Ok(told(Status::Cancelled, Status::Cancelled, false)),
                Some(status) => seen = status,
            }
            if seen.is_final() {
                break;
            }
        }
        Err(Error::Transition { job_id, from: seen, to: Status::Cancelled.name(), allowed: seen.next() })
    })
}
