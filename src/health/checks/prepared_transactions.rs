//! Prepared transactions that nobody ends.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "prepared_transactions",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: Some(3600.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: false,
    about: "For how long the oldest prepared transaction has been waiting for its COMMIT PREPARED. It keeps its locks, also \
            over a restart, and VACUUM from removing dead rows.",
    advice: "Ask the transaction manager that made it; where that is gone, end it by the remedy.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"WITH prepared AS MATERIALIZED (
          SELECT p.gid, p.database, p.owner, p.prepared, GREATEST(0, pg_catalog.round(EXTRACT(epoch FROM
                     pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.prepared), 3)) AS seconds
          FROM pg_catalog.pg_prepared_xacts AS p
          ORDER BY p.prepared, p.gid
      ), oldest AS (
          SELECT p.gid, p.database, p.owner, p.seconds FROM prepared AS p ORDER BY p.prepared, p.gid LIMIT 1
      )
      SELECT COALESCE(o.seconds, 0)::double precision AS value,
             CASE
                 WHEN o.gid IS NULL THEN 'No transaction is prepared.'
                 ELSE pg_catalog.format('Prepared transactions: %s. The oldest is %L of role %I in database %I, for %s s.',
                     (SELECT pg_catalog.count(*) FROM prepared AS p), o.gid, o.owner, o.database,
                     pg_catalog.round(o.seconds, 1))
             END AS meaning,
             CASE WHEN o.gid IS NOT NULL THEN pg_catalog.format(
                 'ROLLBACK PREPARED %L; -- or COMMIT PREPARED, in database %I, by its owner or a superuser; what it did is lost',
                 o.gid, o.database) END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) ORDER BY p.prepared, p.gid)
              FROM (SELECT k.gid, k.database, k.owner, k.prepared, k.seconds FROM prepared AS k LIMIT 10) AS p) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('prepared transaction %L', o.gid) AS culprit
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN oldest AS o ON true",
    &[],
);
