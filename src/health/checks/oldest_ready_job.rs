//! Jobs that wait for a worker. A queue may have a target of its own, against which `late_queues` measures it: one value
//! can't be seconds of one queue and parts of the target of another.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::jobs::live::LIVE_JOB;
use crate::pg::datum::{Array, Timestamptz};
use crate::pg::spi::{Connection, Statement};
use crate::shared::floors;
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "oldest_ready_job",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long the oldest ready job of a queue has been waiting for a worker. A queue that is paused does not \
            count; one that has a target of its own (ready_target_seconds of foreman.configure_queue) is told of by \
            late_queues.",
    advice: "Start workers for that queue, or more of them: the check says how many of its jobs run and, preloaded, when \
             somebody last looked for more.",
    run: Run::Fast(|connection| measure(connection, false)),
};

// $1: the queues with a target, or the others. Jobs are not counted where no queue has one. A worker that waits looks every
// ten seconds; when somebody last looked at a queue ($2, $3) tells workers that are gone from workers that are too few.
static WAITS: Statement = Statement::new(
    c"WITH clock AS MATERIALIZED (
          SELECT pg_catalog.clock_timestamp() AS at,
                 NOT $1 OR EXISTS (SELECT 1 FROM foreman.queue_names AS q WHERE q.ready_target_seconds IS NOT NULL) AS is_asked
      ), source AS MATERIALIZED (
          SELECT f.live_roll_up, foreman.live_take_long(f.live_roll_up) AS takes_long FROM foreman.figure_source() AS f
      ), live AS MATERIALIZED (
          SELECT f.queue_id, f.oldest_ready_at, f.running
          FROM source AS s
          CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
          WHERE (SELECT c.is_asked FROM clock AS c) AND NOT s.takes_long
      ), wait AS MATERIALIZED (
          SELECT q.queue, a.seconds, q.ready_target_seconds AS target, f.running,
                 EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) l.at) AS looked,
                 CASE
                     WHEN $1 THEN 100.0::double precision OPERATOR(pg_catalog.*) a.seconds
                         OPERATOR(pg_catalog./) q.ready_target_seconds
                     ELSE a.seconds
                 END AS value
          FROM clock AS c
          CROSS JOIN live AS f
          CROSS JOIN LATERAL (
              SELECT EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) f.oldest_ready_at)::double precision AS seconds
          ) AS a
          JOIN foreman.queue_names AS q ON q.queue_id OPERATOR(pg_catalog.=) f.queue_id
          LEFT JOIN ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS l (queue_id, at)
              ON l.queue_id OPERATOR(pg_catalog.=) f.queue_id
          WHERE f.oldest_ready_at OPERATOR(pg_catalog.<=) c.at
            AND q.paused_at IS NULL
            AND (q.ready_target_seconds IS NOT NULL) OPERATOR(pg_catalog.=) $1
          ORDER BY value DESC, q.queue
          LIMIT 20
      ), worst AS (
          SELECT w.queue, w.seconds, w.target, w.running, w.looked, w.value
          FROM wait AS w
          ORDER BY w.value DESC, w.queue
          LIMIT 1
      )
      SELECT CASE WHEN c.is_asked AND NOT s.takes_long THEN COALESCE(w.value, 0) END AS value,
             CASE
                 WHEN c.is_asked AND s.takes_long THEN NULL
                 WHEN NOT c.is_asked THEN 'no queue has a target of its own'
                 WHEN w.queue IS NULL THEN pg_catalog.format(
                     'No job is ready and waiting in a queue %s a target of its own.', CASE WHEN $1 THEN 'with' ELSE 'without' END)
                 ELSE pg_catalog.format('The oldest ready job of queue %L has been waiting for %s s%s. Of its jobs %s run%s.',
                     w.queue,
                     pg_catalog.round(w.seconds::numeric, 1),
                     CASE WHEN $1 THEN pg_catalog.format('; its target is %s s', w.target) END,
                     w.running,
                     CASE WHEN w.looked IS NOT NULL THEN pg_catalog.format(
                         '; somebody last looked for more %s s ago', pg_catalog.round(w.looked, 1)) END)
             END AS meaning,
             'Start workers for that queue, or more of them.' AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         pg_catalog.jsonb_build_object(
                             'queue', o.queue,
                             'seconds', pg_catalog.round(o.seconds::numeric, 3),
                             'target_seconds', o.target,
                             'running', o.running,
                             'seconds_since_look', pg_catalog.round(o.looked, 3))
                         ORDER BY o.value DESC, o.queue)
              FROM wait AS o) AS subjects,
             CASE WHEN c.is_asked AND s.takes_long
                 THEN 'jobs are many, and nobody has counted them for an hour' END AS reason,
             CASE WHEN c.is_asked AND s.takes_long THEN 'SELECT foreman.maintain();' END AS reveal
      FROM clock AS c
      CROSS JOIN source AS s
      LEFT JOIN worst AS w ON true",
    &[pg_sys::BOOLOID, pg_sys::INT4ARRAYOID, pg_sys::TIMESTAMPTZARRAYOID],
);

/// Of the queues that have a target of their own, or of the others.
pub fn measure(connection: &Connection, with_target: bool) -> Option<Measure> {
    // Empty without preload: only shared memory knows of other sessions.
    let looked_at = floors::figures(LIVE_JOB.oid());
    let queues = Array::of(looked_at.iter().map(|of_queue| Some(of_queue.queue)));
    let times = Array::of(looked_at.iter().map(|of_queue| Some(Timestamptz::at(of_queue.looked_at))));
    Measure::of_answer(connection, &WAITS, &[&with_target, &queues, &times])
}
