//! What is done to jobs from outside: cancels, changes of state, rescues.

use std::collections::BTreeMap;

use foreman_tests::{Value, json};

use super::Status::{Cancelled, Deleted, Failed, Pending, Running};
use super::{Model, Status, TokenId, all_different, by_hand, id, invalid, lease_lost, not_found, refused, told};
use crate::protocol_model::action::Name;

/// The error of an attempt that nobody finished; a job that has it is handed out alone.
pub(super) const EXPIRED: &str = "The lease expired.";
const USED_UP: &str = "The lease expired; the attempts are used up.";

impl Model {
    pub(super) fn request_cancel(&mut self, name: Name, reason: Option<&'static str>) -> Value {
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
    pub(super) fn change(
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

    pub(super) fn set_many(&mut self, jobs: &[Name], to: Status) -> Value {
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
    pub(super) fn rescue(&mut self, max_jobs: usize) -> [i64; 3] {
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
}
