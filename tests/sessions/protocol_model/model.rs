//! The protocol in memory: what jobs are, and what each call is to do and to answer. Time is a counter; jobs and tokens
//! have names of their own, which `server` translates. Here is what happens to each call; what comes of it is in the parts.

mod changing;
mod creating;
mod job;
mod working;

use std::collections::BTreeMap;

use foreman_tests::{Value, json};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::action::{self, Action, Lease, Name, Step, Token, Verdict};
use Status::{Cancelled, Completed, Deleted, Failed, Pending, Running};
pub use job::{Job, Status};

pub const QUEUES: [&str; 2] = ["a", "b"];
/// Of both queues.
pub const MAX_ATTEMPTS: i64 = 3;
/// Jobs that a claim rescues on the side.
const A_FEW: usize = 10;

pub type TokenId = u32;

#[derive(Clone, Debug, Default)]
pub struct Model {
    /// In the order of their ids.
    pub jobs: BTreeMap<Name, Job>,
    paused: [bool; 2],
    now: u64,
    names: Name,
    tokens: TokenId,
    /// What the last step is to answer.
    pub said: Value,
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        action::step(model)
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        let are_there = step.action.names().iter().all(|name| model.jobs.contains_key(name));
        are_there
            && match &step.action {
                Action::Expire(name) => model.jobs[name].may_expire(),
                Action::BecomeDue(name) => model.jobs[name].may_become_due(),
                Action::Create(new) => new.name >= model.names,
                Action::CreateMany(list) => list.iter().all(|new| new.name >= model.names),
                _ => true,
            }
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        let before = model.clone();
        model.said = model.carry_out(step);
        if step.undone {
            // As if it had never been, but that tokens were seen.
            let after = std::mem::replace(&mut model, before);
            (model.now, model.names, model.tokens, model.said) = (after.now, after.names, after.tokens, after.said);
            for (name, job) in &mut model.jobs {
                job.issued.clone_from(&after.jobs[name].issued);
            }
        }
        model
    }
}

impl Model {
    /// A heartbeat that is told in shared memory counts, though its transaction was undone.
    pub fn keep_heartbeat(&mut self, step: &Step) {
        if let Action::Heartbeat { lease, progress: Some(progress) } = &step.action
            && step.undone
            && self.said["status"] == "success"
            && let Some(job) = self.jobs.get_mut(&lease.job)
            && !job.has_no_length
        {
            job.progress = Some(*progress);
        }
    }

    pub fn next_name(&self) -> Name {
        self.names
    }

    /// Whether a claim would rescue something on the side.
    pub fn has_expired_leases(&self) -> bool {
        self.jobs.values().any(|job| job.expired.is_some())
    }

