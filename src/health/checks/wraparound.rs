//! How far the server is from refusing to write.

use crate::health::check::{Check, Direction, Measure, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "wraparound",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(80.0),
    fail: Some(100.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "The age of the oldest transaction or multixact number of a database, in percent of where VACUUM \
            drops everything else to freeze (vacuum_failsafe_age, vacuum_multixact_failsafe_age). Somewhat later \
            the server refuses to write.",
    advice: "At once: end what keeps VACUUM from freezing (old transactions, prepared ones, replication slots), \
             then VACUUM (FREEZE) in that database.",
    run: |connection| Measure::of_row(connection, &ROW),
};

static ROW: Statement = Statement::new(
    c"WITH worst AS (
          SELECT t.database, t.transactions, t.multixacts, t.failsafe_percent AS percent
          FROM foreman.transaction_ages AS t
          ORDER BY t.failsafe_percent DESC, t.database
          LIMIT 1
      )
      SELECT w.percent AS value,
             pg_catalog.format('The oldest numbers are in database %I: %s transactions, %s multixacts old, %s percent of where VACUUM drops everything else to freeze.',
                 w.database, w.transactions, w.multixacts, pg_catalog.round(w.percent::numeric)) AS meaning,
             pg_catalog.format('VACUUM (FREEZE); -- in database %I; not while an old transaction keeps it from freezing',
                 w.database) AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         pg_catalog.jsonb_build_object('database', t.database, 'transactions', t.transactions,
                             'multixacts', t.multixacts, 'percent', pg_catalog.round(t.percent::numeric, 1))
                         ORDER BY t.percent DESC, t.database)
              FROM (
                  SELECT a.database, a.transactions, a.multixacts, a.failsafe_percent AS percent
                  FROM foreman.transaction_ages AS a
                  ORDER BY a.failsafe_percent DESC, a.database
                  LIMIT 10
              ) AS t) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal
      FROM worst AS w",
    &[],
);
