//! Holding a lease in the worker's own transaction: until that ends, nobody else can be given the job.

use super::transition;
use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

// The lock that an update of the row takes: rescue passes over rows that are locked, and nobody else gives one out.
static HOLD: Statement = Statement::by_index(
    c"SELECT j.id FROM foreman.live_job AS j
      WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) 'running'
        AND j.lease_token OPERATOR(pg_catalog.=) $2::uuid
      FOR NO KEY UPDATE",
    &[pg_sys::INT8OID, pg_sys::TEXTOID],
);

/// `hold_lease`.
pub fn hold(job_id: i64, lease_token: &str) -> Result<Reply, Error> {
    spi::connect(|connection| {
        if connection.run(&HOLD, &[&job_id, &lease_token]).first().is_some() {
            return Ok(Reply::success().field("job_id", job_id));
        }
        match transition::look_at(connection, job_id) {
            Some(_) => Err(Error::LeaseLost { job_id }),
            None => Err(Error::no_job(job_id)),
        }
    })
}