    /// The token's name, none for a stranger.
    pub fn token(&self, job: Name, token: &Token) -> Option<TokenId> {
        match token {
            Token::Latest => self.jobs[&job].issued.last().copied(),
            Token::Earlier => self.jobs[&job].issued.iter().rev().nth(1).copied(),
            Token::Of(other) => self.jobs[other].issued.last().copied(),
            Token::Stranger => None,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn carry_out(&mut self, Step { session, undone, action }: &Step) -> Value {
        let worker = format!("w{session}");
        // In a transaction block nothing is rescued on the side.
        let a_few = if *undone { 0 } else { A_FEW };
        match action {
            Action::Create(new) => self.create_one(new),
            Action::CreateMany(list) => self.create_many(list),
            Action::Claim { queues, max_jobs } => {
                let mut reply = json!({"status": "success", "jobs": self.claim(queues, *max_jobs, &worker, a_few)});
                if queues.iter().all(|queue| self.paused[*queue]) {
                    reply["paused"] = true.into();
                }
                reply
            }
            Action::Heartbeat { lease, progress } => {
                let outcome = self.beat(lease, *progress);
                match outcome["outcome"].as_str() {
                    Some("extended") => {
                        let mut reply = outcome;
                        reply["status"] = "success".into();
                        reply.as_object_mut().expect("an object").remove("outcome");
                        reply
                    }
                    Some("lease_lost") => lease_lost(lease.job),
                    _ => not_found(),
                }
            }
            Action::HeartbeatAll(list) => {
                let mut list: Vec<&Lease> = list.iter().collect();
                if !all_different(list.iter().map(|lease| lease.job)) {
                    return invalid();
                }
                list.sort_by_key(|lease| lease.job);
                let outcomes: Vec<Value> = list.into_iter().map(|lease| self.beat(lease, None)).collect();
                json!({"status": "success", "outcomes": outcomes})
            }
            Action::Settle(lease, verdict) => self.settle_one(lease, verdict, &worker),
            Action::CompleteMany(list) => {
                let list: Vec<_> = list.iter().map(|lease| (lease.clone(), Verdict::Complete)).collect();
                self.settle_many(&list, &worker)
            }
            Action::FailMany(list) => self.settle_many(list, &worker),
            Action::FinishAndClaim { outcomes, queue, max_jobs } => {
                let mut reply = self.settle_many(outcomes, &worker);
                if reply["status"] == "success" {
                    reply["jobs"] = self.claim(&[*queue], *max_jobs, &worker, a_few).into();
                    if self.paused[*queue] {
                        reply["paused"] = true.into();
                    }
                }
                reply
            }
            Action::Hold(lease) => match self.jobs[&lease.job].status {
                Deleted => json!({"raised": "JF005"}),
                _ if self.is_held(lease) => json!({"status": "success", "job_id": id(lease.job)}),
                _ => json!({"raised": "JF011"}),
            },
            Action::RequestCancel { job, reason } => self.request_cancel(*job, *reason),
            Action::Cancel { job, reason } => {
                told(*job, Cancelled, self.change(*job, Cancelled, None, true, (None, reason.map(str::to_owned))))
            }
            Action::SetStatus { job, to, token } => {
                let token = token.as_ref().map(|token| self.token(*job, token));
                told(*job, *to, self.change(*job, *to, token, false, by_hand(*to)))
            }
            Action::SetStatusMany { jobs, to } => self.set_many(jobs, *to),
            Action::Retry(job) if self.jobs[job].status == Running => refused(*job, Running, "pending by a retry"),
            Action::Retry(job) => told(*job, Pending, self.change(*job, Pending, None, false, (None, None))),
            Action::Delete(name) => {
                let job = self.jobs.get_mut(name).expect("it is named");
                match job.status {
                    Deleted => not_found(),
                    Running => refused(*name, Running, "deleted"),
                    was => {
                        job.status = Deleted;
                        json!({"status": "success", "job_id": id(*name), "deleted": true, "job_status": was.word()})
                    }
                }
            }
            Action::Explain(name) => self.explain(*name),
            Action::Rescue { max_jobs } => {
                let [rescued, failed, cancelled] = self.rescue(*max_jobs);
                json!({"status": "success", "rescued": rescued, "failed": failed, "cancelled": cancelled})
            }
            Action::Pause(queue) | Action::Resume(queue) => {
                let pause = matches!(action, Action::Pause(_));
                let was = std::mem::replace(&mut self.paused[*queue], pause);
                json!({"status": "success", "queue": QUEUES[*queue], "paused": pause, "changed": was != pause})
            }
            Action::Expire(name) => {
                let now = self.tick();
                let job = self.jobs.get_mut(name).expect("it is named");
                (job.expired, job.has_no_length) = (Some(now), true);
                Value::Null
            }
            Action::BecomeDue(name) => {
                let now = self.tick();
                let job = self.jobs.get_mut(name).expect("it is named");
                (job.ready, job.tomorrow) = (Some(now), false);
                Value::Null
            }
        }
    }

    fn explain(&self, name: Name) -> Value {
        let job = &self.jobs[&name];
        let mut reasons = Vec::new();
        match job.status {
            Deleted => return not_found(),
            Pending => {
                if self.paused[job.queue] {
                    reasons.push("queue_paused");
                }
                if job.ready.is_none() {
                    reasons.push("not_due");
                }
            }
            Running => reasons.push(match (job.expired, job.cancel) {
                (Some(_), _) => "lease_expired",
                (None, Some(_)) => "cancel_requested",
                (None, None) => "leased",
            }),
            Failed if job.attempt >= job.max_attempts => reasons.push("attempts_used_up"),
            _ => reasons.push("ended"),
        }
        let runnable = job.status == Pending && reasons.is_empty();
        let mut reply = json!({"status": "success", "job_id": id(name), "queue": QUEUES[job.queue],
                               "job_status": job.status.word(), "runnable": runnable, "reasons": reasons});
        if job.status == Pending {
            // One that is not due comes after all of its priority.
            let rank = |name: Name| {
                let job = &self.jobs[&name];
                (job.priority, job.ready.unwrap_or(u64::MAX), name)
            };
            let ahead = self.ready(job.queue).into_iter().filter(|other| rank(*other) < rank(name)).count();
            reply["jobs_ahead"] = ahead.into();
        }
        reply
    }

    /// The jobs as `server` is to find them in the end.
    pub fn jobs_at_the_end(&self) -> Vec<Value> {
        let are_there = self.jobs.iter().filter(|(_, job)| job.status != Deleted);
        are_there
            .map(|(name, job)| {
                let is_live = !job.status.has_ended();
                json!({
                    "job_id": id(*name), "queue": QUEUES[job.queue], "status": job.status.word(),
                    "priority": job.priority, "attempt": job.attempt, "max_attempts": job.max_attempts,
                    "key": job.key.map(|key| format!("k{key}")), "payload": job.payload, "worker": job.worker,
                    "progress": job.progress, "cancel_requested": job.cancel_is_requested(), "result": job.result,
                    "error": job.error, "tomorrow": job.tomorrow,
                    "not_due": (job.status == Pending).then_some(job.ready.is_none()),
                    "has_key": is_live && job.key.is_some(),
                })
            })
            .collect()
    }
}

/// What the setters by hand leave with a job that ends.
pub fn by_hand(to: Status) -> (Option<String>, Option<String>) {
    let said = || Some("by hand".to_owned());
    match to {
        Completed => (said(), None),
        Failed => (None, said()),
        _ => (None, None),
    }
}

pub fn id(name: Name) -> String {
    format!("job {name}")
}

fn told(name: Name, to: Status, change: Result<(Status, bool), Value>) -> Value {
    match change {
        Ok((from, changed)) => {
            json!({"status": "success", "job_id": id(name), "from": from.word(), "to": to.word(), "changed": changed})
        }
        Err(error) => error,
    }
}

fn refused(name: Name, from: Status, to: &str) -> Value {
    let (status, error_code, from) = ("error", "INVALID_TRANSITION", from.word());
    json!({"status": status, "error_code": error_code, "job_id": id(name), "from": from, "to": to})
}

fn lease_lost(name: Name) -> Value {
    json!({"status": "error", "error_code": "LEASE_LOST", "job_id": id(name)})
}

fn not_found() -> Value {
    json!({"status": "error", "error_code": "NOT_FOUND"})
}

fn invalid() -> Value {
    json!({"status": "error", "error_code": "INVALID_PARAMS"})
}

fn all_different(names: impl Iterator<Item = Name>) -> bool {
    let mut names: Vec<Name> = names.collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}
