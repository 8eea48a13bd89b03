//! Sessions that idle in an open transaction.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "idle_in_transaction",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(1800.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "For how long another session has been idle in an open transaction. It keeps its locks, and VACUUM from removing dead rows.",
    advice: "End the session by the remedy; have the application commit; set idle_in_transaction_session_timeout.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH other AS MATERIALIZED (
          SELECT s.pid, s.backend_start, s.database, s.role, s.application, s.state, s.state_seconds, s.hidden_because,
                 s.reveal, s.remedy,
                 s.state OPERATOR(pg_catalog.=) ANY (ARRAY['idle in transaction', 'idle in transaction (aborted)']) AS is_idle
          FROM foreman.client_sessions AS s
          WHERE NOT s.is_own
      ), total AS (
          SELECT pg_catalog.count(*) FILTER (WHERE o.is_idle) AS sessions,
                 pg_catalog.min(o.hidden_because) AS reason,
                 pg_catalog.min(o.reveal) AS reveal
          FROM other AS o
      ), oldest AS (
          SELECT o.pid, o.backend_start, o.database, o.role, o.application, o.state,
                 pg_catalog.round(o.state_seconds::numeric, 3) AS seconds, o.remedy
          FROM other AS o
          WHERE o.is_idle
          ORDER BY o.state_seconds DESC, o.pid
          LIMIT 10
      ), worst AS (
          SELECT o.pid, o.application, o.seconds, o.remedy
          FROM oldest AS o
          ORDER BY o.seconds DESC, o.pid
          LIMIT 1
      )
      SELECT COALESCE(w.seconds, 0)::double precision AS value,
             CASE
                 WHEN w.pid IS NULL THEN 'No session idles in a transaction.'
                 ELSE pg_catalog.format(
                     'Sessions that idle in a transaction: %s. The longest is pid %s (application %L), for %s s. It keeps its locks, and VACUUM from removing dead rows.',
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
