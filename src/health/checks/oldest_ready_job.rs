//! Jobs that wait for a worker. A queue may have a target of its own, against which `late_queues` measures it: one value
//! can't be seconds of one queue and parts of the target of another.

use crate::health::check::{Check, Direction, Measure, Run, Status, decimals};
use crate::health::families::jobs::{Figures, OfQueue};
use crate::pg::datum::quoted;
use crate::pg::document::Member;

pub const CHECK: Check = Check {
    name: "oldest_ready_job",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long the oldest ready job of a queue has been waiting for a worker. A queue that is paused does not \
            count; one that has a target of its own (ready_target_seconds of foreman.configure_queue) is told of by \
            late_queues.",
    advice: "Start workers for that queue, or more of them: the check says how many of its jobs run and, preloaded, when \
             somebody last looked for more.",
    run: Run::Jobs(|figures| measure(figures, Of::Others)),
};

/// Which queues are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those with a target of their own.
    QueuesWithTarget,
    Others,
}

/// How many are told of.
const TOLD: usize = 20;

/// A queue whose oldest job is ready.
struct Waiting<'a> {
    queue: &'a OfQueue,
    seconds: f64,
    value: f64,
}

impl Waiting<'_> {
    /// The queue as it is measured, if a job of it waits for a worker.
    fn of(queue: &OfQueue) -> Option<Waiting<'_>> {
        let seconds = queue.oldest.filter(|seconds| *seconds >= 0.0 && !queue.is_paused)?;
        let value = queue.target.map_or(seconds, |target| 100.0 * seconds / target);
        Some(Waiting { queue, seconds, value })
    }

    /// A worker that waits looks every ten seconds; when somebody last looked tells workers that are gone from workers that
    /// are too few.
    fn sentence(&self) -> String {
        let OfQueue { name, target, running, looked, .. } = self.queue;
        let target = target.map(|target| format!("; its target is {target} s")).unwrap_or_default();
        let looked = looked.map(|ago| format!("; somebody last looked for more {ago:.1} s ago")).unwrap_or_default();
        let name = quoted(name);
        format!(
            "The oldest ready job of queue {name} has been waiting for {:.1} s{target}. Of its jobs {running} run{looked}.",
            self.seconds
        )
    }

    /// As one of the check's subjects.
    fn subject(&self) -> Member {
        let OfQueue { name, target, running, looked, .. } = self.queue;
        Member::Object(vec![
            ("queue", Member::Value(name.as_str().into())),
            ("seconds", decimals(self.seconds, 3)),
            ("target_seconds", Member::Value((*target).into())),
            ("running", Member::Value((*running).into())),
            ("seconds_since_look", looked.map_or(Member::Value(None::<f64>.into()), |ago| decimals(ago, 3))),
        ])
    }
}

/// Of the queues that have a target of their own, or of the others.
pub fn measure(figures: &Figures, of: Of) -> Measure {
    if let Some(missing) = figures.queues_missing() {
        return missing.told();
    }
    let is_meant = |queue: &&OfQueue| queue.target.is_some() == (of == Of::QueuesWithTarget);
    if of == Of::QueuesWithTarget && !figures.queues().any(|queue| is_meant(&queue)) {
        return Measure { meaning: Some("no queue has a target of its own".to_owned()), ..Measure::default() };
    }
    if let Some(missing) = &figures.live_missing {
        return missing.told();
    }
    let mut waiting: Vec<Waiting<'_>> = figures.queues().filter(is_meant).filter_map(Waiting::of).collect();
    waiting.sort_by(|one, other| other.value.total_cmp(&one.value).then_with(|| one.queue.name.cmp(&other.queue.name)));
    waiting.truncate(TOLD);
    let whose = if of == Of::QueuesWithTarget { "with" } else { "without" };
    Measure {
        value: Some(waiting.first().map_or(0.0, |worst| worst.value)),
        meaning: Some(waiting.first().map_or_else(
            || format!("No job is ready and waiting in a queue {whose} a target of its own."),
            Waiting::sentence,
        )),
        remedy: Some("Start workers for that queue, or more of them.".to_owned()),
        subjects: Member::list(waiting.iter().map(Waiting::subject).collect()),
        ..Measure::default()
    }
}
