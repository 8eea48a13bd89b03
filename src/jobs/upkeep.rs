//! Upkeep that somebody has to do now and then: partitions for the days ahead, and jobs moved into them.

use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

/// Days ahead that have a partition: a week without upkeep does no harm, and less is a matter of
/// `finished_rest` growing, not of anything failing.
const DAYS_AHEAD: i32 = 7;
/// Jobs that one call moves, so that it ends in a second or two.
const MAX_MOVED: i32 = 50_000;

// Two at once would make the same partition; the one that comes second has nothing to add.
static BE_THE_ONE: Statement = Statement::new(
    c"SELECT pg_catalog.pg_try_advisory_xact_lock('foreman.finished_day'::pg_catalog.regclass::pg_catalog.oid::bigint)",
    &[],
);

static MAKE_PARTITIONS: Statement = Statement::new(
    c"SELECT pg_catalog.count(*) FILTER (WHERE foreman.make_partition(d.day))
      FROM (
          SELECT (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date OPERATOR(pg_catalog.+) n AS day
          FROM pg_catalog.generate_series(0, $1) AS n
          UNION
          SELECT (r.finished_at AT TIME ZONE 'UTC')::date FROM foreman.finished_rest AS r
      ) AS d",
    &[pg_sys::INT4OID],
);

static EMPTY_REST: Statement = Statement::new(c"SELECT foreman.empty_finished_rest($1)", &[pg_sys::INT4OID]);

/// `maintain`. `in_block`: whether the call stands in a transaction block, as it was before the guard began.
pub fn run(in_block: bool) -> Result<Reply, Error> {
    if in_block {
        return Err(Error::NeedsOwnTransaction);
    }
    spi::connect(|connection| {
        if !connection.run(&BE_THE_ONE, &[]).first().is_some_and(|row| row.boolean(1)) {
            return Ok(Reply::skipped("another session does it now"));
        }
        let number = |statement, parameter: i32| {
            connection.run(statement, &[&parameter]).first().and_then(|row| row.bigint(1)).unwrap_or_default()
        };
        let made = number(&MAKE_PARTITIONS, DAYS_AHEAD);
        let moved = number(&EMPTY_REST, MAX_MOVED);
        Ok(Reply::success().field("partitions_made", made).field("jobs_moved", moved))
    })
}
