//! Eight workers, killed at random points and replaced, or stopped for longer than their leases: no job is lost, and none has two holders at a time.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::ledger::{Entry, violations};
use foreman_tests::{Cluster, Database, Random, Reply, Session, in_full, json, seed};

use super::super::look_back::looks_back;
use super::fleet::{Ends, Fleet, OnTheSide, Tally, ends};

const QUEUE: &str = "chaos";

/// Creates jobs, some of them for a little later.
fn create(session: &mut Session, jobs: usize, random: &mut Random) -> Vec<Entry> {
    let mut created = Vec::new();
    while created.len() < jobs {
        let list: Vec<_> = (0..1000.min(jobs - created.len()))
            .map(|n| {
                let mut job = json!({"queue": QUEUE, "payload": {"n": n}, "priority": random.below(10)});
                if random.percent(10) {
                    let sql = "SELECT to_jsonb(clock_timestamp() + $1 * interval '1 ms')";
                    job["run_at"] = session.one(sql, &[&(random.below(2000) as f64)]);
                }
                job
            })
            .collect();
        let reply = session.reply("SELECT foreman.create_jobs($1)", &[&json!(list)]).succeeded();
        let ids = reply["job_ids"].as_array().expect("a list of ids");
        created.extend(ids.iter().map(|id| Entry::Created { job: id.as_i64().expect("an id"), key: None }));
    }
    created
}

#[test]
fn workers_killed_at_random_lose_no_job_and_never_share_one() {
    kill_workers(&Cluster::shared().database());
}

#[test]
fn preloaded_they_do_not_either_and_no_claim_misses_a_job() {
    let db = Cluster::preloaded().database();
    kill_workers(&db);
    let [looks, found] = looks_back(&mut db.session());
    assert!(looks > 0);
    assert_eq!(found, 0, "jobs that no claim would have found otherwise");
}

fn kill_workers(db: &Database) {
    let (jobs, limit) = if in_full() { (20_000, 600) } else { (1_000, 45) };
    let mut random = Random::new(seed());
    let mut session = db.session();
    let mut entries = create(&mut session, jobs, &mut random);
    let mut fleet = Fleet::new(db.cluster(), db.name(), QUEUE, 10, Random::new(random.number()));
    let aside = OnTheSide::default();
    let (mut kills, start) = (0, Instant::now());
    thread::scope(|scope| {
        let _ends = Ends(&aside);
        scope.spawn(|| aside.rescue(db.cluster(), db.name()));
        fleet.start(8);
        while db.see::<bool>("SELECT EXISTS (SELECT FROM foreman.live_job)") {
            assert!(start.elapsed() < Duration::from_secs(limit), "the jobs do not come to their end");
            thread::sleep(random.milliseconds(100));
            fleet.kill_one();
            kills += 1;
            fleet.resume();
            // A run is short beside a lease: with several at a time, some come back late in each.
            if fleet.paused() < 4 {
                fleet.pause_one();
            }
        }
    });
    let took = start.elapsed();
    entries.extend(fleet.stop());

    let wrong = violations(&entries, &ends(&mut session));
    let Tally { leases, beats, finishes, lost_leases, unanswered, abandoned } = Tally::of(&entries);
    let rescued = aside.rescued.load(Ordering::Relaxed);
    println!(
        "{jobs} jobs in {took:.1?}: {kills} workers killed, {leases} leases, {beats} heartbeats, {finishes} finishes, \
         {abandoned} leases abandoned, {rescued} jobs rescued by the test, {lost_leases} leases lost, {unanswered} finishes without an answer"
    );
    assert!(wrong.is_empty(), "{} wrong, among them {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    assert!(kills >= jobs / 100 && abandoned > 0 && beats > 0 && lost_leases > 0, "little has happened");
    // A backend whose client was killed says so.
    let words: Vec<_> =
        db.log().into_iter().filter(|entry| matches!(entry.level.as_str(), "WARNING" | "ERROR" | "PANIC")).collect();
    assert!(words.is_empty(), "{words:#?}");
}
