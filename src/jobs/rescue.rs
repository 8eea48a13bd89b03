//! Rescue: jobs whose lease has expired are pending again, or end where they can't be tried again.

use super::finish::{self, End, Ending, Rule, When};
use super::settle::{self, Return};
use super::status::Status;
use crate::error::Error;
use crate::pg::datum::{Text, Timestamptz};
use crate::pg::spi::{self, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;

// Looked at again under the row's lock by the server, so that a lease extended meanwhile is left alone. A row that is
// locked is held by its worker (hold_lease) or about to be finished.
static EXPIRED: Statement = Statement::by_index(
    c"SELECT j.id FROM foreman.live_job AS j
      WHERE j.status OPERATOR(pg_catalog.=) 'running' AND j.lease_expires_at OPERATOR(pg_catalog.<=) $1
      ORDER BY j.lease_expires_at
      LIMIT $2
      FOR UPDATE SKIP LOCKED",
    &[pg_sys::TIMESTAMPTZOID, pg_sys::INT4OID],
);

/// `rescue_expired`: at most `max_jobs`, those that expired first.
pub fn expired(max_jobs: i32) -> Result<Reply, Error> {
    let (gone, last) = ("The lease expired.", "The lease expired; the attempts are used up.");
    spi::connect(|connection| {
        let rows = connection.run(&EXPIRED, &[&Timestamptz::at(xact::clock()), &max_jobs]);
        let ids: Vec<i64> = rows.iter().filter_map(|row| row.bigint(1)).collect();
        let ending = Ending { result: None, error: Some(Text::from_utf8(last)) };
        let end = |id: &i64| End { job_id: *id, lease_token: None, ending, when: When::NoAttemptLeft };
        let rule = Rule { to: Status::Failed, from: &[Status::Running], forced: true };
        let ended = finish::finish(connection, &ids.iter().map(end).collect::<Vec<_>>(), &rule);
        let returns: Vec<Return> = ids
            .iter()
            .filter(|id| !ended.iter().any(|ended| ended.job_id == **id))
            .map(|id| Return {
                job_id: *id,
                lease_token: None,
                error: Some(Text::from_utf8(gone)),
                pause: Some(0.0),
                run_at: None,
                given_back: 0,
            })
            .collect();
        let rescued = settle::give_back(connection, &returns, true).len() as i64;
        let count = |status: Status| ended.iter().filter(|ended| ended.to == status).count() as i64;
        Ok(Reply::success()
            .field("rescued", rescued)
            .field("failed", count(Status::Failed))
            .field("cancelled", count(Status::Cancelled)))
    })
}
