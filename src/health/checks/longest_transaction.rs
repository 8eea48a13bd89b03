//! The oldest transaction of another client session.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{self, Activity};

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
    run: Run::Fast(|connection| sessions::longest(connection, &OPEN)),
};

const OPEN: Activity = Activity {
    name: "transaction",
    none: "No other session has a transaction open.",
    some: "Other sessions with a transaction open: %1$s. The longest is pid %2$s (application %3$L, %4$s), for %5$s s. Rows that \
           died since then can't be removed.",
};
