//! The oldest transaction of another client session.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{Activity, Session, longest};
use crate::pg::datum::quoted;

pub const CHECK: Check = Check {
    name: "longest_transaction",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(900.0),
    fail: Some(14400.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "The age of the oldest transaction of another client session. Rows that died since then can't be removed.",
    advice: "Cancel or end it by the remedy, or let a dump or a report come to its end; make long work in smaller transactions.",
    run: Run::Sessions(|sessions, _| Some(longest(sessions.others(), &OPEN))),
};

const OPEN: Activity = Activity {
    seconds: |session| session.transaction_seconds,
    none: "No other session has a transaction open.",
    some: |sessions, Session { pid, application, state, .. }, seconds| {
        let application = quoted(application);
        format!(
            "Other sessions with a transaction open: {sessions}. The longest is pid {pid} (application {application}, \
             {state}), for {seconds:.1} s. Rows that died since then can't be removed."
        )
    },
};
