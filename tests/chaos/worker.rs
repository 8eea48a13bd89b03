//! A worker as others write them, in a process of its own so that it can be killed, with a ledger of what it asked and
//! what it was told. Started by the tests with one argument, a JSON object (`Orders`); it ends with its standard input.
//!
//! - `loop`: claims, works, sends heartbeats, finishes, until it is killed. After a lost connection it connects anew and
//!   asks again what had no answer. Jobs whose payload says `{"do": "die"}` kill it, those with `"crash"` its backend.
//! - `steps`: does one job with its effect in one transaction, and stops at each step until it is told to go on.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use foreman_tests::ledger::{self, Entry, How, Ledger};
use foreman_tests::postgres::types::ToSql;
use foreman_tests::postgres::{self, Client, NoTls, Row};
use foreman_tests::{Random, Value, json, sqlstate};
use serde::Deserialize;

#[derive(Deserialize)]
struct Orders {
    mode: String,
    host: String,
    database: String,
    queue: String,
    name: String,
    ledger: PathBuf,
    seed: u64,
    /// Most milliseconds that a job takes.
    work: u64,
}

/// The lengths of the leases, in milliseconds.
const LEASES: [i64; 4] = [1000, 1250, 1500, 2000];

// Each expiry comes with the lease as a number, so that nobody has to read dates; and a finish tells the server's clock
// as it was just before, since the columns of a row are computed from left to right.
const CLAIM: &str = "
WITH called AS MATERIALIZED (SELECT foreman.claim_jobs($1, $2, $3, $4) AS reply)
SELECT reply, ARRAY(
    SELECT (extract(epoch FROM (j ->> 'lease_expires_at')::timestamptz) * 1000000)::bigint
    FROM jsonb_array_elements(reply -> 'jobs') AS j)
FROM called";
const FINISH_AND_CLAIM: &str = "
WITH called AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at,
           foreman.finish_and_claim($5, $1, $2, $3, $4) AS reply)
SELECT reply, ARRAY(
    SELECT (extract(epoch FROM (j ->> 'lease_expires_at')::timestamptz) * 1000000)::bigint
    FROM jsonb_array_elements(reply -> 'jobs') AS j), at
FROM called";
const BEAT: &str = "
WITH called AS MATERIALIZED (SELECT foreman.heartbeat($1, $2, note => 'at work') AS reply)
SELECT reply, (extract(epoch FROM (reply ->> 'lease_expires_at')::timestamptz) * 1000000)::bigint FROM called";
const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// The connection is gone, and with it the reply.
struct Lost;

type Answer<T> = Result<T, Lost>;

/// A job that the worker holds.
struct Job {
    id: i64,
    token: String,
    payload: Value,
}

/// What to say of a job.
struct Verdict {
    job: i64,
    token: String,
    how: How,
}

impl Verdict {
    fn asked(&self) -> Entry {
        Entry::FinishAsked { at: ledger::now(), job: self.job, token: self.token.clone(), how: self.how }
    }

    fn told(&self, at: i64, outcome: &str) -> Entry {
        Entry::FinishTold { at, job: self.job, token: self.token.clone(), how: self.how, outcome: outcome.to_owned() }
    }
}

struct Worker {
    orders: Orders,
    ledger: Ledger,
    random: Random,
    client: Client,
}

fn main() {
    let orders = std::env::args().nth(1).expect("one argument: the orders");
    let orders: Orders = serde_json::from_str(&orders).expect("the orders are in JSON");
    let client = connect(&orders);
    if orders.mode == "steps" {
        return step_by_step(&orders, client);
    }
    // Whoever started this worker may be killed himself: then nobody is left to end it.
    thread::spawn(|| {
        for line in io::stdin().lines() {
            drop(line);
        }
        process::exit(0);
    });
    let ledger = Ledger::open(&orders.ledger).expect("the ledger can be written");
    let random = Random::new(orders.seed);
    let mut worker = Worker { orders, ledger, random, client };
    let mut held = Vec::new();
    loop {
        held = match worker.work_on(held) {
            Ok(next) => next,
            Err(Lost) => {
                worker.client = connect(&worker.orders);
                Vec::new()
            }
        };
    }
}

