//! What workers do: claim, tell of themselves, finish.

use foreman_tests::{Value, json};

use super::Status::{Cancelled, Completed, Deleted, Failed, Pending, Running};
use super::changing::EXPIRED;
use super::{Job, Model, QUEUES, Status, all_different, id, invalid, lease_lost, not_found, told};
use crate::protocol_model::action::{Lease, Name, Pause, Verdict};

/// What a verdict leads to.
enum Settled {
    Ended(Status),
    Back,
    Unchanged(Status),
    LeaseLost,
    NotFound,
}

impl Model {
    /// The ready jobs of a queue, in the order of the claim.
    pub(super) fn ready(&self, queue: usize) -> Vec<Name> {
        let is_ready = |job: &Job| job.queue == queue && job.status == Pending && job.ready.is_some();
        let mut ready: Vec<_> = self.jobs.iter().filter(|(_, job)| is_ready(job)).collect();
        ready.sort_by_key(|(name, job)| (job.priority, job.ready, **name));
        ready.into_iter().map(|(name, _)| *name).collect()
    }

    pub(super) fn claim(&mut self, queues: &[usize], max_jobs: usize, worker: &str, rescues: usize) -> Vec<Value> {
        self.rescue(rescues);
        let mut claimed = Vec::new();
        'full: for queue in queues.iter().filter(|queue| !self.paused[**queue]).copied().collect::<Vec<_>>() {
            for name in self.ready(queue) {
                let job = self.jobs.get_mut(&name).expect("it is ready");
                let goes_alone = job.error.as_deref() == Some(EXPIRED);
                if claimed.len() == max_jobs || (goes_alone && !claimed.is_empty()) {
                    break 'full;
                }
                let token = self.tokens;
                self.tokens += 1;
                job.issued.push(token);
                job.run(Some(token), Some(worker.to_owned()));
                claimed.push(json!({
                    "job_id": id(name), "queue": QUEUES[queue], "job_type": null, "payload": job.payload,
                    "attempt": job.attempt, "max_attempts": job.max_attempts, "priority": job.priority,
                    "lease_token": token, "lease_expires_at": true, "metadata": {}, "error": job.error,
                }));
                if goes_alone {
                    break 'full;
                }
            }
        }
        claimed
    }

    pub(super) fn is_held(&self, lease: &Lease) -> bool {
        let (job, token) = (&self.jobs[&lease.job], self.token(lease.job, &lease.token));
        job.status == Running && token.is_some() && job.token == token
    }

    pub(super) fn beat(&mut self, lease: &Lease, progress: Option<i32>) -> Value {
        let is_held = self.is_held(lease);
        let job = self.jobs.get_mut(&lease.job).expect("it is named");
        if !is_held {
            let outcome = if job.status == Deleted { "not_found" } else { "lease_lost" };
            return json!({"job_id": id(lease.job), "outcome": outcome});
        }
        job.expired = None;
        job.progress = progress.or(job.progress);
        let mut reply = json!({"job_id": id(lease.job), "outcome": "extended", "lease_expires_at": true,
                               "cancel_requested": job.cancel.is_some()});
        if let Some(reason) = job.cancel.flatten() {
            reply["cancel_reason"] = reason.into();
        }
        reply
    }

    /// What becomes of a verdict; what is ready again is so since `now`.
    fn settle(&mut self, lease: &Lease, verdict: &Verdict, worker: &str, now: u64) -> Settled {
        let (is_held, token) = (self.is_held(lease), self.token(lease.job, &lease.token));
        let job = self.jobs.get_mut(&lease.job).expect("it is named");
        let ends: &[Status] = match verdict {
            Verdict::Complete => &[Completed],
            Verdict::Fail { is_final: true, .. } => &[Failed],
            Verdict::Fail { .. } => &[Failed, Cancelled],
            Verdict::Release { .. } => &[Cancelled],
        };
        if !is_held {
            return match job.status {
                Deleted => Settled::NotFound,
                status if ends.contains(&status) && token.is_some() && job.token == token => Settled::Unchanged(status),
                _ => Settled::LeaseLost,
            };
        }
        match verdict {
            Verdict::Complete => job.end(Completed, Some(format!("done by {worker}")), None),
            Verdict::Fail { error, is_final: true, .. } => job.end(Failed, None, error.map(str::to_owned)),
            Verdict::Fail { error, .. } if job.cancel.is_some() => job.end_as_requested(error.map(str::to_owned)),
            Verdict::Fail { error, .. } if job.attempt >= job.max_attempts => {
                job.end(Failed, None, error.map(str::to_owned));
            }
            Verdict::Fail { error, pause, .. } => {
                let is_later = match pause {
                    Pause::None => false,
                    Pause::Hour => true,
                    Pause::Queues => job.queue == 1,
                };
                job.error = error.map(str::to_owned).or(job.error.take());
                job.wait((!is_later).then_some(now));
            }
            Verdict::Release { .. } if job.cancel.is_some() => job.end_as_requested(None),
            Verdict::Release { later } => {
                job.attempt -= 1;
                job.wait((!later).then_some(now));
            }
        }
        if job.status == Pending { Settled::Back } else { Settled::Ended(job.status) }
    }

    pub(super) fn settle_one(&mut self, lease: &Lease, verdict: &Verdict, worker: &str) -> Value {
        let now = self.tick();
        let settled = self.settle(lease, verdict, worker, now);
        let (name, job) = (lease.job, &self.jobs[&lease.job]);
        match settled {
            Settled::Ended(to) => told(name, to, Ok((Running, true))),
            Settled::Unchanged(status) => told(name, status, Ok((status, false))),
            Settled::Back => {
                let mut reply = told(name, Pending, Ok((Running, true)));
                reply["ready_at"] = true.into();
                reply["attempt"] = job.attempt.into();
                reply["max_attempts"] = job.max_attempts.into();
                reply
            }
            Settled::LeaseLost => lease_lost(name),
            Settled::NotFound => not_found(),
        }
    }

    pub(super) fn settle_many(&mut self, list: &[(Lease, Verdict)], worker: &str) -> Value {
        if !all_different(list.iter().map(|(lease, _)| lease.job)) {
            return invalid();
        }
        let now = self.tick();
        let mut list: Vec<_> = list.iter().collect();
        list.sort_by_key(|(lease, _)| lease.job);
        // Tokens are taken for what they were when the call came.
        let outcomes: Vec<Value> = list
            .into_iter()
            .map(|(lease, verdict)| {
                let mut outcome = json!({"job_id": id(lease.job)});
                outcome["outcome"] = match self.settle(lease, verdict, worker, now) {
                    Settled::Ended(to) => to.word(),
                    Settled::Back => {
                        outcome["ready_at"] = true.into();
                        "pending"
                    }
                    Settled::Unchanged(_) => "unchanged",
                    Settled::LeaseLost => "lease_lost",
                    Settled::NotFound => "not_found",
                }
                .into();
                outcome
            })
            .collect();
        json!({"status": "success", "outcomes": outcomes})
    }
}
