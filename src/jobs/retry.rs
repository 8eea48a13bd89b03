//! Bringing a job that failed or was cancelled back: its row moves to the live table again, with its id.

use super::keys;
use super::ready;
use super::status::Status;
use crate::error::Error;
use crate::pg::datum::{Array, Text, Timestamptz};
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;
use pgrx::pg_sys;

static KEY_OF: Statement = Statement::by_index(
    c"SELECT j.queue_id, j.unique_key FROM foreman.any_job AS j WHERE j.id OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID],
);

static REVIVE: Statement = Statement::by_index(
    c"WITH kept AS (
          DELETE FROM foreman.finished_job AS j
          WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) ANY ($2)
          RETURNING j.*
      ), rest AS (
          DELETE FROM foreman.finished_rest AS j
          WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) ANY ($2)
          RETURNING j.*
      ), back AS (
          SELECT * FROM kept UNION ALL SELECT * FROM rest
      ), revived AS (
          INSERT INTO foreman.live_job
              (id, queue_id, run_at, ready_at, created_at, started_at, attempt, max_attempts, priority,
               job_type, unique_key, key_taken_at, last_error, payload, metadata)
          SELECT b.id, b.queue_id, b.run_at, GREATEST(b.run_at, $3), b.created_at, b.started_at, b.attempt,
                 GREATEST(b.max_attempts, b.attempt OPERATOR(pg_catalog.+) 1), b.priority,
                 b.job_type, b.unique_key, $4, b.error, b.payload, b.metadata
          FROM back AS b
      )
      SELECT b.status::text, b.queue_id, b.priority::integer, GREATEST(b.run_at, $3), b.id,
             (SELECT q.name FROM foreman.queue AS q WHERE q.id OPERATOR(pg_catalog.=) b.queue_id AND q.notify)
      FROM back AS b",
    &[pg_sys::INT8OID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID],
);

/// Makes a finished job pending again, if its state allows that and nobody was faster; gives the state it was in.
/// Its unique key, if it has one, has to be free.
pub fn revive(connection: &Connection, job_id: i64) -> Result<Option<Status>, Error> {
    let rows = connection.run(&KEY_OF, &[&job_id]);
    let Some((queue_id, key)) = rows.first().and_then(|row| Some((row.integer(1)?, row.text(2)?))) else {
        return Ok(bring_back(connection, job_id, None));
    };
    match keys::take(queue_id, &key, Some(job_id)) {
        Ok(hold) => {
            let from = bring_back(connection, job_id, Some(hold.taken_at));
            if from.is_none() {
                keys::free(queue_id, Text::from_utf8(&key), hold.taken_at);
            }
            Ok(from)
        }
        Err(holder) if holder.job_id == job_id => Ok(None),
        Err(holder) => match keys::status_of(connection, queue_id, &key, holder) {
            Some(status) => Err(Error::Duplicate { job_id: holder.job_id, status }),
            None => Ok(None),
        },
    }
}

/// Moves the job's row, if its state allows that and nobody was faster; gives the state it was in.
fn bring_back(connection: &Connection, job_id: i64, key_taken_at: Option<i64>) -> Option<Status> {
    let from: Vec<&str> = Status::Pending.previous().filter(|status| status.is_final()).map(Status::name).collect();
    let (now, key_taken_at) = (Timestamptz::at(xact::clock()), key_taken_at.map(Timestamptz::at));
    let rows = connection.run(&REVIVE, &[&job_id, &Array::of_names(&from), &now, &key_taken_at]);
    let row = rows.first()?;
    ready::announce_row(&row, 2);
    Status::of_name(&row.text(1)?)
}
