//! Transaction numbers that nobody freezes.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::transaction_ages::{self, Against};

pub const CHECK: Check = Check {
    name: "freeze_age",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(150.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "The age of the oldest transaction or multixact number of a database, in percent of where an \
            anti-wraparound VACUUM begins (autovacuum_freeze_max_age, autovacuum_multixact_freeze_max_age). \
            About 100 is usual; far more says that such a VACUUM does not come to its end.",
    advice: "Look for what keeps VACUUM from freezing: old transactions, prepared ones, replication slots. Then \
             VACUUM (FREEZE) in that database.",
    run: Run::Fast(|connection| transaction_ages::oldest(connection, Against::Freeze)),
};
