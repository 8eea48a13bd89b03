//! Replication slots that are about to be lost.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::slots::{self, Trouble};

pub const CHECK: Check = Check {
    name: "slot_room",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(80.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much of max_slot_wal_keep_size a replication slot uses. Beyond 100 percent the next checkpoint \
            removes the WAL, and the slot is lost. 0 where there is no limit: the check configuration says so.",
    advice: "Have whoever reads from the slot catch up, raise max_slot_wal_keep_size, or drop the slot by the \
             remedy.",
    run: Run::Fast(|connection| slots::with(connection, &ROOM)),
};

const ROOM: Trouble = Trouble {
    name: "room",
    none: "No replication slot has a limit to come near to.",
    some: "Replication slot %2$L keeps %4$s of WAL, %5$s percent of max_slot_wal_keep_size.",
};
