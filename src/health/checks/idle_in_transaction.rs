//! Sessions that idle in an open transaction.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::sessions::{Activity, Session, longest};
use crate::pg::datum::quoted;

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
    run: Run::Sessions(|sessions, _| Some(longest(sessions.others(), &IDLE))),
};

const IDLE: Activity = Activity {
    seconds: Session::idle_seconds,
    none: "No session idles in a transaction.",
    some: |sessions, Session { pid, application, .. }, seconds| {
        let application = quoted(application);
        format!(
            "Sessions that idle in a transaction: {sessions}. The longest is pid {pid} (application {application}), for \
             {seconds:.1} s. It keeps its locks, and VACUUM from removing dead rows."
        )
    },
};
