//! Other client sessions, by how long they have been at something.

use crate::health::check::Measure;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

/// At what a session is.
pub struct Activity {
    /// As the statement has it: `idle`, `transaction` or `query`.
    pub name: &'static str,
    /// What it means that no session is.
    pub none: &'static str,
    /// What it means that some are: of their number, the pid, application, state and seconds of the longest.
    pub some: &'static str,
}

static LONGEST: Statement = Statement::new(
    c"WITH other AS MATERIALIZED (
          SELECT s.pid, s.backend_start, s.database, s.role, s.application, s.state, s.hidden_because, s.reveal, s.remedy,
                 CASE
                     WHEN $1 OPERATOR(pg_catalog.=) 'transaction' THEN s.transaction_seconds
                     WHEN $1 OPERATOR(pg_catalog.=) 'query' THEN s.query_seconds
                     WHEN s.state OPERATOR(pg_catalog.=) ANY (ARRAY['idle in transaction', 'idle in transaction (aborted)'])
                         THEN s.state_seconds
                 END AS exact_seconds
          FROM foreman.client_sessions AS s
          WHERE NOT s.is_own
      ), total AS (
          SELECT pg_catalog.count(o.exact_seconds) AS sessions,
                 pg_catalog.min(o.hidden_because) AS reason,
                 pg_catalog.min(o.reveal) AS reveal
          FROM other AS o
      ), oldest AS (
          SELECT o.pid, o.backend_start, o.database, o.role, o.application, o.state,
                 pg_catalog.round(o.exact_seconds::numeric, 3) AS seconds, o.remedy
          FROM other AS o
          WHERE o.exact_seconds IS NOT NULL
          ORDER BY o.exact_seconds DESC, o.pid
          LIMIT 10
      ), worst AS (
          SELECT o.pid, o.application, o.state, o.seconds, o.remedy
          FROM oldest AS o
          ORDER BY o.seconds DESC, o.pid
          LIMIT 1
      )
      SELECT COALESCE(w.seconds, 0)::double precision AS value,
             CASE
                 WHEN w.pid IS NULL THEN $2
                 ELSE pg_catalog.format($3, t.sessions, w.pid, w.application, w.state, pg_catalog.round(w.seconds, 1))
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(o) OPERATOR(pg_catalog.-) 'remedy'
                         ORDER BY o.seconds DESC, o.pid) FROM oldest AS o) AS subjects,
             t.reason,
             t.reveal,
             'pid ' OPERATOR(pg_catalog.||) w.pid::text AS culprit
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
);

/// The one that has been at it for the longest.
pub fn longest(connection: &Connection, activity: &Activity) -> Option<Measure> {
    Measure::of_answer(connection, &LONGEST, &[&activity.name, &activity.none, &activity.some])
}