/// Connects, however long the server is away.
fn connect(orders: &Orders) -> Client {
    let mut config = postgres::Config::new();
    config.host_path(&orders.host).user("postgres").dbname(&orders.database).application_name(&orders.name);
    loop {
        match config.connect(NoTls) {
            Ok(client) => return client,
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

impl Worker {
    fn note(&mut self, entries: &[Entry]) {
        self.ledger.note(entries).expect("the ledger can be written");
    }

    /// Makes a call, of which the reply is to say `success` or one of these codes.
    fn call(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)], reply: usize, codes: &[&str]) -> Answer<Row> {
        match self.client.query_one(sql, params) {
            Ok(row) => {
                let said: Value = row.get(reply);
                let code = said["error_code"].as_str().unwrap_or_default();
                if said["status"] != "success" && !codes.contains(&code) {
                    self.note(&[Entry::Trouble { at: ledger::now(), what: said.to_string() }]);
                }
                Ok(row)
            }
            Err(error) => {
                // Class 57P: the server goes down.
                if error.as_db_error().is_some() && !sqlstate(&error).starts_with("57P") {
                    self.note(&[Entry::Trouble { at: ledger::now(), what: format!("{error:?}") }]);
                }
                Err(Lost)
            }
        }
    }

    /// Claims if nothing is held, and does what is; gives what it holds then.
    fn work_on(&mut self, held: Vec<Job>) -> Answer<Vec<Job>> {
        let held = if held.is_empty() { self.claim()? } else { held };
        if held.is_empty() {
            thread::sleep(Duration::from_millis(15));
            return Ok(held);
        }
        let in_one_call = self.random.percent(25);
        let mut verdicts = Vec::new();
        for job in held {
            let verdict = self.work(&job)?;
            if in_one_call {
                verdicts.push(verdict);
            } else {
                self.finish(&verdict);
            }
        }
        if in_one_call { self.finish_and_claim(&verdicts) } else { Ok(Vec::new()) }
    }

    fn claim(&mut self) -> Answer<Vec<Job>> {
        let (max_jobs, lease) = self.wish();
        self.note(&[Entry::ClaimAsked { at: ledger::now(), max_jobs }]);
        let (queue, name) = (self.orders.queue.clone(), self.orders.name.clone());
        let row = self.call(CLAIM, &[&queue, &(max_jobs as i32), &seconds(lease), &name], 0, &[])?;
        Ok(self.leased(&row, lease))
    }

    /// Finishes all in one call, and takes the next in the same. It is not asked again: then its claim would be lost.
    fn finish_and_claim(&mut self, verdicts: &[Verdict]) -> Answer<Vec<Job>> {
        let (max_jobs, lease) = self.wish();
        let mut asked: Vec<Entry> = verdicts.iter().map(Verdict::asked).collect();
        asked.push(Entry::ClaimAsked { at: ledger::now(), max_jobs });
        self.note(&asked);
        let (queue, name) = (self.orders.queue.clone(), self.orders.name.clone());
        let outcomes: Value = verdicts.iter().map(as_outcome).collect();
        let params: [&(dyn ToSql + Sync); 5] = [&queue, &(max_jobs as i32), &seconds(lease), &name, &outcomes];
        let row = self.call(FINISH_AND_CLAIM, &params, 0, &[])?;
        let (reply, at): (Value, i64) = (row.get(0), row.get(2));
        let told: Vec<Entry> = verdicts
            .iter()
            .map(|verdict| {
                let outcomes = reply["outcomes"].as_array();
                let of_job = outcomes.and_then(|all| all.iter().find(|outcome| outcome["job_id"] == verdict.job));
                verdict.told(at, of_job.and_then(|outcome| outcome["outcome"].as_str()).unwrap_or("left out"))
            })
            .collect();
        self.note(&told);
        Ok(self.leased(&row, lease))
    }

    /// How many jobs to ask for, and for how many milliseconds.
    fn wish(&mut self) -> (u64, i64) {
        (1 + self.random.below(10), *self.random.pick(&LEASES))
    }

    /// Notes the jobs of a claim's reply.
    fn leased(&mut self, row: &Row, lease: i64) -> Vec<Job> {
        let (reply, until): (Value, Vec<i64>) = (row.get(0), row.get(1));
        let jobs: Vec<Job> = reply["jobs"].as_array().map_or(&[][..], Vec::as_slice).iter().map(job_of).collect();
        let entries: Vec<Entry> = jobs
            .iter()
            .zip(until)
            .map(|(job, until)| Entry::Leased {
                job: job.id,
                token: job.token.clone(),
                from: until - lease * 1000,
                until,
            })
            .collect();
        self.note(&entries);
        jobs
    }

    /// Works on a job, and says what to say of it.
    fn work(&mut self, job: &Job) -> Answer<Verdict> {
        match job.payload["do"].as_str() {
            Some("die") => kill(process::id()),
            Some("crash") => {
                let backend: i32 = self.client.query_one("SELECT pg_backend_pid()", &[]).map_err(|_| Lost)?.get(0);
                kill(backend as u32);
                return Err(Lost);
            }
            _ => {}
        }
        thread::sleep(self.random.milliseconds(self.orders.work));
        if self.random.percent(20) {
            self.beat(job)?;
        }
        let how = match self.random.below(100) {
            0..80 => How::Complete,
            80..90 => How::Fail,
            90..93 => How::FailForGood,
            _ => How::Release,
        };
        Ok(Verdict { job: job.id, token: job.token.clone(), how })
    }

    fn beat(&mut self, job: &Job) -> Answer<()> {
        self.note(&[Entry::BeatAsked { at: ledger::now(), job: job.id, token: job.token.clone() }]);
        let row = self.call(BEAT, &[&job.id, &job.token], 0, &["LEASE_LOST"])?;
        self.note(&[Entry::BeatTold { job: job.id, token: job.token.clone(), until: row.get(1) }]);
        Ok(())
    }

    /// Says it until there is an answer.
    fn finish(&mut self, verdict: &Verdict) {
        loop {
            self.note(&[verdict.asked()]);
            match self.say(verdict) {
                Ok((at, outcome)) => return self.note(&[verdict.told(at, &outcome)]),
                Err(Lost) => self.client = connect(&self.orders),
            }
        }
    }

    /// Says it once; gives the time and the outcome.
    fn say(&mut self, Verdict { job, token, how }: &Verdict) -> Answer<(i64, String)> {
        let codes = &["LEASE_LOST"];
        let row = match how {
            How::Complete => {
                let result = json!(token);
                let sql = format!("{CLOCK}, foreman.complete_job($1, $2, $3)");
                self.call(&sql, &[job, token, &result], 1, codes)?
            }
            How::Fail => {
                let sql = format!("{CLOCK}, foreman.fail_job($1, $2, $3, $4)");
                let pause = seconds(self.random.below(300) as i64);
                self.call(&sql, &[job, token, &"not now", &pause], 1, codes)?
            }
            How::FailForGood => {
                let sql = format!("{CLOCK}, foreman.fail_job($1, $2, $3, final => true)");
                self.call(&sql, &[job, token, &"never"], 1, codes)?
            }
            How::Release => {
                let sql = format!("{CLOCK}, foreman.release_job($1, $2)");
                self.call(&sql, &[job, token], 1, codes)?
            }
        };
        let reply: Value = row.get(1);
        let outcome = match (reply["error_code"].as_str(), reply["changed"].as_bool()) {
            (Some("LEASE_LOST"), _) => "lease_lost".to_owned(),
            (Some(code), _) => code.to_owned(),
            (None, Some(false)) => "unchanged".to_owned(),
            (None, _) => reply["to"].as_str().unwrap_or_default().to_owned(),
        };
        Ok((row.get(0), outcome))
    }
}

/// What finish_and_claim takes.
fn as_outcome(verdict: &Verdict) -> Value {
    let mut outcome = json!({"job_id": verdict.job, "lease_token": verdict.token});
    match verdict.how {
        How::Complete => {
            outcome["outcome"] = "completed".into();
            outcome["result"] = verdict.token.as_str().into();
        }
        How::Fail => {
            outcome["outcome"] = "failed".into();
            outcome["retry_in_seconds"] = 0.into();
        }
        How::FailForGood => {
            outcome["outcome"] = "failed".into();
            outcome["final"] = true.into();
        }
        How::Release => outcome["outcome"] = "released".into(),
    }
    outcome
}

fn job_of(job: &Value) -> Job {
    Job {
        id: job["job_id"].as_i64().expect("a job has an id"),
        token: job["lease_token"].as_str().expect("a job that is claimed has a token").to_owned(),
        payload: job["payload"].clone(),
    }
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn kill(pid: u32) {
    foreman_tests::process::signal("KILL", &[pid]);
}

/// One job with its effect, in one transaction; says on standard output where it stands, and waits there for a line.
fn step_by_step(orders: &Orders, mut client: Client) {
    let stand = |step: &str| {
        println!("{step}");
        io::stdout().flush().expect("somebody listens");
        let told = io::stdin().lock().lines().next();
        if told.is_none() {
            process::exit(0);
        }
    };
    let claim = "SELECT foreman.claim_jobs($1, lease_seconds => 0.2) -> 'jobs' -> 0";
    let job: Value = client.query_one(claim, &[&orders.queue]).expect("a claim is answered").get(0);
    let job = job_of(&job);
    stand("claimed");
    client.batch_execute("BEGIN").expect("a transaction begins");
    stand("begun");
    if let Err(error) = client.query_one("SELECT foreman.hold_lease($1, $2)", &[&job.id, &job.token]) {
        println!("refused {}", sqlstate(&error));
        return;
    }
    stand("held");
    let insert = "INSERT INTO effect (job, worker) VALUES ($1, $2)";
    client.execute(insert, &[&job.id, &orders.name]).expect("the effect can be had");
    stand("inserted");
    let complete = "SELECT foreman.complete_job($1, $2) ->> 'status'";
    let status: String = client.query_one(complete, &[&job.id, &job.token]).expect("the call is answered").get(0);
    stand(&format!("completed with {status}"));
    client.batch_execute("COMMIT").expect("the transaction commits");
    println!("committed");
}
