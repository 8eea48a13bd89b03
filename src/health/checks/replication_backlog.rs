//! How much WAL standbys have still to replay.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::standbys::{self, By};

pub const CHECK: Check = Check {
    name: "replication_backlog",
    unit: "bytes",
    direction: Direction::Above,
    warn: Some(1073741824.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many bytes of WAL a standby has still to replay; on a standby, this server, of what it has \
            received. It grows too where the replay has been paused and time tells nothing.",
    advice: "See foreman.replication for which standby it is, and there whether its replay is paused (the check \
             recovery_paused) or a query holds it up.",
    run: Run::Sessions(|sessions, connection| standbys::furthest(sessions, connection, By::Bytes)),
};
