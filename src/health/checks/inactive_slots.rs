//! Replication slots that nobody reads from.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::slots::{self, Trouble};

pub const CHECK: Check = Check {
    name: "inactive_slots",
    unit: "bytes",
    direction: Direction::Above,
    warn: Some(1073741824.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How much WAL a replication slot keeps that nobody reads from. It grows until somebody does, the disk \
            is full, or max_slot_wal_keep_size ends it.",
    advice: "Start whoever reads from the slot, or drop it by the remedy. max_slot_wal_keep_size bounds what a \
             slot may keep.",
    run: Run::Fast(|connection| slots::with(connection, &INACTIVE)),
};

const INACTIVE: Trouble = Trouble {
    name: "inactive",
    none: "Every replication slot has its reader.",
    some: "Replication slots without a reader: %1$s. %2$L keeps most, %4$s of WAL.",
};
