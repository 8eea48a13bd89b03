//! The same calls at a server, and their replies in the model's words: names instead of ids and tokens, and nothing that
//! differs from run to run.

use std::collections::BTreeMap;

use foreman_tests::{Database, Session, Value, json, sqlstate};

use super::action::{Action, Lease, Name, NewJob, Pause, SESSIONS, Step, Token, Verdict};
use super::model::{Model, QUEUES, Status, TokenId, by_hand, id};

/// What a reply says besides what is compared: words, times, what follows from other members.
const LEFT_OUT: [&str; 11] = [
    "message",
    "http_status",
    "sqlstate",
    "retryable",
    "retry_scope",
    "attempts",
    "in_transaction",
    "allowed",
    "argument",
    "got",
    "run_at",
];
/// Compared by whether they are there.
const TIMES: [&str; 2] = ["ready_at", "lease_expires_at"];
const STRANGER: &str = "00000000-0000-4000-8000-00000000dead";
/// Seconds that a heartbeat asks for: as many as the leases have.
const EXTENDED: f64 = 300.0;

/// What time would do: the job is due, and claims know. Nobody tells of what is written by hand, but of what a call makes
/// ready, be it undone, at the end of the transaction.
const BECOME_DUE: &str = "
CREATE FUNCTION become_due(job bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        PERFORM foreman.create_job(q.name, priority => j.priority)
        FROM foreman.live_job AS j JOIN foreman.queue AS q ON q.id = j.queue_id WHERE j.id = job;
        RAISE SQLSTATE 'UNDO1';
    EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
    END;
    UPDATE foreman.live_job SET ready_at = clock_timestamp(), run_at = LEAST(run_at, clock_timestamp()) WHERE id = job;
    RETURN NULL;
END
$$";

pub struct Server<'d> {
    db: &'d Database<'d>,
    sessions: Vec<Session>,
    pub is_preloaded: bool,
    ids: BTreeMap<Name, i64>,
    tokens: BTreeMap<TokenId, String>,
}

impl<'d> Server<'d> {
    pub fn new(db: &'d Database<'d>) -> Self {
        let sessions = (0..SESSIONS).map(|_| db.session()).collect();
        db.session().run(BECOME_DUE);
        let is_preloaded = db.see("SELECT current_setting('shared_preload_libraries') <> ''");
        let mut server = Self { db, sessions, is_preloaded, ids: BTreeMap::new(), tokens: BTreeMap::new() };
        server.begin_anew();
        server
    }

    /// Empties the tables for the next case; the sessions go on, with what they remember.
    pub fn begin_anew(&mut self) {
        self.ids.clear();
        self.tokens.clear();
        self.sessions[0].run(
            "DELETE FROM foreman.live_job; DELETE FROM foreman.job_key; DELETE FROM foreman.finished_job;
             DELETE FROM foreman.finished_rest; DELETE FROM foreman.queue;
             SELECT foreman.configure_queue('a', max_attempts => 3, backoff => 'fixed', backoff_base_seconds => 0);
             SELECT foreman.configure_queue('b', max_attempts => 3, backoff => 'fixed', backoff_base_seconds => 3600,
                                            backoff_jitter => 0)",
        );
    }

    /// Carries out a step, and compares the reply with what the model says; in words what differs.
    pub fn carry_out(&mut self, before: &Model, after: &Model, step: &Step) -> Result<(), String> {
        let sql = self.sql(before, step);
        // The first claim of a session rescues on the side, and later ones not within a second of that: so that the test
        // need not look at the clock, a claim that has something to rescue is made in a session of its own.
        let claims = matches!(step.action, Action::Claim { .. } | Action::FinishAndClaim { .. });
        let mut fresh = (claims && before.has_expired_leases()).then(|| self.db.session());
        // Preloaded, all sessions share one such look a second: it has to be over.
        if fresh.is_some() && !step.undone && self.is_preloaded {
            std::thread::sleep(std::time::Duration::from_millis(1_010));
        }
        let session = fresh.as_mut().unwrap_or(&mut self.sessions[step.session]);
        if step.undone {
            session.run("BEGIN");
        }
        let reply = match session.query_one(&sql, &[]) {
            Ok(row) => row.get::<_, Option<Value>>(0).unwrap_or_default(),
            Err(error) => json!({"raised": sqlstate(&error)}),
        };
        if step.undone {
            session.run("ROLLBACK");
        }
        let said = self.learn(&after.said, reply)?;
        if step.undone {
            let undone: Vec<Name> = self.ids.keys().filter(|name| !after.jobs.contains_key(name)).copied().collect();
            self.ids.retain(|name, _| !undone.contains(name));
        }
        if said == after.said {
            return Ok(());
        }
        Err(format!("{step:?}\n{sql}\nwas answered\n{said:#}\nand not\n{:#}", after.said))
    }

