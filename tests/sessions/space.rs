//! What an old transaction made the live table grow by comes back, without anybody's work standing still.

use super::floors::a_thousand;
use foreman_tests::{Cluster, Reply, Session};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BYTES: &str = "SELECT pg_relation_size('foreman.live_job')";

/// Works through jobs one by one until it is told to stop, and gives the longest time that one took.
fn work(session: &mut Session, stop: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        session.call("create_job('w')").succeeded();
        let job = session.call("claim_jobs('w')").succeeded()["jobs"][0].clone();
        session.call(&format!("complete_job({}, {})", job["job_id"], job["lease_token"].to_string().replace('"', "'")));
        longest = longest.max(start.elapsed());
    }
    longest
}

#[test]
fn a_vacuum_gives_the_live_tables_space_back_while_work_goes_on() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "autovacuum = off"]);
    let db = cluster.database();
    let mut session = db.session();
    session.maintain();
    a_thousand(&mut session);
    let before: i64 = session.one(BYTES, &[]);
    let mut old = db.session();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM foreman.live_job");
    for _ in 0..20 {
        a_thousand(&mut session);
    }
    session.run("VACUUM foreman.live_job");
    let pinned: i64 = session.one(BYTES, &[]);
    assert!(pinned > 10 * before, "{before} bytes before, {pinned} beside an old transaction");

    let worker = db.session().background(|session| work(session, &STOP));
    old.run("COMMIT");
    // The tail is cut where it is empty: what the worker has put there in the meantime goes with a later one.
    let (mut after, began) = (pinned, Instant::now());
    while after > 2 * before && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
        session.run("VACUUM foreman.live_job");
        after = session.one(BYTES, &[]);
    }
    STOP.store(true, Ordering::Relaxed);
    let (_, longest) = worker.finish();
    println!(
        "{before} bytes before, {pinned} beside an old transaction, {after} after; three calls took at most {longest:?}"
    );
    assert!(after <= 2 * before, "{before} bytes before, {pinned} beside an old transaction, {after} after");
    assert!(longest < Duration::from_secs(1), "three calls took {longest:?}");
}
