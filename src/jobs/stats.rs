//! Counts of jobs by state.

use super::queue;
use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

static STATS: Statement = Statement::planned_each_time(
    c"WITH live AS (
          SELECT pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending') AS pending,
                 pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending'
                     AND j.ready_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) AS scheduled,
                 pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'running') AS running,
                 pg_catalog.min(j.ready_at) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'pending') AS oldest
          FROM foreman.live_job AS j
          WHERE $1 IS NULL OR j.queue_id OPERATOR(pg_catalog.=) $1
      ), done AS (
          SELECT pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'completed') AS completed,
                 pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'failed') AS failed,
                 pg_catalog.count(*) FILTER (WHERE j.status OPERATOR(pg_catalog.=) 'cancelled') AS cancelled
          FROM (
              SELECT queue_id, status, finished_at FROM foreman.finished_job
              UNION ALL
              SELECT queue_id, status, finished_at FROM foreman.finished_rest
          ) AS j
          WHERE ($1 IS NULL OR j.queue_id OPERATOR(pg_catalog.=) $1)
            AND ($2 IS NULL OR j.finished_at OPERATOR(pg_catalog.>=) (pg_catalog.clock_timestamp()
                OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $2)))
      )
      SELECT pg_catalog.jsonb_build_object(
          'pending', l.pending, 'scheduled', l.scheduled, 'running', l.running,
          'completed', d.completed, 'failed', d.failed, 'cancelled', d.cancelled,
          'total', l.pending OPERATOR(pg_catalog.+) l.running OPERATOR(pg_catalog.+) d.completed
              OPERATOR(pg_catalog.+) d.failed OPERATOR(pg_catalog.+) d.cancelled,
          'success_rate', pg_catalog.round(100.0 OPERATOR(pg_catalog.*) d.completed
              OPERATOR(pg_catalog./) NULLIF(d.completed OPERATOR(pg_catalog.+) d.failed, 0), 1),
          'oldest_ready_seconds', CASE WHEN l.oldest OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() THEN
              pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.oldest), 3) END)
      FROM live AS l CROSS JOIN done AS d",
    &[pg_sys::INT4OID, pg_sys::FLOAT8OID],
);

/// `job_stats`: of one queue or of all, the finished ones of the last seconds or of all time.
pub fn of(queue: Option<&str>, since_seconds: Option<f64>) -> Result<Reply, Error> {
    spi::connect(|connection| {
        let id = queue.map(|name| queue::existing(connection, name)).transpose()?.map(|queue| queue.id);
        let rows = connection.run(&STATS, &[&id, &since_seconds]);
        let reply = Reply::success().optional("queue", queue).optional("since_seconds", since_seconds);
        Ok(match rows.first().and_then(|row| row.jsonb(1)) {
            Some(counts) => reply.merge(counts),
            None => reply,
        })
    })
}
