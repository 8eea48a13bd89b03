//! A session remembers the queues that it has met, and what its tables look like, and never what is no longer so: what
//! another session changes counts from its commit on, and what is rolled back was never there.

use foreman_tests::{Cluster, Database, Reply, Session};

/// Meets the queue often enough to remember it.
fn met(db: &Database, queue: &str) -> Session {
    let mut session = db.session();
    for _ in 0..3 {
        session.call(&format!("create_job('{queue}')")).succeeded();
    }
    session
}

/// The policy by which a new job is created.
fn max_attempts(session: &mut Session, queue: &str) -> i64 {
    let job = session.call(&format!("create_job('{queue}')")).succeeded().job_id();
    session.call(&format!("get_job({job})")).succeeded()["job"]["max_attempts"].as_i64().expect("a number")
}

#[test]
fn a_policy_that_another_session_changes_counts_from_its_commit_on() {
    let db = Cluster::shared().database();
    let mut session = met(&db, "mail");
    let mut other = db.session();
    other.run("BEGIN; UPDATE foreman.queue SET max_attempts = 3 WHERE name = 'mail'");
    assert_eq!(max_attempts(&mut session, "mail"), 25);
    assert_eq!(max_attempts(&mut other, "mail"), 3, "whoever changes it sees it at once");
    other.run("COMMIT");
    assert_eq!(max_attempts(&mut session, "mail"), 3);

    other.run("BEGIN; UPDATE foreman.queue SET max_attempts = 4 WHERE name = 'mail'");
    assert_eq!(max_attempts(&mut other, "mail"), 4);
    other.run("ROLLBACK");
    assert_eq!(max_attempts(&mut other, "mail"), 3, "what is rolled back is not remembered");
}

#[test]
fn a_policy_read_in_an_old_snapshot_is_not_remembered_beyond_it() {
    let db = Cluster::shared().database();
    let mut session = met(&db, "mail");
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    db.session().run("UPDATE foreman.queue SET max_attempts = 3 WHERE name = 'mail'");
    // The first of these learns of the change, the second looks the queue up.
    session.call("create_job('mail')").succeeded();
    assert_eq!(max_attempts(&mut session, "mail"), 3);
    session.run("COMMIT");
    assert_eq!(max_attempts(&mut session, "mail"), 3);
}

#[test]
fn a_queue_that_is_gone_is_made_again() {
    let db = Cluster::shared().database();
    for removal in ["DELETE FROM foreman.queue", "TRUNCATE foreman.queue"] {
        let mut session = met(&db, "mail");
        db.session().run(&format!("DELETE FROM foreman.live_job; {removal}"));
        let job = session.call("create_job('mail')").succeeded().job_id();
        let queue: String = session.one("SELECT queue FROM foreman.jobs WHERE job_id = $1", &[&job]);
        assert_eq!(queue, "mail", "after {removal}");
    }
}

#[test]
fn a_queue_whose_maker_is_rolled_back_is_made_again() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let create_twice = |session: &mut Session| {
        session.call("create_job('mail')").succeeded();
        session.call("create_job('mail')").succeeded();
    };
    session.run("BEGIN");
    create_twice(&mut session);
    session.run("ROLLBACK; BEGIN; SAVEPOINT s");
    create_twice(&mut session);
    session.run("ROLLBACK TO s");
    create_twice(&mut session);
    session.run("COMMIT");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE queue = 'mail'"), 2);
}

#[test]
fn a_queue_that_another_session_made_since_the_snapshot_takes_jobs() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        session.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"));
        db.session().call(&format!("create_job('{level}')")).succeeded();
        session.call(&format!("create_job('{level}')")).succeeded();
        session.run("COMMIT");
        assert_eq!(db.see::<i64>(&format!("SELECT count(*) FROM foreman.jobs WHERE queue = '{level}'")), 2);
    }
}

#[test]
fn a_column_that_a_dba_adds_to_the_jobs_has_its_default_in_sessions_that_knew_the_table() {
    let db = Cluster::shared().database();
    let mut session = met(&db, "mail");
    db.session().run("ALTER TABLE foreman.live_job ADD COLUMN region text NOT NULL DEFAULT 'here'");
    db.session().run("ALTER TABLE foreman.live_job ALTER COLUMN region SET DEFAULT 'there'");
    let job = session.call("create_job('mail')").succeeded().job_id();
    let region: String = session.one("SELECT region FROM foreman.live_job WHERE id = $1", &[&job]);
    assert_eq!(region, "there");
}

#[test]
fn a_table_that_a_dba_puts_in_the_place_of_another_takes_the_jobs() {
    let db = Cluster::shared().database();
    let mut session = met(&db, "mail");
    db.session().run(
        "BEGIN;
         ALTER TABLE foreman.live_job RENAME TO live_job_before;
         CREATE TABLE foreman.live_job (LIKE foreman.live_job_before INCLUDING ALL);
         COMMIT",
    );
    session.call("create_job('mail')").succeeded();
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.live_job"), 1);
}
