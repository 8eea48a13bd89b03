//! Queues whose jobs wait for longer than they may.

use super::oldest_ready_job::{self, Of};
use crate::health::check::{Check, Direction, Run, Status};

pub const CHECK: Check = Check {
    name: "late_queues",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(100.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long the oldest ready job of a queue has been waiting for a worker, in percent of the queue's own \
            target (ready_target_seconds of foreman.configure_queue), of the queue that is furthest beyond it. A queue that is \
            paused does not count; one without a target is told of by oldest_ready_job.",
    advice: "Start workers for that queue, or more of them: the check says how many of its jobs run and, preloaded, when \
             somebody last looked for more. Or give it a target that it can keep.",
    run: Run::Jobs(|figures| oldest_ready_job::measure(figures, Of::QueuesWithTarget)),
};
