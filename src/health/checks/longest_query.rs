//! The statement that has been running longest.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "longest_query",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(1800.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long another client session has been running the same statement.",
    advice: "Cancel it by the remedy, or let a dump or a report come to its end; set statement_timeout for the role.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH other AS MATERIALIZED (
          SELECT s.pid, s.backend_start, s.database, s.role, s.application, s.query_seconds, s.hidden_because, s.reveal,
                 s.remedy
          FROM foreman.client_sessions AS s
          WHERE NOT s.is_own
      ), total AS (
          SELECT pg_catalog.count(o.query_seconds) AS sessions,
                 pg_catalog.min(o.hidden_because) AS reason,
                 pg_catalog.min(o.reveal) AS reveal
          FROM other AS o
      ), oldest AS (
          SELECT o.pid, o.backend_start, o.database, o.role, o.application,
                 pg_catalog.round(o.query_seconds::numeric, 3) AS seconds, o.remedy
          FROM other AS o
          WHERE o.query_seconds IS NOT NULL
          ORDER BY o.query_seconds DESC, o.pid
          LIMIT 10
      ), worst AS (
          SELECT o.pid, o.application, o.seconds, o.remedy
          FROM oldest AS o
          ORDER BY o.seconds DESC, o.pid
          LIMIT 1
      )
      SELECT COALESCE(w.seconds, 0)::double precision AS value,
             CASE
                 WHEN w.pid IS NULL THEN 'No other session runs a statement.'
                 ELSE pg_catalog.format(
                     'Other sessions that run a statement: %s. The longest is pid %s (application %L), for %s s.',
                     t.sessions, w.pid, w.application, pg_catalog.round(w.seconds, 1))
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(o) OPERATOR(pg_catalog.-) 'remedy'
                         ORDER BY o.seconds DESC, o.pid) FROM oldest AS o) AS subjects,
             t.reason,
             t.reveal,
             'pid ' OPERATOR(pg_catalog.||) w.pid::text AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
