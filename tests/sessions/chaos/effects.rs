//! Effects under a lost lease never commit. A worker that holds its lease, has its effect and completes the job in one
//! transaction is stopped past its lease at each step, and goes on or is killed: the effect is there exactly once.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout};

use foreman_tests::process::{signal, state};
use foreman_tests::{Cluster, Database, Reply, Session, wait_until};

use super::fleet::Worker;

/// The steps after which a worker stands still, in their order; up to `begun` it does not hold its lease yet.
const STEPS: [&str; 5] = ["claimed", "begun", "held", "inserted", "completed with success"];
const HELD: usize = 2;

/// A worker process that does a job step by step.
struct Stepper {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Stepper {
    fn start(db: &Database, queue: &str) -> Self {
        let worker = Worker { mode: "steps", queue, name: "first", ledger: "".into(), seed: 0, work: 0 };
        let mut process = worker.start(db.cluster(), db.name());
        let says = BufReader::new(process.stdout.take().expect("its output is a pipe")).lines();
        Self { process, says }
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        let said = self.says.next().expect("it says more").expect("what it says can be read");
        assert_eq!(said, line);
    }

    fn tell_to_go_on(&mut self) {
        self.process.stdin.as_mut().expect("its input is a pipe").write_all(b"go on\n").expect("it listens");
    }
}

impl Drop for Stepper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Another worker does what there is to do, in one transaction as well; gives how many jobs that were.
fn take_over(session: &mut Session, queue: &str) -> usize {
    let jobs = session.call(&format!("claim_jobs('{queue}', 10)")).succeeded()["jobs"].clone();
    let jobs = jobs.as_array().expect("a list of jobs");
    for job in jobs {
        let (id, token) = (job.job_id(), job["lease_token"].as_str().expect("a token"));
        session.run("BEGIN");
        session.call(&format!("hold_lease({id}, '{token}')")).succeeded();
        session.run(&format!("INSERT INTO effect VALUES ({id}, 'second')"));
        session.call(&format!("complete_job({id}, '{token}')")).succeeded();
        session.run("COMMIT");
    }
    jobs.len()
}

fn stopped_past_its_lease(db: &Database, step: usize, is_killed: bool) {
    let queue = format!("effects {step} {is_killed}");
    let mut session = db.session();
    let job = session.call(&format!("create_job('{queue}')")).succeeded().job_id();
    let mut worker = Stepper::start(db, &queue);
    for line in &STEPS[..step] {
        worker.hears(line);
        worker.tell_to_go_on();
    }
    worker.hears(STEPS[step]);
    let pid = worker.process.id();
    signal("STOP", &[pid]);
    wait_until("the worker to be stopped", || state(pid) == Some('T'));
    let over = format!("SELECT lease_expires_at < clock_timestamp() FROM foreman.live_job WHERE id = {job}");
    wait_until("the lease to be over", || db.see(&over));

    // Whoever holds the lease keeps the job, though the lease is over.
    let free = usize::from(step < HELD);
    assert_eq!(session.call("rescue_expired()").succeeded()["rescued"], free, "stopped when {}", STEPS[step]);
    assert_eq!(take_over(&mut session, &queue), free);
    if is_killed {
        let backend: i32 = db.see("SELECT pid FROM pg_stat_activity WHERE application_name = 'first'");
        drop(worker);
        db.await_gone(backend);
        let free = usize::from(step >= HELD);
        assert_eq!(session.call("rescue_expired()").succeeded()["rescued"], free, "killed when {}", STEPS[step]);
        assert_eq!(take_over(&mut session, &queue), free);
    } else {
        signal("CONT", &[pid]);
        worker.tell_to_go_on();
        for line in STEPS.iter().take(if step < HELD { HELD } else { STEPS.len() }).skip(step + 1) {
            worker.hears(line);
            worker.tell_to_go_on();
        }
        worker.hears(if step < HELD { "refused JF011" } else { "committed" });
        drop(worker);
    }
    let who = if step < HELD || is_killed { "second" } else { "first" };
    let effects = format!("SELECT string_agg(worker, ', ') FROM effect WHERE job = {job}");
    assert_eq!(db.see::<Option<String>>(&effects).as_deref(), Some(who), "stopped when {}", STEPS[step]);
    let status = format!("SELECT status::text FROM foreman.jobs WHERE job_id = {job}");
    assert_eq!(db.see::<String>(&status), "completed");
}

#[test]
fn an_effect_under_a_lost_lease_never_commits() {
    let db = Cluster::shared().database();
    db.session().run("CREATE TABLE effect (job bigint NOT NULL, worker text NOT NULL)");
    for step in 0..STEPS.len() {
        for is_killed in [false, true] {
            stopped_past_its_lease(&db, step, is_killed);
        }
    }
}
