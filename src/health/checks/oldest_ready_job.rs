//! Jobs that wait for a worker.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "oldest_ready_job",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long the oldest ready job of a queue has been waiting for a worker.",
    advice: "Start workers for that queue, or more of them.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"WITH clock AS MATERIALIZED (
          SELECT pg_catalog.clock_timestamp() AS at
      ), first AS MATERIALIZED (
          SELECT q.queue, f.oldest_ready_at AS ready_at
          FROM foreman.figure_source() AS s
          CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
          JOIN foreman.queue_names AS q ON q.queue_id OPERATOR(pg_catalog.=) f.queue_id
      ), oldest AS MATERIALIZED (
          SELECT f.queue, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) f.ready_at)::double precision AS seconds
          FROM first AS f
          CROSS JOIN clock AS c
          WHERE f.ready_at OPERATOR(pg_catalog.<=) c.at
      ), worst AS (
          SELECT o.queue, o.seconds
          FROM oldest AS o
          ORDER BY o.seconds DESC, o.queue
          LIMIT 1
      )
      SELECT COALESCE(w.seconds, 0) AS value,
             CASE
                 WHEN w.queue IS NULL THEN 'No job is ready and waiting.'
                 ELSE pg_catalog.format('The oldest ready job has been waiting for %s s, in queue %L.',
                     pg_catalog.round(w.seconds::numeric, 1), w.queue)
             END AS meaning,
             'Start workers for that queue, or more of them.' AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         pg_catalog.jsonb_build_object('queue', o.queue, 'seconds', pg_catalog.round(o.seconds::numeric, 3))
                         ORDER BY o.seconds DESC, o.queue)
              FROM (SELECT k.queue, k.seconds FROM oldest AS k ORDER BY k.seconds DESC, k.queue LIMIT 20) AS o) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal
      FROM clock AS c
      LEFT JOIN worst AS w ON true",
    &[],
);
