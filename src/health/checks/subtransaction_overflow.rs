//! Transactions with more subtransactions than the server keeps at hand.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "subtransaction_overflow",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: None,
    worst: Status::Warn,
    from_version: 16,
    on_standby: false,
    about: "For how long a transaction has been open that has more than 64 subtransactions that write. From then on every \
            session of the server, and of its standbys, looks up on disk what it could else see in memory.",
    advice: "End the transaction by the remedy; have the application use fewer savepoints, or PL/pgSQL blocks with EXCEPTION, \
             in one transaction.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"WITH session AS MATERIALIZED (
          SELECT pg_catalog.pg_stat_get_backend_pid(b.id) AS pid, x.subxact_count AS subtransactions
          FROM pg_catalog.pg_stat_get_backend_idset() AS b (id)
          CROSS JOIN LATERAL pg_catalog.pg_stat_get_backend_subxact(b.id) AS x
          WHERE x.subxact_overflowed
      ), overflowed AS MATERIALIZED (
          SELECT c.pid, c.application, c.state, c.transaction_seconds AS seconds, c.hidden_because, c.reveal, c.remedy
          FROM session AS s
          JOIN foreman.client_sessions AS c ON c.pid OPERATOR(pg_catalog.=) s.pid AND NOT c.is_own
      ), worst AS (
          SELECT o.pid, o.application, o.state, o.seconds, o.remedy
          FROM overflowed AS o
          ORDER BY o.seconds DESC NULLS LAST, o.pid
          LIMIT 1
      )
      SELECT COALESCE(w.seconds, 0) AS value,
             CASE
                 WHEN w.pid IS NULL THEN 'No transaction has too many subtransactions.'
                 ELSE pg_catalog.format('pid %s (application %L, %s) has more than 64 subtransactions, for %s s.',
                     w.pid, w.application, w.state, pg_catalog.round(w.seconds::numeric, 1))
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                         'pid', o.pid, 'application', o.application, 'state', o.state, 'seconds', o.seconds)
                         ORDER BY o.seconds DESC, o.pid) FROM overflowed AS o) AS subjects,
             (SELECT pg_catalog.min(o.hidden_because) FROM overflowed AS o) AS reason,
             (SELECT pg_catalog.min(o.reveal) FROM overflowed AS o) AS reveal,
             'pid ' OPERATOR(pg_catalog.||) w.pid::text AS culprit
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[],
);
