//! The protocol in memory: what jobs are, and what each call is to do and to answer. Time is a counter; jobs and tokens
//! have names of their own, which `server` translates.

use std::collections::BTreeMap;

use foreman_tests::{Value, json};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::action::{self, Action, Lease, Name, NewJob, Pause, Step, Token, Verdict};

pub const QUEUES: [&str; 2] = ["a", "b"];
/// Of both queues.
pub const MAX_ATTEMPTS: i64 = 3;
const DEFAULT_PRIORITY: i64 = 5;
/// The error of an attempt that nobody finished; a job that has it is handed out alone.
const EXPIRED: &str = "The lease expired.";
const USED_UP: &str = "The lease expired; the attempts are used up.";
/// Jobs that a claim rescues on the side.
const A_FEW: usize = 10;
/// The error of a cancelled job of which neither a reason nor an error is known.
const REQUESTED: &str = "A cancel was requested.";

pub type TokenId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Gone for good.
    Deleted,
}

use Status::{Cancelled, Completed, Deleted, Failed, Pending, Running};

impl Status {
    /// Those that a job can be set to.
    pub const ALL: [Status; 5] = [Pending, Running, Completed, Failed, Cancelled];

    pub fn word(self) -> &'static str {
        match self {
            Pending => "pending",
            Running => "running",
            Completed => "completed",
            Failed => "failed",
            Cancelled => "cancelled",
            Deleted => "deleted",
        }
    }

    pub fn has_ended(self) -> bool {
        matches!(self, Completed | Failed | Cancelled)
    }

    /// What may follow.
    fn allows(self, to: Status) -> bool {
        match self {
            Pending => to != Pending,
            Running => to != Running,
            Failed | Cancelled => to == Pending,
            Completed | Deleted => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Job {
    pub queue: usize,
    pub key: Option<u8>,
    pub status: Status,
    pub priority: i64,
    pub attempt: i64,
    pub max_attempts: i64,
    pub payload: u32,
    /// run_at is tomorrow.
    pub tomorrow: bool,
    /// Since when it is ready; none for one that is not due.
    pub ready: Option<u64>,
    /// Of a running job, none where it runs without a claim; of one that ended, the one under which it was ended.
    token: Option<TokenId>,
    /// Since when the lease is over.
    expired: Option<u64>,
    /// It was made so by hand, and has no length: heartbeats ask for more, and are written into the row.
    has_no_length: bool,
    cancel: Option<Option<&'static str>>,
    pub worker: Option<String>,
    pub progress: Option<i32>,
    pub result: Option<String>,
    pub error: Option<String>,
    /// Tokens that were given out for it, the latest last.
    issued: Vec<TokenId>,
}

impl Job {
    pub fn may_expire(&self) -> bool {
        self.status == Running && self.expired.is_none()
    }

    pub fn may_become_due(&self) -> bool {
        self.status == Pending && self.ready.is_none()
    }

    pub fn cancel_is_requested(&self) -> bool {
        self.status == Running && self.cancel.is_some()
    }

    /// The job waits again, under no lease.
    fn wait(&mut self, ready: Option<u64>) {
        self.status = Pending;
        self.ready = ready;
        (self.token, self.expired, self.cancel, self.worker, self.progress) = (None, None, None, None, None);
    }

    fn end(&mut self, to: Status, result: Option<String>, error: Option<String>) {
        self.status = to;
        (self.result, self.error) = (result, error);
        (self.ready, self.expired, self.cancel, self.progress) = (None, None, None, None);
    }

    /// Ends as cancelled, as was requested; `said` is the worker's error.
    fn end_as_requested(&mut self, said: Option<String>) {
        let reason = self.cancel.flatten().map(str::to_owned);
        self.end(Cancelled, None, reason.or(said).or(Some(REQUESTED.to_owned())));
    }

    fn run(&mut self, token: Option<TokenId>, worker: Option<String>) {
        self.status = Running;
        self.attempt += 1;
        (self.token, self.worker, self.ready) = (token, worker, None);
        self.has_no_length = false;
    }
}

/// What a verdict leads to.
enum Settled {
    Ended(Status),
    Back,
    Unchanged(Status),
    LeaseLost,
    NotFound,
}

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

    /// The live job that has this key in force.
    fn holder(&self, queue: usize, key: Option<u8>) -> Option<Name> {
        let is_live = |job: &Job| matches!(job.status, Pending | Running);
        let mut holders = self.jobs.iter().filter(|(_, job)| is_live(job) && job.queue == queue && job.key == key);
        key.and_then(|_| holders.next()).map(|(name, _)| *name)
    }

    /// Creates a job, or says what became of its key: the job that is there now, and `created`, `replaced`, `duplicate`;
    /// the holder where that is an error.
    fn create(&mut self, new: &NewJob) -> Result<(Name, &'static str), Name> {
        self.names = self.names.max(new.name + 1);
        let now = self.tick();
        let ready = (!new.tomorrow).then_some(now);
        let priority = new.priority.unwrap_or(DEFAULT_PRIORITY);
        let Some(holder) = self.holder(new.queue, new.key) else {
            let job = Job {
                queue: new.queue,
                key: new.key,
                status: Pending,
                priority,
                attempt: 0,
                max_attempts: new.max_attempts.unwrap_or(MAX_ATTEMPTS),
                payload: new.payload,
                tomorrow: new.tomorrow,
                ready,
                token: None,
                expired: None,
                has_no_length: false,
                cancel: None,
                worker: None,
                progress: None,
                result: None,
                error: None,
                issued: Vec::new(),
            };
            self.jobs.insert(new.name, job);
            return Ok((new.name, "created"));
        };
        let job = self.jobs.get_mut(&holder).expect("it holds the key");
        match new.on_duplicate {
            "skip" => Ok((holder, "duplicate")),
            "replace" if job.status == Pending => {
                (job.payload, job.priority, job.tomorrow, job.ready) = (new.payload, priority, new.tomorrow, ready);
                Ok((holder, "replaced"))
            }
            _ => Err(holder),
        }
    }

    fn create_one(&mut self, new: &NewJob) -> Value {
        match self.create(new) {
            Ok((name, "created")) => json!({"status": "success", "job_id": id(name), "created": true}),
            Ok((name, "replaced")) => {
                json!({"status": "success", "job_id": id(name), "created": false, "replaced": true})
            }
            Ok((name, reason)) => json!({"status": "skipped", "job_id": id(name), "reason": reason}),
            Err(holder) => self.duplicate(holder),
        }
    }

    /// All or none; those with a key come first, in the order of the keys, and so do their ids. The names have to be in
    /// the order of the ids, so the jobs take them in that order.
    fn create_many(&mut self, list: &[NewJob]) -> Value {
        let before = self.clone();
        let mut keyed: Vec<usize> = (0..list.len()).filter(|place| list[*place].key.is_some()).collect();
        keyed.sort_by_key(|place| (list[*place].queue, list[*place].key, *place));
        let plain = (0..list.len()).filter(|place| list[*place].key.is_none());
        let order: Vec<usize> = keyed.into_iter().chain(plain).collect();
        let (mut ids, mut skipped) = (vec![Value::Null; list.len()], Vec::new());
        let (mut created, mut replaced) = (0, 0);
        for (nth, place) in order.into_iter().enumerate() {
            let new = NewJob { name: list[nth].name, ..list[place].clone() };
            match self.create(&new) {
                Ok((name, what)) => {
                    ids[place] = id(name).into();
                    match what {
                        "created" => created += 1,
                        "replaced" => replaced += 1,
                        reason => skipped.push((place, json!({"index": place, "job_id": id(name), "reason": reason}))),
                    }
                }
                Err(holder) => {
                    let mut reply = self.duplicate(holder);
                    if !before.jobs.contains_key(&holder) {
                        reply["job_id"] = "unknown".into();
                    }
                    let names = list.iter().map(|new| new.name + 1).max().unwrap_or(self.names);
                    *self = before;
                    self.names = names;
                    return reply;
                }
            }
        }
        skipped.sort_by_key(|(place, _)| *place);
        let skipped: Vec<Value> = skipped.into_iter().map(|(_, skipped)| skipped).collect();
        json!({"status": "success", "job_ids": ids, "created": created, "replaced": replaced, "skipped": skipped})
    }

    fn duplicate(&self, holder: Name) -> Value {
        let status = self.jobs[&holder].status.word();
        json!({"status": "error", "error_code": "DUPLICATE_ENTRY", "job_id": id(holder), "job_status": status})
    }

    /// The ready jobs of a queue, in the order of the claim.
    fn ready(&self, queue: usize) -> Vec<Name> {
        let is_ready = |job: &Job| job.queue == queue && job.status == Pending && job.ready.is_some();
        let mut ready: Vec<_> = self.jobs.iter().filter(|(_, job)| is_ready(job)).collect();
        ready.sort_by_key(|(name, job)| (job.priority, job.ready, **name));
        ready.into_iter().map(|(name, _)| *name).collect()
    }

    fn claim(&mut self, queues: &[usize], max_jobs: usize, worker: &str, rescues: usize) -> Vec<Value> {
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

    fn is_held(&self, lease: &Lease) -> bool {
        let (job, token) = (&self.jobs[&lease.job], self.token(lease.job, &lease.token));
        job.status == Running && token.is_some() && job.token == token
    }

    fn beat(&mut self, lease: &Lease, progress: Option<i32>) -> Value {
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

    fn settle_one(&mut self, lease: &Lease, verdict: &Verdict, worker: &str) -> Value {
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

    fn settle_many(&mut self, list: &[(Lease, Verdict)], worker: &str) -> Value {
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

    fn request_cancel(&mut self, name: Name, reason: Option<&'static str>) -> Value {
        let job = self.jobs.get_mut(&name).expect("it is named");
        match job.status {
            Deleted => not_found(),
            Pending => {
                job.end(Cancelled, None, reason.map(str::to_owned));
                told(name, Cancelled, Ok((Pending, true)))
            }
            Running => {
                job.cancel = Some(reason.or(job.cancel.flatten()));
                let mut reply = told(name, Running, Ok((Running, false)));
                reply["cancel_requested"] = true.into();
                reply
            }
            Cancelled => told(name, Cancelled, Ok((Cancelled, false))),
            from => refused(name, from, "cancelled"),
        }
    }

    /// A change of state from outside: the state that the job was in, and whether anything was changed. `token`: given
    /// at all, and which.
    fn change(
        &mut self,
        name: Name,
        to: Status,
        token: Option<Option<TokenId>>,
        forced: bool,
        (result, error): (Option<String>, Option<String>),
    ) -> Result<(Status, bool), Value> {
        let now = self.tick();
        let job = self.jobs.get_mut(&name).expect("it is named");
        let from = job.status;
        let is_live = matches!(from, Pending | Running);
        let same_lease = match token {
            None => job.token.is_none(),
            Some(token) => token.is_some() && job.token == token,
        };
        if from == Deleted {
            return Err(not_found());
        }
        if is_live && !same_lease && !forced {
            return Err(lease_lost(name));
        }
        if from == to {
            return Ok((from, false));
        }
        if !from.allows(to) {
            return Err(refused(name, from, to.word()));
        }
        let ready = (!job.tomorrow).then_some(now);
        match to {
            Running => job.run(None, None),
            Pending if from == Running => job.wait(ready),
            Pending => {
                let (queue, key) = (job.queue, job.key);
                if let Some(holder) = self.holder(queue, key) {
                    return Err(self.duplicate(holder));
                }
                let job = self.jobs.get_mut(&name).expect("it is named");
                job.max_attempts = job.max_attempts.max(job.attempt + 1);
                job.result = None;
                job.wait(ready);
            }
            _ => {
                job.end(to, result, error);
                job.token = job.token.filter(|_| !forced);
            }
        }
        Ok((from, true))
    }

    fn set_many(&mut self, jobs: &[Name], to: Status) -> Value {
        if !all_different(jobs.iter().copied()) {
            return invalid();
        }
        let mut jobs = jobs.to_vec();
        jobs.sort_unstable();
        let mut counts = BTreeMap::from([("updated", 0), ("unchanged", 0), ("not_found", 0), ("refused", 0)]);
        let outcomes: Vec<Value> = jobs
            .into_iter()
            .map(|name| {
                let mut outcome = json!({"job_id": id(name)});
                let word = match self.change(name, to, None, false, by_hand(to)) {
                    Ok((_, true)) => "updated",
                    Ok((_, false)) => "unchanged",
                    Err(error) if error["error_code"] == "NOT_FOUND" => "not_found",
                    Err(error) => {
                        outcome["error_code"] = error["error_code"].clone();
                        "refused"
                    }
                };
                outcome["outcome"] = word.into();
                *counts.entry(word).or_default() += 1;
                outcome
            })
            .collect();
        let mut reply = json!(counts);
        reply["status"] = "success".into();
        reply["outcomes"] = outcomes.into();
        reply
    }

    /// How many are pending again, failed, cancelled.
    fn rescue(&mut self, max_jobs: usize) -> [i64; 3] {
        let now = self.tick();
        let mut over: Vec<_> = self.jobs.iter_mut().map(|(_, job)| job).filter(|job| job.expired.is_some()).collect();
        over.sort_by_key(|job| job.expired);
        let mut counts = [0; 3];
        for job in over.into_iter().take(max_jobs) {
            if job.cancel.is_some() {
                job.end_as_requested(None);
                counts[2] += 1;
            } else if job.attempt >= job.max_attempts {
                job.end(Failed, None, Some(USED_UP.to_owned()));
                counts[1] += 1;
            } else {
                job.error = Some(EXPIRED.to_owned());
                job.wait(Some(now));
                counts[0] += 1;
            }
            // Its holder did not end it.
            job.token = None;
        }
        counts
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
