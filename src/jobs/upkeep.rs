//! Upkeep that somebody has to do now and then: expired leases, partitions for the days ahead, jobs moved into them, what
//! is kept no longer, and figures. A list of steps, so that a lock that one can't have holds up none of the others.

use super::{rescue, saved_floors, waiting};
use crate::error::{Code, Error};
use crate::guard;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;
use serde_json::Value;

/// Days ahead that have a partition: a week without upkeep does no harm, and less is a matter of
/// `finished_rest` growing, not of anything failing.
const DAYS_AHEAD: i32 = 7;
/// Jobs that one step rescues, moves or deletes, so that it ends in a second or two.
const MAX_RESCUED: i32 = 1_000;
/// As above.
const MAX_MOVED: i32 = 50_000;
/// As above.
const MAX_DELETED: i32 = 10_000;

/// Changes in days that were counted, so many of which who asks for figures reads along in less than a millisecond.
const MIN_ADDED: i32 = 1_000;

// Two at once would make the same partition; the one that comes second has nothing to add. The table is locked as by who
// reads it, since DROP EXTENSION locks it before our other tables: so none waits for it who has what DROP is to lock next.
static BE_THE_ONE: Statement = Statement::new(
    c"SELECT pg_catalog.pg_try_advisory_xact_lock('foreman.finished_day'::pg_catalog.regclass::pg_catalog.oid::bigint)
      WHERE NOT EXISTS (SELECT FROM foreman.live_job AS j WHERE false)",
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

static SWEEP: Statement = Statement::new(c"SELECT foreman.sweep_finished($1)", &[pg_sys::INT4OID]);

static TRUNCATE: Statement = Statement::new(c"SELECT foreman.truncate_partitions()", &[]);

static DROP: Statement = Statement::new(c"SELECT foreman.drop_partitions()", &[]);

static ADD_CHANGES: Statement = Statement::new(c"SELECT foreman.add_changes($1)", &[pg_sys::INT4OID]);

static COUNT_DAYS: Statement = Statement::new(c"SELECT foreman.count_days()", &[]);

static ROLL_UP: Statement = Statement::new(c"SELECT foreman.make_roll_up()", &[]);

static CLOSE_DAYS: Statement = Statement::new(c"SELECT foreman.close_days()", &[]);

/// A step: its name, and what it does, answered as numbers of what was done.
pub struct Step {
    pub name: &'static str,
    pub run: fn() -> Result<Reply, Error>,
}

/// All steps in their order. Those that wait for locks come last; what is closed is counted the next time, when nobody is
/// kept from it by the lock of the closing.
pub const STEPS: &[Step] = &[
    Step { name: "rescue", run: || rescue::since_last(MAX_RESCUED) },
    Step { name: "look_for_waiters", run: waiting::look_for_all },
    Step { name: "save_floors", run: saved_floors::save },
    Step { name: "make_partitions", run: || counted("partitions_made", &MAKE_PARTITIONS, Some(DAYS_AHEAD)) },
    Step { name: "move_finished", run: || counted("jobs_moved", &EMPTY_REST, Some(MAX_MOVED)) },
    Step { name: "sweep", run: || counted("jobs_deleted", &SWEEP, Some(MAX_DELETED)) },
    Step { name: "add_changes", run: || counted("days_changed", &ADD_CHANGES, Some(MIN_ADDED)) },
    Step { name: "count_days", run: || counted("days_counted", &COUNT_DAYS, None) },
    Step { name: "roll_up", run: || counted("roll_ups", &ROLL_UP, None) },
    Step { name: "close_days", run: || counted("days_closed", &CLOSE_DAYS, None) },
    Step { name: "truncate_partitions", run: || counted("partitions_emptied", &TRUNCATE, None) },
    Step { name: "drop_partitions", run: || counted("partitions_dropped", &DROP, None) },
];

/// Runs a statement that answers a number.
fn counted(name: &'static str, statement: &Statement, bound: Option<i32>) -> Result<Reply, Error> {
    let number = spi::connect(|connection| {
        let rows = match &bound {
            Some(bound) => connection.run(statement, &[bound]),
            None => connection.run(statement, &[]),
        };
        rows.first().and_then(|row| row.bigint(1)).unwrap_or_default()
    });
    Ok(Reply::success().field(name, number))
}

/// Whether nobody else is at it until this transaction ends.
pub fn is_the_one() -> bool {
    spi::connect(|connection| connection.run(&BE_THE_ONE, &[]).first().is_some_and(|row| row.boolean(1)))
}

/// `maintain`.
pub fn run() -> Result<Reply, Error> {
    if guard::in_transaction_block() {
        return Err(Error::NeedsOwnTransaction);
    }
    if !is_the_one() {
        return Ok(Reply::skipped("another session does it now"));
    }
    let (mut reply, mut postponed) = (Reply::success(), Vec::new());
    for step in STEPS {
        match guard::apart(step.run) {
            Ok(done) => reply = reply.with_fields_of(done),
            Err(error) if matches!(error.code(), Code::DbTimeoutError | Code::DbDeadlock) => {
                postponed.push(Value::from(step.name))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(reply.optional("postponed", (!postponed.is_empty()).then_some(postponed)))
}
