//! How late standbys are.

use crate::health::check::{Check, Direction, Run, Status};
use crate::health::families::standbys::{self, By};

pub const CHECK: Check = Check {
    name: "replication_delay",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(3600.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "By how long a standby is behind with what it replays, as the primary measured it last; on a standby, \
            this server. One that has replayed all that it got is not late, however long ago that was; a delay \
            that is wanted (recovery_min_apply_delay) counts on the primary alone.",
    advice: "See which of write, flush and replay is late in pg_stat_replication: the network, its disk, or a \
             query or a pause on the standby that holds up the replay.",
    run: Run::Sessions(|sessions, connection| standbys::furthest(sessions, connection, By::Seconds)),
};
