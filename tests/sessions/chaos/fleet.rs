//! Worker processes by the dozen: started, killed, replaced, and their ledgers read in the end.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::ledger::{self, End, Entry};
use foreman_tests::process::signal;
use foreman_tests::{Cluster, Random, Session, json};

/// The longest that a worker asks for, see tests/chaos/worker.rs.
const LONGEST_LEASE: Duration = Duration::from_secs(2);

/// Workers of one queue.
pub struct Fleet<'c> {
    cluster: &'c Cluster,
    database: String,
    queue: &'static str,
    /// Most milliseconds that a job takes.
    work: u64,
    /// Where the ledgers are, one a process.
    home: PathBuf,
    workers: Vec<Child>,
    /// Stopped since then.
    paused: Vec<(Instant, Child)>,
    started: usize,
    random: Random,
}

impl<'c> Fleet<'c> {
    pub fn new(cluster: &'c Cluster, database: &str, queue: &'static str, work: u64, random: Random) -> Self {
        static FLEETS: AtomicUsize = AtomicUsize::new(0);
        let number = FLEETS.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("foreman-ledgers-{}-{number}", std::process::id()));
        fs::create_dir(&home).expect("a directory can be made");
        Self {
            cluster,
            database: database.to_owned(),
            queue,
            work,
            home,
            workers: Vec::new(),
            paused: Vec::new(),
            started: 0,
            random,
        }
    }

    pub fn start(&mut self, workers: usize) {
        for _ in 0..workers {
            self.started += 1;
            let name = format!("worker {}", self.started);
            let ledger = self.home.join(&name);
            let seed = self.random.number();
            let worker = Worker { mode: "loop", queue: self.queue, name: &name, ledger, seed, work: self.work };
            self.workers.push(worker.start(self.cluster, &self.database));
        }
    }

    /// Kills one worker, whatever it is about, and starts another.
    pub fn kill_one(&mut self) {
        end(&mut self.any());
        self.start(1);
    }

    /// Stops one worker, whatever it is about, for longer than any lease; it goes on after a later call of `resume`.
    pub fn pause_one(&mut self) {
        let worker = self.any();
        signal("STOP", &[worker.id()]);
        self.paused.push((Instant::now(), worker));
    }

    /// Lets those go on that have been stopped for long enough.
    pub fn resume(&mut self) {
        let is_over = |(since, _): &mut (Instant, Child)| since.elapsed() > LONGEST_LEASE + LONGEST_LEASE / 10;
        for (_, worker) in self.paused.extract_if(.., is_over) {
            signal("CONT", &[worker.id()]);
            self.workers.push(worker);
        }
    }

    /// How many are stopped.
    pub fn paused(&self) -> usize {
        self.paused.len()
    }

    fn any(&mut self) -> Child {
        let unlucky = self.random.below(self.workers.len() as u64) as usize;
        self.workers.swap_remove(unlucky)
    }

    /// Starts others for those that have ended by themselves; says how many those were.
    pub fn tend(&mut self) -> usize {
        let before = self.workers.len();
        self.workers.retain_mut(|worker| worker.try_wait().expect("it is our child").is_none());
        let gone = before - self.workers.len();
        self.start(gone);
        gone
    }

    /// Ends all workers, and reads what they noted.
    pub fn stop(mut self) -> Vec<Entry> {
        self.end_all();
        let files = fs::read_dir(&self.home).expect("the ledgers are there").flatten();
        let entries = files.flat_map(|file| ledger::read(&file.path()).expect("a ledger can be read")).collect();
        fs::remove_dir_all(&self.home).expect("the ledgers can be removed");
        entries
    }

    fn end_all(&mut self) {
        self.workers
            .drain(..)
            .chain(self.paused.drain(..).map(|(_, worker)| worker))
            .for_each(|mut worker| end(&mut worker));
    }
}

impl Drop for Fleet<'_> {
    /// The ledgers of a test that failed stay, to be looked at.
    fn drop(&mut self) {
        self.end_all();
    }
}

