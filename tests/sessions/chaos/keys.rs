//! Sessions that create, end, revive and delete jobs of a few keys at random, in transactions of every kind, half of which
//! are undone: never do two live jobs hold one key, and in the end each live job holds its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Random, Session, in_full, seed};

const SESSIONS: usize = 8;
const KEYS: u64 = 3;
const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// Two live jobs with one key, or two entries of one, as one snapshot sees them.
const HELD_TWICE: &str = "SELECT count(*) FROM (
    SELECT queue_id, unique_key FROM foreman.live_job WHERE unique_key IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1
    UNION ALL SELECT queue_id, key FROM foreman.job_key GROUP BY 1, 2 HAVING count(*) > 1) AS twice";
/// Live jobs without the entry that is theirs, and entries without such a job.
const ASTRAY: &str = "SELECT count(*) FROM foreman.job_key AS k
    FULL JOIN (SELECT * FROM foreman.live_job WHERE unique_key IS NOT NULL) AS j
        ON j.id = k.job_id AND j.queue_id = k.queue_id AND j.unique_key = k.key AND j.key_taken_at = k.taken_at
    WHERE j.id IS NULL OR k.job_id IS NULL";

/// A session that does something or other until it is stopped. It gives the number of jobs that it made live.
struct Meddler {
    session: Session,
    random: Random,
    /// Ids that it has come by.
    jobs: Vec<i64>,
    prepared: String,
    made: usize,
}

impl Meddler {
    /// One call; what it may be refused for is no matter.
    fn call(&mut self) {
        let key = self.random.below(KEYS);
        let job = if self.jobs.is_empty() { 0 } else { *self.random.pick(&self.jobs) };
        let call = match self.random.below(10) {
            0..5 => {
                let what = *self.random.pick(&["skip", "replace", "error"]);
                format!("create_job('q', unique_key => 'k{key}', on_duplicate => '{what}')")
            }
            5 => format!("retry_job({job})"),
            6 => format!("update_job_failure({job}, 'e')"),
            7 => format!("delete_job({job})"),
            8 => format!("bulk_update_job_status('{{{job}}}', 'pending')"),
            _ => "claim_jobs('q')".to_owned(),
        };
        // A transaction that the server has doomed, or that a deadlock has ended, refuses all.
        let Ok(reply) = self.session.try_call(&call) else { return };
        if let Some(job) = reply["job_id"].as_i64() {
            self.jobs.push(job);
            self.made += usize::from(reply["created"] == true);
        }
        if let Some(job) = reply["jobs"].get(0) {
            let call = format!("complete_job({}, {})", job["job_id"], job["lease_token"].to_string().replace('"', "'"));
            let _ = self.session.try_call(&call);
        }
        if self.jobs.len() > 20 {
            self.jobs.remove(0);
        }
    }

    /// A few calls in one transaction, some of them in a savepoint.
    fn transaction(&mut self) {
        let level = *self.random.pick(&LEVELS);
        self.session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        for _ in 0..=self.random.below(3) {
            let is_apart = self.random.percent(40);
            if is_apart && self.session.try_run("SAVEPOINT s").is_err() {
                break;
            }
            self.call();
            if is_apart {
                let end = *self.random.pick(&["ROLLBACK TO s", "RELEASE s"]);
                let _ = self.session.try_run(end);
            }
        }
        let (prepare, end) = (self.random.percent(10), *self.random.pick(&["COMMIT", "ROLLBACK"]));
        let id = &self.prepared;
        if prepare && self.session.try_run(&format!("PREPARE TRANSACTION '{id}'")).is_ok() {
            // Refused where it could not be prepared and was rolled back instead.
            let _ = self.session.try_run(&format!("{end} PREPARED '{id}'"));
        } else {
            let _ = self.session.try_run(end);
        }
    }

    fn go_on_until(mut self, is_over: &AtomicBool) -> usize {
        while !is_over.load(Ordering::Relaxed) {
            if self.random.percent(50) { self.call() } else { self.transaction() }
        }
        self.made
    }
}

fn meddle(db: &Database, time: Duration) {
    let mut random = Random::new(seed());
    let is_over = AtomicBool::new(false);
    let (mut looks, mut twice) = (0, 0);
    // Dead entries stay, and are looked at, for a part of the time.
    let mut old = db.session();
    let made: usize = thread::scope(|scope| {
        let meddlers: Vec<_> = (0..SESSIONS)
            .map(|n| {
                let (mut session, random) = (db.session(), Random::new(random.number()));
                session.set("foreman.query_timeout", "2s");
                session.set("foreman.max_retries", "1");
                let prepared = format!("{}-{n}", db.name());
                let meddler = Meddler { session, random, jobs: Vec::new(), prepared, made: 0 };
                let is_over = &is_over;
                scope.spawn(move || meddler.go_on_until(is_over))
            })
            .collect();
        let start = Instant::now();
        while start.elapsed() < time && twice == 0 {
            old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
            for _ in 0..50 {
                twice += db.see::<i64>(HELD_TWICE);
                looks += 1;
            }
            old.run("COMMIT");
            old.run("VACUUM foreman.job_key");
        }
        is_over.store(true, Ordering::Relaxed);
        meddlers.into_iter().map(|meddler| meddler.join().expect("it comes to its end")).sum()
    });
    println!("{made} jobs made with {KEYS} keys in {time:?}, {looks} looks");
    assert_eq!(twice, 0, "keys are held by two jobs");
    assert!(made > 100, "little has happened: {made} jobs");
    assert_eq!((db.see::<i64>(HELD_TWICE), db.see::<i64>(ASTRAY)), (0, 0));
}

#[test]
fn no_two_live_jobs_hold_one_key_whatever_is_done_and_undone_at_once() {
    let time = Duration::from_secs(if in_full() { 120 } else { 5 });
    meddle(&Cluster::shared().database(), time);
}
