//! Prepared transactions that nobody ends.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};

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
    run: Run::Fast(measure),
};

static ANY: Statement = Statement::new(c"SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_xact() AS p)", &[]);

static ROW: Statement = Statement::new(
    c"WITH prepared AS MATERIALIZED (
          SELECT p.gid, p.database, p.owner, p.prepared, GREATEST(0, pg_catalog.round(EXTRACT(epoch FROM
                     pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.prepared), 3)) AS seconds
          FROM pg_catalog.pg_prepared_xacts AS p
          ORDER BY p.prepared, p.gid
      ), oldest AS (
          SELECT p.gid, p.database, p.owner, p.seconds FROM prepared AS p ORDER BY p.prepared, p.gid LIMIT 1
      )
      SELECT o.seconds::double precision AS value,
             pg_catalog.format('Prepared transactions: %s. The oldest is %L of role %I in database %I, for %s s.',
                 (SELECT pg_catalog.count(*) FROM prepared AS p), o.gid, o.owner, o.database,
                 pg_catalog.round(o.seconds, 1)) AS meaning,
             pg_catalog.format(
                 'ROLLBACK PREPARED %L; -- or COMMIT PREPARED, in database %I, by its owner or a superuser; what it did is lost',
                 o.gid, o.database) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) ORDER BY p.prepared, p.gid)
              FROM (SELECT k.gid, k.database, k.owner, k.prepared, k.seconds FROM prepared AS k LIMIT 10) AS p) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('prepared transaction %L', o.gid) AS culprit
      FROM oldest AS o",
    &[],
);

// Between the two statements the last one may have ended: then there is no row.
fn measure(connection: &Connection) -> Option<Measure> {
    let any = connection.run(&ANY, &[]).first().is_some_and(|row| row.boolean(1));
    let oldest = any.then(|| Measure::of_row(connection, &ROW)).flatten();
    Some(oldest.unwrap_or_else(|| Measure::none("No transaction is prepared.")))
}