fn end(worker: &mut Child) {
    // It may have ended by itself.
    let _ = worker.kill();
    let _ = worker.wait();
}

/// What a worker process is told at its start.
pub struct Worker<'a> {
    pub mode: &'a str,
    pub queue: &'a str,
    pub name: &'a str,
    pub ledger: PathBuf,
    pub seed: u64,
    pub work: u64,
}

impl Worker<'_> {
    pub fn start(&self, cluster: &Cluster, database: &str) -> Child {
        let orders = json!({"mode": self.mode, "host": cluster.socket(), "database": database, "queue": self.queue,
                            "name": self.name, "ledger": self.ledger, "seed": self.seed, "work": self.work});
        Command::new(env!("CARGO_BIN_EXE_chaos-worker"))
            .arg(orders.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a worker can be started")
    }
}

/// Work that is done on the side for as long as this lives.
#[derive(Default)]
pub struct OnTheSide {
    is_over: AtomicBool,
    pub rescued: AtomicI64,
}

impl OnTheSide {
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Rescues every 100 ms, whenever there is a server.
    pub fn rescue(&self, cluster: &Cluster, database: &str) {
        let mut session = None;
        while !self.is_over() {
            session = session.or_else(|| cluster.try_session(database).ok());
            match session.as_mut().map(|session: &mut Session| session.try_call("rescue_expired(1000)")) {
                Some(Ok(reply)) if reply["status"] == "success" => {
                    self.rescued.fetch_add(reply["rescued"].as_i64().unwrap_or_default(), Ordering::Relaxed);
                }
                Some(Ok(reply)) => println!("rescue_expired: {reply}"),
                Some(Err(_)) => session = None,
                None => {}
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Ends what is done on the side, also where the test fails: its threads would wait for that for ever.
pub struct Ends<'a>(pub &'a OnTheSide);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The jobs as they are in the end.
pub fn ends(session: &mut Session) -> BTreeMap<i64, End> {
    let sql =
        "SELECT job_id, status::text, result #>> '{}', error, unique_key, attempt, max_attempts FROM foreman.jobs";
    let rows = session.query(sql, &[]).expect("the jobs can be read");
    let end = |row: &foreman_tests::postgres::Row| End {
        status: row.get(1),
        result: row.get(2),
        error: row.get(3),
        key: row.get(4),
        attempt: row.get(5),
        max_attempts: row.get(6),
    };
    let ends: BTreeMap<i64, End> = rows.iter().map(|row| (row.get(0), end(row))).collect();
    assert_eq!(ends.len(), rows.len(), "a job is there twice");
    ends
}

/// What the ledgers tell, in numbers: a test in which nothing happened has shown nothing.
pub struct Tally {
    pub leases: usize,
    pub beats: usize,
    pub finishes: usize,
    pub lost_leases: usize,
    pub unanswered: usize,
    /// Leases under which no finish was asked for: their jobs, which all ended, were rescued by somebody.
    pub abandoned: usize,
}

impl Tally {
    pub fn of(entries: &[Entry]) -> Self {
        let count = |wanted: fn(&Entry) -> bool| entries.iter().filter(|entry| wanted(entry)).count();
        let asked = count(|entry| matches!(entry, Entry::FinishAsked { .. }));
        let told = count(|entry| matches!(entry, Entry::FinishTold { .. }));
        let token = |entry: &Entry| match entry {
            Entry::FinishAsked { token, .. } => Some(token.clone()),
            _ => None,
        };
        let finished: HashSet<String> = entries.iter().filter_map(token).collect();
        let is_abandoned = |entry: &&Entry| matches!(entry, Entry::Leased { token, .. } if !finished.contains(token));
        Self {
            abandoned: entries.iter().filter(is_abandoned).count(),
            leases: count(|entry| matches!(entry, Entry::Leased { .. })),
            beats: count(|entry| matches!(entry, Entry::BeatTold { until: Some(_), .. })),
            finishes: told,
            lost_leases: count(|entry| matches!(entry, Entry::FinishTold { outcome, .. } if outcome == "lease_lost")),
            unanswered: asked - told,
        }
    }
}
