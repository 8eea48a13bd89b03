//! Claims bring a few lost jobs back on the side, and are not held up by it.

use super::dead_entries::pages;
use foreman_tests::{Cluster, Database, Reply, Session, wait_until};
use std::time::{Duration, Instant};

/// A job of this queue whose lease has run out; with `attempts` of one it can only end.
fn expired(session: &mut Session, queue: &str, attempts: i32) -> i64 {
    let job = session.call(&format!("create_job('{queue}', max_attempts => {attempts})")).succeeded().job_id();
    session.call(&format!("claim_jobs('{queue}')")).succeeded();
    session.run(&format!("UPDATE foreman.live_job SET lease_expires_at = '2020-01-01' WHERE id = {job}"));
    job
}

fn status(db: &Database, job: i64) -> String {
    db.see(&format!("SELECT status::text FROM foreman.jobs WHERE job_id = {job}"))
}

#[test]
fn a_claim_in_an_open_transaction_holds_no_other_queues_jobs() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let lost = expired(&mut db.session(), "lost", 3);
    let mut open = db.session();
    open.run("BEGIN");
    open.call("claim_jobs('other')").succeeded();
    assert_eq!(db.session().call("rescue_expired()").succeeded()["rescued"], 1);
    assert_eq!(status(&db, lost), "pending");
    // Outside of a transaction block it does.
    let lost = expired(&mut db.session(), "lost", 3);
    db.session().call("claim_jobs('other')").succeeded();
    assert_eq!(status(&db, lost), "pending");
    open.run("COMMIT");
}

#[test]
fn a_lock_that_a_rescue_on_the_side_would_need_does_not_hold_up_a_claim() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let last = expired(&mut db.session(), "last", 1);
    let mut locker = db.session();
    locker.run("BEGIN; LOCK TABLE foreman.finished_rest IN SHARE MODE");
    let mut claimer = db.session();
    claimer.call("create_job('ready')").succeeded();
    let began = Instant::now();
    let claimed = claimer.call("claim_jobs('ready')").succeeded();
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(1), "{claimed:#}");
    // Twenty times what it waits for a lock, and less than foreman.lock_timeout.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(claimer.one::<String>("SHOW lock_timeout", &[]), "0", "the session's own setting is back");
    assert_eq!(status(&db, last), "running");
    locker.run("COMMIT");
    wait_until("the job to end", || {
        db.session().call("claim_jobs('ready')").succeeded();
        status(&db, last) == "failed"
    });
}

#[test]
fn leases_that_ended_long_ago_hold_up_no_claim_beside_an_old_transaction_and_one_among_them_is_found() {
    let db = Cluster::shared().database();
    let (mut session, mut old) = (db.session(), db.session());
    session.call("create_job('q')").succeeded();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM foreman.live_job");
    let size = "SELECT pg_relation_size('foreman.live_job') / 8192";
    let before: i64 = session.one(size, &[]);
    session.run(
        "INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, lease_expires_at, lease_seconds, queue_id, attempt,
                                       max_attempts, priority, status, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t, t, t, t, 300, q.id, 1, 25, 5, 'running', '{}', '{}'
         FROM foreman.queue AS q, generate_series(1, 300000) AS n,
              LATERAL (SELECT clock_timestamp() - interval '2 h' + n * interval '1 ms' AS t) AS c
         WHERE q.name = 'q';
         DELETE FROM foreman.live_job WHERE status = 'running'",
    );
    let dead = session.one::<i64>(size, &[]) - before;
    // Behind them all, and no moment ago.
    let lost = expired(&mut session, "lost", 3);
    session.run(&format!("UPDATE foreman.live_job SET lease_expires_at = now() - interval '1 h' WHERE id = {lost}"));
    let read = pages(&mut db.session());
    println!("a claim read {read} pages, where {dead} hold what is dead");
    assert!(read < dead / 2, "a claim read {read} pages, where {dead} hold what is dead");
    let mut claimer = db.session();
    wait_until("the lost job", || {
        claimer.maintain();
        status(&db, lost) == "pending"
    });
}
