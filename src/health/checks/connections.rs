//! How much of the server's connection slots is in use.

use crate::health::check::{Check, Direction, Run, Status};

pub const CHECK: Check = Check {
    name: "connections",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(75.0),
    fail: Some(90.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How much of the server's connection slots is in use, of those that ordinary roles can have.",
    advice: "See who holds them in foreman.connection_health. End idle sessions, or put a pooler before the server.",
    run: Run::Sessions(|sessions, _| Some(sessions.pool())),
};
