//! The share of failed jobs.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "failed_jobs",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(10.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "The share of failed jobs among those that ended within the last hour, of 20 at least.",
    advice: "Read the errors with foreman.list_jobs(status => 'failed'), and call retry_job for what can be done now.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"WITH source AS MATERIALIZED (
          SELECT f.ended_roll_up, foreman.ended_take_long(f.ended_roll_up) AS takes_long FROM foreman.figure_source() AS f
      ), ended AS MATERIALIZED (
          SELECT f.queue_id,
                 COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'failed'), 0)::bigint AS failed,
                 COALESCE(pg_catalog.sum(f.jobs) FILTER (WHERE f.status OPERATOR(pg_catalog.=) 'completed'), 0)::bigint
                     AS completed
          FROM source AS s
          CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, foreman.figures_since(
              pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-) interval '1 hour', s.ended_roll_up)) AS f
          WHERE NOT s.takes_long
          GROUP BY f.queue_id
      ), by_queue AS MATERIALIZED (
          SELECT q.queue, e.failed
          FROM ended AS e
          JOIN foreman.queue_names AS q ON q.queue_id OPERATOR(pg_catalog.=) e.queue_id
          WHERE e.failed OPERATOR(pg_catalog.>) 0
      ), counted AS MATERIALIZED (
          SELECT COALESCE(pg_catalog.sum(e.failed), 0)::bigint AS failed,
                 COALESCE(pg_catalog.sum(e.completed), 0)::bigint AS completed
          FROM ended AS e
      )
      SELECT CASE WHEN NOT s.takes_long THEN COALESCE(
                 100.0::double precision OPERATOR(pg_catalog.*) c.failed
                     OPERATOR(pg_catalog./) GREATEST(20, c.failed OPERATOR(pg_catalog.+) c.completed), 0) END AS value,
             CASE
                 WHEN s.takes_long THEN NULL
                 WHEN c.failed OPERATOR(pg_catalog.=) 0 THEN 'No job has failed for good in the last hour.'
                 ELSE pg_catalog.format(
                     'Jobs of the last hour: %s failed for good, %s completed. The share is taken of at least 20 jobs, so that one failure of two is no alarm.',
                     c.failed, c.completed)
             END AS meaning,
             'SELECT jsonb_pretty(foreman.list_jobs(status => ''failed''));' AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(b) ORDER BY b.failed DESC, b.queue)
              FROM (SELECT k.queue, k.failed FROM by_queue AS k ORDER BY k.failed DESC, k.queue LIMIT 20) AS b) AS subjects,
             CASE WHEN s.takes_long THEN 'jobs are many, and nobody has counted them for an hour' END AS reason,
             CASE WHEN s.takes_long THEN 'SELECT foreman.maintain();' END AS reveal
      FROM counted AS c
      CROSS JOIN source AS s",
    &[],
);