    /// The jobs, compared with the model's.
    pub fn compare_jobs(&mut self, model: &Model) -> Result<(), String> {
        let sql = "
SELECT jsonb_build_object(
    'job_id', j.job_id, 'queue', j.queue, 'status', j.status, 'priority', j.priority, 'attempt', j.attempt,
    'max_attempts', j.max_attempts, 'key', j.unique_key, 'payload', j.payload, 'worker', j.worker,
    'progress', j.progress, 'cancel_requested', j.cancel_requested_at IS NOT NULL, 'result', j.result, 'error', j.error,
    'tomorrow', j.run_at > clock_timestamp(),
    'not_due', CASE WHEN j.status = 'pending' THEN j.ready_at > clock_timestamp() END,
    'has_key', EXISTS (SELECT FROM foreman.job_key AS k WHERE k.job_id = j.job_id))
FROM foreman.jobs AS j ORDER BY j.job_id";
        let rows = self.sessions[0].query(sql, &[]).expect("the jobs can be read");
        let jobs: Vec<Value> = rows.iter().map(|row| self.translated(row.get(0))).collect();
        let expected = model.jobs_at_the_end();
        for (job, expected) in jobs.iter().zip(&expected) {
            if job != expected {
                return Err(format!("in the end there is\n{job:#}\nand not\n{expected:#}"));
            }
        }
        let keys: i64 = self.sessions[0].one("SELECT count(*) FROM foreman.job_key", &[]);
        let held = expected.iter().filter(|job| job["has_key"] == true).count();
        if jobs.len() != expected.len() || keys != held as i64 {
            let (jobs, expected) = (jobs.len(), expected.len());
            return Err(format!("in the end there are {jobs} jobs and {keys} keys, and not {expected} and {held}"));
        }
        Ok(())
    }

    /// Learns from a reply how the server calls what the model has named, and translates it.
    fn learn(&mut self, expected: &Value, reply: Value) -> Result<Value, String> {
        let new = |ids: &BTreeMap<Name, i64>, name: &Value, id: &Value| {
            let name: Name = name.as_str()?.strip_prefix("job ")?.parse().ok()?;
            (!ids.contains_key(&name)).then_some((name, id.as_i64()?))
        };
        if expected["created"] == true {
            self.ids.extend(new(&self.ids, &expected["job_id"], &reply["job_id"]));
        }
        if let (Some(names), Some(ids)) = (expected["job_ids"].as_array(), reply["job_ids"].as_array()) {
            for (name, id) in names.iter().zip(ids) {
                self.ids.extend(new(&self.ids, name, id));
            }
        }
        if !self.ids.values().is_sorted() {
            return Err(format!("ids are not given out in order: {:?}", self.ids));
        }
        if let (Some(expected), Some(jobs)) = (expected["jobs"].as_array(), reply["jobs"].as_array()) {
            for (expected, job) in expected.iter().zip(jobs) {
                let (Some(name), Some(token)) = (expected["lease_token"].as_u64(), job["lease_token"].as_str()) else {
                    return Err(format!("a job without a token: {job}"));
                };
                if self.tokens.values().any(|other| other == token) {
                    return Err(format!("a token that was given out before: {job}"));
                }
                self.tokens.insert(name as TokenId, token.to_owned());
            }
        }
        Ok(self.translated(reply))
    }

