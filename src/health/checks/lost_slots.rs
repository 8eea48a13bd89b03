//! Replication slots that are lost.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::slots::{self, Trouble};

pub const CHECK: Check = Check {
    name: "lost_slots",
    unit: "slots",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many replication slots have been invalidated: the WAL or the rows that their reader needs are \
            gone.",
    advice: "Drop the slot by the remedy, and build the standby or the subscription anew.",
    run: Run::Fast(|connection| slots::with(connection, &LOST)),
};

const LOST: Trouble = Trouble {
    name: "lost",
    none: "No replication slot is lost.",
    some: "Replication slots that are lost: %1$s, among them %2$L (%3$s).",
};
