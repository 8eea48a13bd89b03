//! Sessions that idle in an open transaction.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{self, Activity};

pub const CHECK: Check = Check {
    name: "idle_in_transaction",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(1800.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "For how long another session has been idle in an open transaction. It keeps its locks, and VACUUM from removing dead rows.",
    advice: "End the session by the remedy; have the application commit; set idle_in_transaction_session_timeout.",
    run: Run::Fast(|connection| sessions::longest(connection, &IDLE)),
};

const IDLE: Activity = Activity {
    name: "idle",
    none: "No session idles in a transaction.",
    some: "Sessions that idle in a transaction: %1$s. The longest is pid %2$s (application %3$L), for %5$s s. It keeps its locks, \
           and VACUUM from removing dead rows.",
};
