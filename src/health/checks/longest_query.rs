//! The statement that has been running longest.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{self, Activity};

pub const CHECK: Check = Check {
    name: "longest_query",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(1800.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long another client session has been running the same statement.",
    advice: "Cancel it by the remedy, or let a dump or a report come to its end; set statement_timeout for the role.",
    run: Run::Fast(|connection| sessions::longest(connection, &BUSY)),
};

const BUSY: Activity = Activity {
    name: "query",
    none: "No other session runs a statement.",
    some: "Other sessions that run a statement: %1$s. The longest is pid %2$s (application %3$L), for %5$s s.",
};
