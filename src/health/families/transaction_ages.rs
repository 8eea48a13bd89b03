//! Databases, by the age of their oldest transaction and multixact numbers.

use crate::health::check::Measure;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

/// What an age is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Where an anti-wraparound VACUUM begins.
    Freeze,
    /// Where VACUUM drops everything else.
    Failsafe,
}

static OLDEST: Statement = Statement::new(
    c"WITH aged AS MATERIALIZED (
          SELECT a.database, a.is_connectable, a.transactions, a.multixacts,
                 CASE WHEN $1 THEN a.failsafe_percent ELSE a.freeze_percent END AS exact_percent
          FROM foreman.transaction_ages AS a
          ORDER BY exact_percent DESC, a.database
          LIMIT 10
      ), worst AS (
          SELECT a.database, a.is_connectable, a.transactions, a.multixacts, a.exact_percent
          FROM aged AS a
          ORDER BY a.exact_percent DESC, a.database
          LIMIT 1
      )
      SELECT w.exact_percent AS value,
             pg_catalog.format('The oldest numbers are in database %I: %s transactions, %s multixacts old, %s percent of where %s.',
                 w.database, w.transactions, w.multixacts, pg_catalog.round(w.exact_percent::numeric),
                 CASE WHEN $1 THEN 'VACUUM drops everything else to freeze' ELSE 'an anti-wraparound VACUUM begins' END) AS meaning,
             pg_catalog.format(
                 CASE WHEN w.is_connectable
                     THEN 'VACUUM (FREEZE); -- in database %I; not while an old transaction keeps it from freezing'
                     ELSE 'ALTER DATABASE %I ALLOW_CONNECTIONS true; -- then VACUUM (FREEZE) in it, and ALLOW_CONNECTIONS false again'
                 END, w.database) AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         pg_catalog.jsonb_build_object('database', a.database, 'transactions', a.transactions,
                             'multixacts', a.multixacts, 'percent', pg_catalog.round(a.exact_percent::numeric, 1))
                         ORDER BY a.exact_percent DESC, a.database)
              FROM aged AS a) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             pg_catalog.format('database %I', w.database) AS culprit
      FROM worst AS w",
    &[pg_sys::BOOLOID],
);

/// The database whose numbers are the oldest.
pub fn oldest(connection: &Connection, against: Against) -> Option<Measure> {
    Measure::of_answer(connection, &OLDEST, &[&(against == Against::Failsafe)])
}
