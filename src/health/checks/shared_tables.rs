//! Whether the tables in shared memory have room.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::shared::{floors, leases, wakes};

pub const CHECK: Check = Check {
    name: "shared_tables",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(90.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "How full the fullest of our tables in shared memory is, in the whole server: queues with a floor, leases with \
            heartbeats, sessions that wait. Nothing fails when one is full, but what has no place costs more.",
    advice: "Raise foreman.max_tracked_queues or foreman.max_tracked_leases and restart; of the sessions that wait for jobs \
             1024 have a place, and the others poll.",
    run: Run::Fast(|_| Some(measure())),
};

/// The fullest.
fn measure() -> Measure {
    let tables = [
        ("floors of queues (foreman.max_tracked_queues)", floors::used()),
        ("heartbeats of leases (foreman.max_tracked_leases)", leases::used()),
        ("sessions that wait for jobs", wakes::used()),
    ];
    let filled = tables.iter().filter_map(|(name, used)| used.map(|(used, length)| (*name, used, length)));
    let percent = |used: usize, length: usize| 100.0 * used as f64 / length.max(1) as f64;
    let fullest = filled.max_by(|one, other| percent(one.1, one.2).total_cmp(&percent(other.1, other.2)));
    match fullest {
        None => {
            let meaning = Some("there are none: they take preloading".to_owned());
            Measure { meaning, ..Measure::default() }
        }
        Some((name, used, length)) => Measure {
            value: Some(percent(used, length)),
            meaning: Some(format!("The fullest: {name}, {used} of {length}.")),
            ..Measure::default()
        },
    }
}
