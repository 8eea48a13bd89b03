//! Claims stay as cheap as they were while somebody's old transaction keeps vacuum from removing what has been taken; and
//! where floors say that nothing is to be found, nothing is lost: not what commits late, nor what nobody tells of.

use super::claim_cost::pages;
use foreman_tests::{Cluster, Database, Reply, Session, wait_until};
use std::time::{Duration, Instant};

pub const PRELOADED: &[&str] = &["shared_preload_libraries = 'pg_foreman'", "max_prepared_transactions = 10"];

/// The ids that a claim of this queue gets.
pub fn claimed(session: &mut Session, most: usize) -> Vec<i64> {
    let reply = session.call(&format!("claim_jobs('q', {most})")).succeeded();
    reply["jobs"].as_array().expect("a list").iter().map(|job| job["job_id"].as_i64().expect("an id")).collect()
}

pub fn create(session: &mut Session) -> i64 {
    session.call("create_job('q')").succeeded().job_id()
}

/// A thousand jobs, created, claimed and completed.
pub fn a_thousand(session: &mut Session) {
    let jobs = r#"(SELECT jsonb_agg('{"queue": "q"}'::jsonb) FROM generate_series(1, 1000))"#;
    session.call(&format!("create_jobs({jobs})")).succeeded();
    let leases = "(SELECT jsonb_agg(jsonb_build_object('job_id', j -> 'job_id', 'lease_token', j -> 'lease_token')) \
                  FROM jsonb_array_elements(foreman.claim_jobs('q', 1000) -> 'jobs') AS j)";
    session.call(&format!("complete_jobs({leases})")).succeeded();
}

/// A job that became ready an hour ago, and of which nobody has told.
pub fn write_by_hand(session: &mut Session) -> i64 {
    session.one(
        "INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t, t, t, q.id, 25, 5, '{}', '{}'
         FROM foreman.queue AS q, (SELECT clock_timestamp() - interval '1 h' AS t) AS c WHERE q.name = 'q' RETURNING id",
        &[],
    )
}

/// What a claim reads while a transaction is open that began before all that was done, at first and five thousand jobs later.
fn pages_under_an_old_transaction(db: &Database) -> [i64; 2] {
    let mut session = db.session();
    session.maintain();
    let mut old = db.session();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM foreman.live_job");
    a_thousand(&mut session);
    let mut cost = [0; 2];
    for (place, thousands) in [(0, 0), (1, 5)] {
        for _ in 0..thousands {
            a_thousand(&mut session);
        }
        for _ in 0..20 {
            create(&mut session);
        }
        cost[place] = pages(&mut session, 1);
    }
    old.run("COMMIT");
    cost
}

#[test]
fn what_was_claimed_under_an_old_transaction_costs_later_claims_nothing() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let [before, after] = pages_under_an_old_transaction(&cluster.database());
        println!("pages read by a claim: {before}, and {after} after 5,000 jobs more");
        assert!(after <= before + 20, "{before} pages before, {after} after");
    }
}

#[test]
fn a_job_that_commits_late_is_claimed_at_once_and_first() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let (mut late, mut session) = (db.session(), db.session());
    a_thousand(&mut session);
    late.run("BEGIN");
    let first = create(&mut late);
    for _ in 0..3 {
        a_thousand(&mut session);
    }
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    let next = create(&mut session);
    late.run("COMMIT");
    assert_eq!(claimed(&mut session, 1), [first]);
    assert_eq!(claimed(&mut session, 1), [next]);
}

#[test]
fn a_job_of_a_prepared_transaction_is_claimed_as_soon_as_that_commits() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let (mut late, mut session) = (db.session(), db.session());
    a_thousand(&mut session);
    for (name, restarts) in [("one", false), ("two", true)] {
        late.run("BEGIN");
        let job = create(&mut late);
        late.run(&format!("PREPARE TRANSACTION '{name}'"));
        if restarts {
            cluster.stop("fast");
            cluster.start_again();
            (late, session) = (db.session(), db.session());
        }
        a_thousand(&mut session);
        assert_eq!(claimed(&mut session, 1), [0; 0]);
        session.run(&format!("COMMIT PREPARED '{name}'"));
        assert_eq!(claimed(&mut session, 1), [job]);
    }
}

#[test]
fn a_claim_that_is_rolled_back_gives_its_job_to_the_next() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let (mut open, mut session) = (db.session(), db.session());
    let held = create(&mut session);
    open.run("BEGIN");
    assert_eq!(claimed(&mut open, 1), [held]);
    // Long enough that the floor leaves it behind.
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        let job = create(&mut session);
        assert_eq!(claimed(&mut session, 1), [job]);
    }
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    open.run("ROLLBACK");
    assert_eq!(claimed(&mut session, 1), [held]);
}

#[test]
fn a_transaction_can_claim_what_it_has_made_ready_itself() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        let mut session = db.session();
        a_thousand(&mut session);
        assert_eq!(claimed(&mut session, 1), [0; 0]);
        session.run("BEGIN");
        let own = create(&mut session);
        assert_eq!(claimed(&mut session, 1), [own]);
        session.run("COMMIT");
    }
}

#[test]
fn a_row_that_nobody_told_of_is_found_within_seconds() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        let mut session = db.session();
        a_thousand(&mut session);
        assert_eq!(claimed(&mut session, 1), [0; 0]);
        let by_hand = write_by_hand(&mut session);
        let mut found = Vec::new();
        wait_until("the job to be claimed", || {
            found = claimed(&mut session, 1);
            !found.is_empty()
        });
        assert_eq!(found, [by_hand]);
    }
}

#[test]
fn a_job_whose_queue_nobody_claims_from_says_so() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let mut session = db.session();
    let job = create(&mut session);
    let reasons = |session: &mut Session| {
        let told = session.call(&format!("explain_job({job})")).succeeded();
        assert_eq!(told["runnable"], true);
        told["reasons"].clone()
    };
    let told = reasons(&mut session);
    assert_eq!(told[0]["reason"], "not_claimed_from", "{told:#}");
    assert!(told[0]["since"].is_null());
    // Nor is that said where claims have no floors.
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    session.call("claim_jobs('q')").succeeded();
    session.run("ROLLBACK");
    assert_eq!(reasons(&mut session).as_array().map(Vec::len), Some(0));
}
