//! Ending jobs: a finished job's row moves from the live table to the finished one in one statement.

use super::status::Status;
use crate::pg::datum::{Array, Jsonb, Text, Timestamptz};
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;
use pgrx::pg_sys;

/// What is said of the end of a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    pub result: Option<Jsonb>,
    pub error: Option<Text>,
}

static FINISH: Statement = Statement::new(
    c"WITH gone AS (
          DELETE FROM foreman.live_job AS j
          WHERE j.id OPERATOR(pg_catalog.=) $1
            AND j.status::text OPERATOR(pg_catalog.=) ANY ($2)
            AND ($3 OR j.lease_token IS NOT DISTINCT FROM $4::uuid)
          RETURNING j.*
      ), freed AS (
          DELETE FROM foreman.job_key AS k USING gone AS g
          WHERE g.unique_key IS NOT NULL
            AND k.queue_id OPERATOR(pg_catalog.=) g.queue_id
            AND k.key OPERATOR(pg_catalog.=) g.unique_key
      ), day AS (
          SELECT EXISTS (
              SELECT 1 FROM foreman.finished_day AS d
              WHERE d.day OPERATOR(pg_catalog.=) ($5 AT TIME ZONE 'UTC')::date
          ) AS has_partition
      ), done AS (
          SELECT g.id, g.run_at, g.created_at, g.started_at, $5 AS finished_at, g.queue_id, g.attempt, g.max_attempts,
                 g.priority, $6::foreman.job_status AS status, g.job_type, g.unique_key, g.payload, g.metadata,
                 $7 AS result, $8 AS error, d.has_partition
          FROM gone AS g CROSS JOIN day AS d
      ), kept AS (
          INSERT INTO foreman.finished_job
              (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
               priority, status, job_type, unique_key, payload, metadata, result, error)
          SELECT d.id, d.run_at, d.created_at, d.started_at, d.finished_at, d.queue_id, d.attempt, d.max_attempts,
                 d.priority, d.status, d.job_type, d.unique_key, d.payload, d.metadata, d.result, d.error
          FROM done AS d WHERE d.has_partition
      ), rest AS (
          INSERT INTO foreman.finished_rest
              (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts,
               priority, status, job_type, unique_key, payload, metadata, result, error)
          SELECT d.id, d.run_at, d.created_at, d.started_at, d.finished_at, d.queue_id, d.attempt, d.max_attempts,
                 d.priority, d.status, d.job_type, d.unique_key, d.payload, d.metadata, d.result, d.error
          FROM done AS d WHERE NOT d.has_partition
      )
      SELECT g.status::text FROM gone AS g",
    &[
        pg_sys::INT8OID,
        pg_sys::TEXTARRAYOID,
        pg_sys::BOOLOID,
        pg_sys::TEXTOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TEXTOID,
        pg_sys::JSONBOID,
        pg_sys::TEXTOID,
    ],
);

/// Ends a job that is in a state which allows it and whose lease is the given one, or any with `forced`. Gives the
/// state that it was in.
pub fn finish(
    connection: &Connection,
    job_id: i64,
    to: Status,
    ending: Ending,
    token: Option<&str>,
    forced: bool,
) -> Option<Status> {
    let from: Vec<&str> = to.previous().map(Status::name).collect();
    let rows = connection.run(
        &FINISH,
        &[
            &job_id,
            &Array::of_names(&from),
            &forced,
            &token,
            &Timestamptz::at(xact::clock()),
            &to.name(),
            &ending.result,
            &ending.error,
        ],
    );
    rows.first().and_then(|row| Status::of_name(&row.text(1)?))
}
