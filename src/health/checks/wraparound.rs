//! How far the server is from refusing to write.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::transaction_ages::{self, Against};

pub const CHECK: Check = Check {
    name: "wraparound",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(80.0),
    fail: Some(100.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "The age of the oldest transaction or multixact number of a database, in percent of where VACUUM \
            drops everything else to freeze (vacuum_failsafe_age, vacuum_multixact_failsafe_age). Somewhat later \
            the server refuses to write.",
    advice: "At once: end what keeps VACUUM from freezing (old transactions, prepared ones, replication slots), \
             then VACUUM (FREEZE) in that database.",
    run: Run::Fast(|connection| transaction_ages::oldest(connection, Against::Failsafe)),
};
