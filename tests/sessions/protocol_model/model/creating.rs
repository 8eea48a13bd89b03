//! How jobs are created, one or many, and what a key that is taken leads to.

use foreman_tests::{Value, json};

use super::Status::{Pending, Running};
use super::{Job, MAX_ATTEMPTS, Model, id};
use crate::protocol_model::action::{Name, NewJob};

const DEFAULT_PRIORITY: i64 = 5;

impl Model {
    /// The live job that has this key in force.
    pub(super) fn holder(&self, queue: usize, key: Option<u8>) -> Option<Name> {
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

    pub(super) fn create_one(&mut self, new: &NewJob) -> Value {
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
    pub(super) fn create_many(&mut self, list: &[NewJob]) -> Value {
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

    pub(super) fn duplicate(&self, holder: Name) -> Value {
        let status = self.jobs[&holder].status.word();
        json!({"status": "error", "error_code": "DUPLICATE_ENTRY", "job_id": id(holder), "job_status": status})
    }
}
