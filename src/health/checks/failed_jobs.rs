//! The share of failed jobs.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::families::jobs::{Ended, Figures, OfQueue};
use crate::pg::document::Member;

pub const CHECK: Check = Check {
    name: "failed_jobs",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(10.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "The share of failed jobs among those that ended within the last hour, of 20 at least.",
    advice: "Read the errors with foreman.list_jobs(status => 'failed'), and call retry_job for what can be done now.",
    run: Run::Jobs(measure),
};

/// How many queues are told of.
const TOLD: usize = 20;

/// The share of all queues.
fn measure(figures: &Figures) -> Measure {
    if let Some(missing) = &figures.ended_missing {
        return missing.told();
    }
    let Ended { completed, failed, .. } = figures.last_hour();
    let meaning = match failed {
        0 => "No job has failed for good in the last hour.".to_owned(),
        _ => format!(
            "Jobs of the last hour: {failed} failed for good, {completed} completed. The share is taken of at least 20 jobs, \
             so that one failure of two is no alarm."
        ),
    };
    let mut queues: Vec<&OfQueue> = figures.queues().filter(|queue| queue.last_hour.failed > 0).collect();
    queues.sort_by(|one, other| {
        other.last_hour.failed.cmp(&one.last_hour.failed).then_with(|| one.name.cmp(&other.name))
    });
    queues.truncate(TOLD);
    Measure {
        value: Some(100.0 * failed as f64 / (failed + completed).max(20) as f64),
        meaning: Some(meaning),
        remedy: Some("SELECT jsonb_pretty(foreman.list_jobs(status => 'failed'));".to_owned()),
        subjects: Member::list(queues.into_iter().map(subject).collect()),
        ..Measure::default()
    }
}

/// A queue with its failures.
fn subject(queue: &OfQueue) -> Member {
    Member::Object(vec![
        ("queue", Member::Value(queue.name.as_str().into())),
        ("failed", Member::Value(queue.last_hour.failed.into())),
    ])
}