    fn translated(&self, value: Value) -> Value {
        let name_of = |number: &Value| {
            let mut names = self.ids.iter().filter(|(_, known)| *number == **known);
            Value::from(names.next().map_or("unknown".to_owned(), |(name, _)| id(*name)))
        };
        let translate = |(key, value): (String, Value)| {
            let value = match key.as_str() {
                key if LEFT_OUT.contains(&key) => return None,
                key if TIMES.contains(&key) => value.is_string().into(),
                "job_id" => name_of(&value),
                "job_ids" => value.as_array().map_or(&[][..], Vec::as_slice).iter().map(name_of).collect(),
                "lease_token" => {
                    let token = self.tokens.iter().find(|(_, token)| value == token.as_str());
                    token.map_or(value, |(name, _)| (*name).into())
                }
                // When somebody last claimed is a matter of time.
                "reasons" => {
                    let reasons = value.as_array().map_or(&[][..], Vec::as_slice).iter().map(|r| r["reason"].clone());
                    reasons.filter(|reason| reason != "not_claimed_from").collect()
                }
                _ => self.translated(value),
            };
            Some((key, value))
        };
        match value {
            Value::Object(members) => Value::Object(members.into_iter().filter_map(translate).collect()),
            Value::Array(members) => members.into_iter().map(|member| self.translated(member)).collect(),
            other => other,
        }
    }

    fn sql(&self, model: &Model, Step { session, action, .. }: &Step) -> String {
        let worker = format!("w{session}");
        let text = |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let lease =
            |lease: &Lease| format!("{}, '{}'", self.ids[&lease.job], self.token(model, lease.job, &lease.token));
        let entry = |lease: &Lease| json!({"job_id": self.ids[&lease.job], "lease_token": self.token(model, lease.job, &lease.token)});
        let entries = |list: &[(Lease, Verdict)], word: bool| {
            let member = |(lease, verdict): &(Lease, Verdict)| with_verdict(entry(lease), verdict, word, &worker);
            Value::from(list.iter().map(member).collect::<Vec<_>>())
        };
        let call = match action {
            Action::Create(new) => create(new),
            Action::CreateMany(list) => {
                format!("create_jobs('{}')", list.iter().map(as_member).collect::<Value>())
            }
            Action::Claim { queues, max_jobs } => match queues[..] {
                [queue] => format!("claim_jobs('{}', {max_jobs}, worker => '{worker}')", QUEUES[queue]),
                _ => {
                    let names: Vec<&str> = queues.iter().map(|queue| QUEUES[*queue]).collect();
                    format!("claim_jobs_from('{{{}}}', {max_jobs}, worker => '{worker}')", names.join(","))
                }
            },
            Action::Heartbeat { lease: held, progress } => {
                let progress = progress.map_or("NULL".to_owned(), |progress| progress.to_string());
                format!("heartbeat({}, {EXTENDED}, {progress})", lease(held))
            }
            Action::HeartbeatAll(list) => {
                let beat = |lease: &Lease| {
                    let mut beat = entry(lease);
                    beat["extend_seconds"] = json!(EXTENDED);
                    beat
                };
                format!("heartbeat_all('{}')", list.iter().map(beat).collect::<Value>())
            }
            Action::Settle(held, Verdict::Complete) => {
                format!("complete_job({}, '\"done by {worker}\"')", lease(held))
            }
            Action::Settle(held, Verdict::Fail { error, pause, is_final }) => {
                let pause = seconds(*pause).map_or("NULL".to_owned(), |seconds| seconds.to_string());
                format!("fail_job({}, {}, {pause}, {is_final})", lease(held), text(*error))
            }
            Action::Settle(held, Verdict::Release { later }) => {
                let run_at = if *later { "clock_timestamp() + interval '1 hour'" } else { "NULL" };
                format!("release_job({}, {run_at})", lease(held))
            }
            Action::CompleteMany(list) => {
                let list: Vec<_> = list.iter().map(|lease| (lease.clone(), Verdict::Complete)).collect();
                format!("complete_jobs('{}')", entries(&list, false))
            }
            Action::FailMany(list) => format!("fail_jobs('{}')", entries(list, false)),
            Action::FinishAndClaim { outcomes, queue, max_jobs } => {
                let (outcomes, queue) = (entries(outcomes, true), QUEUES[*queue]);
                format!("finish_and_claim('{outcomes}', '{queue}', {max_jobs}, worker => '{worker}')")
            }
            Action::Hold(held) => format!("hold_lease({})", lease(held)),
            Action::RequestCancel { job, reason } => format!("request_cancel({}, {})", self.ids[job], text(*reason)),
            Action::Cancel { job, reason } => format!("cancel_job({}, {})", self.ids[job], text(*reason)),
            Action::SetStatus { job, to, token } => {
                let token = token.as_ref().map(|token| self.token(model, *job, token));
                let (id, ends) = (self.ids[job], ends_by_hand(*to));
                format!("update_job_status({id}, '{}', {ends}, {})", to.word(), text(token))
            }
            Action::SetStatusMany { jobs, to } => {
                let ids: Vec<String> = jobs.iter().map(|job| self.ids[job].to_string()).collect();
                format!("bulk_update_job_status('{{{}}}', '{}', {})", ids.join(","), to.word(), ends_by_hand(*to))
            }
            Action::Retry(job) => format!("retry_job({})", self.ids[job]),
            Action::Delete(job) => format!("delete_job({})", self.ids[job]),
            Action::Explain(job) => format!("explain_job({})", self.ids[job]),
            Action::Rescue { max_jobs } => format!("rescue_expired({max_jobs})"),
            Action::Pause(queue) => format!("pause_queue('{}')", QUEUES[*queue]),
            Action::Resume(queue) => format!("resume_queue('{}')", QUEUES[*queue]),
            // What time would do, done by the table's owner.
            Action::Expire(job) => {
                // Of no length, so that no grace is left of it after the server's start either; what heartbeats have told is
                // the old row's, and so it is written down.
                let over = "lease_expires_at = clock_timestamp() - interval '1 s', lease_seconds = 0,
                            progress = foreman.lease_progress(lease_token, lease_expires_at, progress)";
                return format!(
                    "UPDATE foreman.live_job SET {over} WHERE id = {} RETURNING NULL::jsonb",
                    self.ids[job]
                );
            }
            Action::BecomeDue(job) => return format!("SELECT become_due({})", self.ids[job]),
        };
        format!("SELECT foreman.{call}")
    }

