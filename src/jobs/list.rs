//! Finding jobs: one by its id, many page by page.

use super::queue;
use super::status::Status;
use crate::cursor;
use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

// What foreman.jobs has of it. Not by that view, whose join would go through all queues by a plan made when there was one.
static GET: Statement = Statement::by_index(
    c"SELECT pg_catalog.jsonb_build_object('job', pg_catalog.to_jsonb(s))
      FROM (
          SELECT j.id AS job_id, q.name AS queue, j.job_type, j.status, j.priority, j.attempt, j.max_attempts,
                 j.run_at, j.ready_at, j.created_at, j.started_at, j.worker, j.lease_expires_at, j.progress, j.note,
                 j.cancel_requested_at, j.finished_at, j.unique_key, j.payload, j.metadata, j.result, j.error
          FROM foreman.any_job AS j
          CROSS JOIN LATERAL (
              SELECT n.name FROM foreman.queue AS n WHERE n.id OPERATOR(pg_catalog.=) j.queue_id OFFSET 0
          ) AS q
          WHERE j.id OPERATOR(pg_catalog.=) $1
      ) AS s",
    &[pg_sys::INT8OID],
);

// Planned each time: a condition whose parameter is NULL disappears, and the indexes that are left give the
// order, so that a page reads what it shows and not what lies before it. The branches of any_job that can't hold
// the state are left out: else a page of failed jobs would walk all live ones.
static PAGE: Statement = Statement::planned_each_time(
    c"WITH page AS (
          SELECT j.*, pg_catalog.row_number() OVER (ORDER BY j.id DESC) AS place
          FROM foreman.any_job AS j
          WHERE ($1 IS NULL OR j.queue_id OPERATOR(pg_catalog.=) $1)
            AND ($2 IS NULL OR j.status OPERATOR(pg_catalog.=) $2::foreman.job_status)
            AND ($2 IS NULL OR j.is_live OPERATOR(pg_catalog.=) ($2 OPERATOR(pg_catalog.=) ANY ('{pending,running}')))
            AND ($3 IS NULL OR j.job_type OPERATOR(pg_catalog.=) $3)
            AND ($4 IS NULL OR j.id OPERATOR(pg_catalog.<) $4)
          ORDER BY j.id DESC
          LIMIT $5 OPERATOR(pg_catalog.+) 1
      ), shown AS (
          SELECT p.id AS job_id, q.name AS queue, p.job_type, p.status, p.priority, p.attempt, p.max_attempts,
                 p.run_at, p.ready_at, p.created_at, p.started_at, p.worker, p.lease_expires_at, p.progress, p.note,
                 p.cancel_requested_at, p.finished_at, p.unique_key, p.payload, p.metadata, p.result, p.error
          FROM page AS p
          JOIN foreman.queue AS q ON q.id OPERATOR(pg_catalog.=) p.queue_id
          WHERE p.place OPERATOR(pg_catalog.<=) $5
      )
      SELECT pg_catalog.jsonb_build_object('jobs', COALESCE(
                 pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.job_id DESC), '[]'::jsonb)),
             pg_catalog.min(s.job_id),
             (SELECT pg_catalog.count(*) FROM page) OPERATOR(pg_catalog.>) $5
      FROM shown AS s",
    &[pg_sys::INT4OID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::INT8OID],
);

/// `get_job`.
pub fn get(job_id: i64) -> Result<Reply, Error> {
    spi::connect(|connection| connection.run(&GET, &[&job_id]).first().and_then(|row| row.jsonb(1)))
        .map(|job| Reply::success().merge(job))
        .ok_or_else(|| Error::no_job(job_id))
}

/// What a list is to show.
pub struct Filter {
    pub queue: Option<String>,
    pub status: Option<Status>,
    pub job_type: Option<String>,
}

impl Filter {
    /// The words that a cursor is bound to.
    fn words(&self) -> [Option<&str>; 4] {
        [Some("jobs"), self.queue.as_deref(), self.status.map(Status::name), self.job_type.as_deref()]
    }
}

/// `list_jobs`: newest first, by id, which never changes, so that pages stay right while jobs come and end.
pub fn page(filter: &Filter, size: i64, after: Option<&str>) -> Result<Reply, Error> {
    let position = after.map(|after| cursor::open(after, &filter.words())).transpose()?;
    let before: Option<i64> = position.and_then(|position| position.parse().ok());
    spi::connect(|connection| {
        let queue = filter.queue.as_deref().map(|name| queue::existing(connection, name)).transpose()?;
        let status = filter.status.map(Status::name);
        let rows = connection
            .run(&PAGE, &[&queue.map(|queue| queue.id), &status, &filter.job_type.as_deref(), &before, &size]);
        let row = rows.first();
        let last =
            row.as_ref().and_then(|row| row.bigint(2)).filter(|_| row.as_ref().is_some_and(|row| row.boolean(3)));
        let next = last.map(|id| cursor::seal(&id.to_string(), &filter.words()));
        let reply = Reply::success().optional("next_cursor", next.as_deref());
        Ok(match row.and_then(|row| row.jsonb(1)) {
            Some(jobs) => reply.merge(jobs),
            None => reply,
        })
    })
}
