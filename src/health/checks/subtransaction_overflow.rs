//! Transactions with more subtransactions than the server keeps at hand.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::families::sessions::{Activity, Session, Sessions, longest};
use crate::pg::datum::quoted;
use crate::pg::spi::{Connection, Statement};
use std::collections::HashSet;

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
    run: Run::Sessions(measure),
};

static PIDS: Statement = Statement::new(
    c"SELECT pg_catalog.pg_stat_get_backend_pid(b.id)
      FROM pg_catalog.pg_stat_get_backend_idset() AS b (id)
      CROSS JOIN LATERAL pg_catalog.pg_stat_get_backend_subxact(b.id) AS x
      WHERE x.subxact_overflowed",
    &[],
);

const OVERFLOWED: Activity = Activity {
    seconds: |session| session.transaction_seconds,
    none: "No transaction has too many subtransactions.",
    some: |_, Session { pid, application, state, .. }, seconds| {
        let application = quoted(application);
        format!("pid {pid} (application {application}, {state}) has more than 64 subtransactions, for {seconds:.1} s.")
    },
};

fn measure(sessions: &Sessions, connection: &Connection) -> Option<Measure> {
    let pids: HashSet<i32> = connection.run(&PIDS, &[]).iter().filter_map(|row| row.integer(1)).collect();
    Some(longest(sessions.others().filter(|session| pids.contains(&session.pid)), &OVERFLOWED))
}