    fn token(&self, model: &Model, job: Name, token: &Token) -> &str {
        model.token(job, token).map_or(STRANGER, |name| &self.tokens[&name])
    }
}

fn create(new: &NewJob) -> String {
    let key = new.key.map_or("NULL".to_owned(), |key| format!("'k{key}'"));
    let number = |number: Option<i64>| number.map_or("NULL".to_owned(), |number| number.to_string());
    let run_at = if new.tomorrow { "clock_timestamp() + interval '1 day'" } else { "NULL" };
    format!(
        "create_job('{}', '{}', priority => {}, run_at => {run_at}, unique_key => {key}, on_duplicate => '{}', \
         max_attempts => {})",
        QUEUES[new.queue],
        new.payload,
        number(new.priority),
        new.on_duplicate,
        number(new.max_attempts)
    )
}

fn as_member(new: &NewJob) -> Value {
    json!({
        "queue": QUEUES[new.queue], "payload": new.payload, "priority": new.priority, "max_attempts": new.max_attempts,
        "run_at": new.tomorrow.then_some("2099-01-01T00:00:00Z"), "on_duplicate": new.on_duplicate,
        "unique_key": new.key.map(|key| format!("k{key}")),
    })
}

fn seconds(pause: Pause) -> Option<u32> {
    match pause {
        Pause::None => Some(0),
        Pause::Hour => Some(3600),
        Pause::Queues => None,
    }
}

/// A member of a list of verdicts; with the word for it where the list may have different ones.
fn with_verdict(mut entry: Value, verdict: &Verdict, word: bool, worker: &str) -> Value {
    let outcome = match verdict {
        Verdict::Complete => {
            entry["result"] = format!("done by {worker}").into();
            "completed"
        }
        Verdict::Fail { error, pause, is_final } => {
            entry["error"] = (*error).into();
            entry["retry_in_seconds"] = seconds(*pause).into();
            entry["final"] = (*is_final).into();
            "failed"
        }
        Verdict::Release { later } => {
            if *later {
                entry["run_at"] = "2099-01-01T00:00:00Z".into();
            }
            "released"
        }
    };
    if word {
        entry["outcome"] = outcome.into();
    }
    entry
}

/// The result and the error that go with a state set by hand.
fn ends_by_hand(to: Status) -> String {
    let (result, error) = by_hand(to);
    let result = result.map_or("NULL".to_owned(), |result| format!("'\"{result}\"'"));
    let error = error.map_or("NULL".to_owned(), |error| format!("'{error}'"));
    format!("{result}, {error}")
}
