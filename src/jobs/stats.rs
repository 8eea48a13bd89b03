//! Counts of jobs by state.

use super::queue;
use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

// Bounded, however many jobs there are: sql/36_figures.sql. Each function is called once, and all in one snapshot.
static STATS: Statement = Statement::new(
    c"WITH source AS MATERIALIZED (
          SELECT f.live_roll_up, f.ended_roll_up, f.live_as_of, f.as_of,
                 CASE WHEN $2 IS NOT NULL THEN foreman.figures_since(
                     pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $2),
                     f.ended_roll_up) END AS since
          FROM foreman.figure_source() AS f
      ), live AS (
          SELECT COALESCE(pg_catalog.sum(f.pending), 0)::bigint AS pending,
                 COALESCE(pg_catalog.sum(f.scheduled), 0)::bigint AS scheduled,
                 COALESCE(pg_catalog.sum(f.running), 0)::bigint AS running,
                 pg_catalog.min(f.oldest_ready_at) AS oldest
          FROM source AS s
          CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
          WHERE $1 IS NULL OR f.queue_id OPERATOR(pg_catalog.=) $1
      ), done AS (
          SELECT COALESCE(pg_catalog.sum(f.jobs_since) FILTER (
                     WHERE f.status OPERATOR(pg_catalog.=) 'completed'), 0)::bigint AS completed,
                 COALESCE(pg_catalog.sum(f.jobs_since) FILTER (
                     WHERE f.status OPERATOR(pg_catalog.=) 'failed'), 0)::bigint AS failed,
                 COALESCE(pg_catalog.sum(f.jobs_since) FILTER (
                     WHERE f.status OPERATOR(pg_catalog.=) 'cancelled'), 0)::bigint AS cancelled
          FROM source AS s
          CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, s.since) AS f
          WHERE $1 IS NULL OR f.queue_id OPERATOR(pg_catalog.=) $1
      )
      SELECT pg_catalog.jsonb_build_object(
          'pending', l.pending, 'scheduled', l.scheduled, 'running', l.running,
          'completed', d.completed, 'failed', d.failed, 'cancelled', d.cancelled,
          'total', l.pending OPERATOR(pg_catalog.+) l.running OPERATOR(pg_catalog.+) d.completed
              OPERATOR(pg_catalog.+) d.failed OPERATOR(pg_catalog.+) d.cancelled,
          'success_rate', pg_catalog.round(100.0 OPERATOR(pg_catalog.*) d.completed
              OPERATOR(pg_catalog./) NULLIF(d.completed OPERATOR(pg_catalog.+) d.failed, 0), 1),
          'oldest_ready_seconds', CASE WHEN l.oldest OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() THEN
              pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.oldest), 3) END,
          'live_as_of', s.live_as_of, 'as_of', s.as_of)
          OPERATOR(pg_catalog.||) CASE WHEN s.since IS NULL THEN '{}'
              ELSE pg_catalog.jsonb_build_object('since', s.since) END
      FROM source AS s CROSS JOIN live AS l CROSS JOIN done AS d",
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
