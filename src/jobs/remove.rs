//! Deleting a job for good, unless it is running.

use super::keys;
use super::status::Status;
use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

static REMOVE: Statement = Statement::by_index(
    c"WITH live AS (
          DELETE FROM foreman.live_job AS j
          WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) 'pending'
          RETURNING j.queue_id, j.unique_key, j.key_taken_at, j.status
      ), kept AS (
          DELETE FROM foreman.finished_job AS j WHERE j.id OPERATOR(pg_catalog.=) $1 RETURNING j.status
      ), rest AS (
          DELETE FROM foreman.finished_rest AS j WHERE j.id OPERATOR(pg_catalog.=) $1 RETURNING j.status
      )
      SELECT status::text, queue_id, unique_key, key_taken_at FROM live
      UNION ALL SELECT status::text, NULL, NULL, NULL FROM kept
      UNION ALL SELECT status::text, NULL, NULL, NULL FROM rest",
    &[pg_sys::INT8OID],
);

static STATUS: Statement = Statement::by_index(
    c"SELECT j.status::text FROM foreman.any_job AS j WHERE j.id OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID],
);

/// Times that a job may change under our eyes before we call it a refusal.
const MAX_LOOKS: usize = 10;

/// `delete_job`.
pub fn one(job_id: i64) -> Result<Reply, Error> {
    spi::connect(|connection| {
        let mut status = None;
        for _ in 0..MAX_LOOKS {
            let rows = connection.run(&REMOVE, &[&job_id]);
            if let Some(row) = rows.first()
                && let Some(from) = row.text(1)
            {
                keys::free_of(&row, 2);
                let reply = Reply::success().field("job_id", job_id).field("deleted", true);
                return Ok(reply.field("job_status", from.as_str()));
            }
            status = connection.run(&STATUS, &[&job_id]).first().and_then(|row| Status::of_name(&row.text(1)?));
            match status {
                None => return Err(Error::no_job(job_id)),
                Some(Status::Running) => break,
                Some(_) => {}
            }
        }
        let from = status.unwrap_or(Status::Running);
        Err(Error::Transition { job_id, from, to: "deleted", allowed: Status::ENDS })
    })
}
