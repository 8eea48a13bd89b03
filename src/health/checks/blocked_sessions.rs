//! Sessions that wait for a lock, and who is at the root.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "blocked_sessions",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(120.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "For how long a session has been waiting for a lock, and who is at the root: blocks others and does not wait.",
    advice: "End the root's transaction by the remedy: the others go on by themselves.",
    run: |connection| Measure::of_row(connection, &ROW),
};

// The lock table is open to every role. pg_blocking_pids takes exclusive hold of it for a moment, so it is asked only
// for sessions that wait, and for at most 200 of them. It also names who merely queues before: 130 waiters on one row
// have 8,386 pairs and a single root, so what is told is the roots, those that block and do not wait themselves.
static ROW: Statement = Statement::new(
    c"WITH clock AS MATERIALIZED (
          SELECT pg_catalog.clock_timestamp() AS at
      ), waiting AS MATERIALIZED (
          SELECT l.pid,
                 GREATEST(0, EXTRACT(epoch FROM c.at OPERATOR(pg_catalog.-) l.waitstart)::double precision) AS seconds
          FROM pg_catalog.pg_locks AS l
          CROSS JOIN clock AS c
          WHERE NOT l.granted
            AND l.pid IS NOT NULL
      ), looked_at AS MATERIALIZED (
          SELECT w.pid, w.seconds
          FROM waiting AS w
          ORDER BY w.seconds DESC, w.pid
          LIMIT 200
      ), blocker AS MATERIALIZED (
          SELECT b.pid, pg_catalog.count(DISTINCT w.pid) AS blocks
          FROM looked_at AS w
          CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b (pid)
          GROUP BY b.pid
      ), root AS MATERIALIZED (
          SELECT b.pid, b.blocks, s.backend_start, s.database, s.role, s.application, s.state,
                 pg_catalog.round(s.transaction_seconds::numeric, 3) AS transaction_seconds,
                 CASE
                     WHEN b.pid OPERATOR(pg_catalog.=) 0
                         THEN 'SELECT gid, prepared, owner, database FROM pg_prepared_xacts ORDER BY prepared; -- then COMMIT PREPARED or ROLLBACK PREPARED'
                     ELSE s.remedy
                 END AS remedy
          FROM blocker AS b
          LEFT JOIN foreman.client_sessions AS s ON s.pid OPERATOR(pg_catalog.=) b.pid
          WHERE NOT EXISTS (SELECT 1 FROM waiting AS w WHERE w.pid OPERATOR(pg_catalog.=) b.pid)
          ORDER BY b.blocks DESC, b.pid
          LIMIT 10
      ), total AS (
          SELECT pg_catalog.count(*) AS sessions, pg_catalog.max(w.seconds) AS seconds
          FROM waiting AS w
      ), worst AS (
          SELECT r.pid, r.application, r.state, r.remedy
          FROM root AS r
          ORDER BY r.blocks DESC, r.pid
          LIMIT 1
      )
      SELECT COALESCE(t.seconds, 0) AS value,
             CASE
                 WHEN t.sessions OPERATOR(pg_catalog.=) 0 THEN 'No session waits for a lock.'
                 ELSE pg_catalog.format('Sessions that wait for a lock: %s, the longest for %s s. ',
                          t.sessions, pg_catalog.round(t.seconds::numeric, 1))
                      OPERATOR(pg_catalog.||) CASE
                          WHEN w.pid IS NULL THEN 'They wait for each other, or the lock has just been freed.'
                          WHEN w.pid OPERATOR(pg_catalog.=) 0 THEN 'At the root is a prepared transaction.'
                          ELSE pg_catalog.format('At the root is pid %s%s.', w.pid,
                              CASE
                                  WHEN w.state IS NULL THEN ''
                                  ELSE pg_catalog.format(' (application %L, %s)', w.application, w.state)
                              END)
                      END
             END AS meaning,
             w.remedy,
             CASE WHEN t.sessions OPERATOR(pg_catalog.>) 0 THEN pg_catalog.jsonb_build_object(
                 'waiting', t.sessions,
                 'longest_waits', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                              'pid', l.pid,
                                              'seconds', pg_catalog.round(l.seconds::numeric, 3),
                                              'blocked_by', pg_catalog.to_jsonb(pg_catalog.pg_blocking_pids(l.pid)))
                                          ORDER BY l.seconds DESC, l.pid)
                                   FROM (SELECT k.pid, k.seconds FROM looked_at AS k ORDER BY k.seconds DESC, k.pid LIMIT 10)
                                       AS l),
                 'roots', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.blocks DESC, r.pid) FROM root AS r),
                 'truncated', t.sessions OPERATOR(pg_catalog.>) 200) END AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[],
);
