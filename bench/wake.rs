//! How long a job takes from its creation to its claim by the one worker that waits for it: ours beside a queue on SKIP
//! LOCKED with LISTEN and NOTIFY (`by_hand.sql`), alone and beside sessions that wait for something else. And what those
//! cost while nothing happens.
//!
//! Started by `wake.sh` with the number of jobs and `synchronous_commit`, and by `long/wake.sh` with a number of such sessions
//! and the name of the one way to try as well; PGHOST says where the server is.

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Sessions that wait for something else: the target is set for so many.
const OTHERS: usize = 200;
/// Between two jobs: the worker has long been waiting again.
const PAUSE: Duration = Duration::from_millis(15);
/// What `wait_for_jobs` sleeps at the longest: each session looks once in it.
const IDLE: Duration = Duration::from_secs(10);

/// A way to make, to claim and to wait for jobs.
struct Way {
    name: &'static str,
    create: &'static str,
    /// Gives a row for the job.
    claim: &'static str,
    /// Comes before the first wait.
    prepare: fn(queue: &str) -> String,
    wait: fn(&mut Client, queue: &str) -> Result<(), postgres::Error>,
}

const FOREMAN: Way = Way {
    name: "wait_for_jobs",
    create: "SELECT foreman.create_job('wake')",
    claim: "SELECT FROM jsonb_array_elements(foreman.claim_jobs('wake') -> 'jobs')",
    // A queue that is there is watched by those alone who wait for it.
    prepare: |queue| format!("SELECT foreman.configure_queue('{queue}')"),
    wait: |client, queue| client.batch_execute(&format!("CALL foreman.wait_for_jobs('{{{queue}}}', 3600)")),
};

const BY_HAND: Way = Way {
    name: "listen/notify",
    create: "WITH job AS (
                 INSERT INTO hand.job_in_place (run_at, created_at, queue_id, priority, payload)
                 VALUES (now(), now(), 0, 5, '{}') RETURNING id)
             SELECT pg_notify('wake', '') FROM job",
    claim: "UPDATE hand.job_in_place
            SET lease_until = now() + interval '5 min', started_at = now(), attempt = attempt + 1
            WHERE id = (
                SELECT id FROM hand.job_in_place
                WHERE queue_id = 0 AND lease_until IS NULL AND run_at <= now()
                ORDER BY queue_id, priority, run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id",
    prepare: |queue| format!("LISTEN {queue}"),
    wait: |client, _| client.notifications().blocking_iter().next().map(drop),
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, jobs, sync, rest @ ..] = arguments.as_slice() else { panic!("the number of jobs and synchronous_commit") };
    let jobs = jobs.parse().expect("a number of jobs");
    let others = rest.first().map(|others| vec![others.parse().expect("a number of sessions")]);
    for others in others.unwrap_or(vec![0, OTHERS]) {
        for way in [&FOREMAN, &BY_HAND].into_iter().filter(|way| rest.get(1).is_none_or(|name| name == way.name)) {
            compare(way, others, jobs, sync);
        }
    }
}

/// Prints a row.
fn compare(way: &'static Way, others: usize, jobs: usize, sync: &str) {
    let mut sessions: Vec<i32> = (0..others).map(|other| start_other(way, format!("other_{other}"), sync)).collect();
    let (worker, claims) = start_worker(way, sync);
    let mut late = latencies(way, &claims, jobs, sync);
    late.sort();
    // By now all others sleep.
    let idle = if others > 0 { format!("{:.2}%", percent_of_a_core(&sessions)) } else { String::new() };
    sessions.push(worker);
    let end = "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid";
    connect(sync).execute(end, &[&sessions]).expect("the sessions are ended");
    let [p50, p99, worst] = [jobs / 2, jobs * 99 / 100, jobs - 1].map(|n| late[n].as_secs_f64() * 1e3);
    println!("{:<18} {others:>7} {sync:>5} {p50:>10.2} {p99:>10.2} {worst:>10.2} {idle:>10}", way.name);
}

/// A session that waits for something else; gives its process.
fn start_other(way: &'static Way, queue: String, sync: &str) -> i32 {
    let (mut client, process) = waiter(way, &queue, sync);
    // It is over when the session is ended.
    thread::spawn(move || while (way.wait)(&mut client, &queue).is_ok() {});
    process
}

/// The worker; gives its process, and the moment of each claim.
fn start_worker(way: &'static Way, sync: &str) -> (i32, Receiver<Instant>) {
    let (mut client, process) = waiter(way, "wake", sync);
    let (claimed, claims) = mpsc::channel();
    thread::spawn(move || -> Result<(), postgres::Error> {
        let claim = client.prepare(way.claim)?;
        loop {
            match client.execute(&claim, &[])? {
                0 => (way.wait)(&mut client, "wake")?,
                _ => claimed.send(Instant::now()).expect("the other end outlives the session"),
            }
        }
    });
    (process, claims)
}

fn waiter(way: &Way, queue: &str, sync: &str) -> (Client, i32) {
    let mut client = connect(sync);
    client.batch_execute(&(way.prepare)(queue)).expect("the queue is made");
    let process = client.query_one("SELECT pg_backend_pid()", &[]).expect("it has a process").get(0);
    (client, process)
}

/// The time from before each job's creation to its claim, as the two clients see it.
fn latencies(way: &Way, claims: &Receiver<Instant>, jobs: usize, sync: &str) -> Vec<Duration> {
    let mut client = connect(sync);
    let create = client.prepare(way.create).expect("the statement is right");
    let next = || {
        sleep(PAUSE);
        let created = Instant::now();
        client.execute(&create, &[]).expect("a job is made");
        claims.recv_timeout(IDLE + IDLE).expect("the job is claimed") - created
    };
    // The first ones fill the caches of both sessions.
    std::iter::repeat_with(next).skip(10).take(jobs).collect()
}

/// What the processes compute while nothing happens.
fn percent_of_a_core(processes: &[i32]) -> f64 {
    let before = computed(processes);
    sleep(IDLE);
    (computed(processes) - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0
}

/// What the processes have computed so far.
fn computed(processes: &[i32]) -> Duration {
    let nanoseconds = |process| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/schedstat")).expect("the backend is there");
        stat.split(' ').next().and_then(|time| time.parse().ok()).expect("a number comes first")
    };
    processes.iter().map(nanoseconds).map(Duration::from_nanos).sum()
}

fn connect(sync: &str) -> Client {
    let host = std::env::var("PGHOST").expect("PGHOST is set");
    let options = format!("host={host} user=postgres dbname=postgres options='-c synchronous_commit={sync}'");
    Client::connect(&options, NoTls).expect("the server lets us in")
}
