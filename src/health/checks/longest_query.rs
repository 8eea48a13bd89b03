//! The statement that has been running longest.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{Activity, Session, longest};
use crate::pg::datum::quoted;

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
    run: Run::Sessions(|sessions, _| Some(longest(sessions.others(), &BUSY))),
};

const BUSY: Activity = Activity {
    seconds: |session| session.query_seconds,
    none: "No other session runs a statement.",
    some: |sessions, Session { pid, application, .. }, seconds| {
        let application = quoted(application);
        format!(
            "Other sessions that run a statement: {sessions}. The longest is pid {pid} (application {application}), for \
             {seconds:.1} s."
        )
    },
};
