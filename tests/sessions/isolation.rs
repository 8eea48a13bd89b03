//! The isolation level is the caller's affair, and the answers hold under each. Under the two that keep a snapshot a
//! serialization failure can only be cured by a new transaction: it is never retried inside, and the reply says where
//! to begin again. Under SERIALIZABLE the server may have doomed the transaction besides.

use foreman_tests::{Cluster, Database, Reply, Session, Value, sqlstate};

const LEVELS: [&str; 4] = ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

fn two_rows(db: &Database) {
    db.session().run("CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO t VALUES (1), (2)");
}

/// A serialization failure: to be tried again, but only as a new transaction.
#[track_caller]
fn assert_only_a_new_transaction_helps(reply: Value) -> Value {
    let reply = reply.failed_with("DB_DEADLOCK");
    assert_eq!(reply["sqlstate"], "40001", "{reply:#}");
    assert_eq!(reply["retryable"], true, "{reply:#}");
    assert_eq!(reply["retry_scope"], "transaction", "{reply:#}");
    assert_eq!(reply.attempts(), 1, "never retried inside: {reply:#}");
    reply
}

#[test]
fn under_each_isolation_level_a_call_sees_what_earlier_calls_did_and_fails_without_harm() {
    let db = Cluster::shared().database();
    for level in LEVELS {
        let mut session = db.session();
        session.run(&format!("BEGIN ISOLATION LEVEL {level}"));
        let job = session.call("create_job('q', '{\"a\": 1}')").succeeded().job_id();
        session.call(&format!("get_job({job})")).succeeded();
        session.call("create_job('')").failed_with("INVALID_PARAMS");
        session.call("execute('SELECT 1 / 0')").failed_with("INVALID_PARAMS");
        session.call(&format!("update_job_status({job}, 'running')")).succeeded();
        session.call(&format!("update_job_success({job}, '1')")).succeeded();
        session.run("COMMIT");
        let status: String = session.one("SELECT status::text FROM foreman.jobs WHERE job_id = $1", &[&job]);
        assert_eq!(status, "completed", "under {level}");
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_row_changed_since_the_snapshot_needs_a_new_transaction_and_the_old_one_can_commit() {
    let db = Cluster::shared().database();
    two_rows(&db);
    let mut session = db.session();
    session.run("CREATE TABLE kept (n int)");
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO kept VALUES (1)");
    db.session().run("UPDATE t SET n = n + 1 WHERE id = 1");
    let reply = assert_only_a_new_transaction_helps(session.call("execute('UPDATE t SET n = n + 1 WHERE id = 1')"));
    assert!(reply.get("transaction_usable").is_none_or(|said| said == true), "{reply:#}");
    session.run("COMMIT");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM kept"), 1);
}

#[test]
fn a_job_changed_since_the_snapshot_needs_a_new_transaction() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = session.call("create_job('q')").succeeded().job_id();
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    db.session().call(&format!("update_job_status({job}, 'running')")).succeeded();
    assert_only_a_new_transaction_helps(session.call(&format!("update_job_status({job}, 'running')")));
    session.run("COMMIT; BEGIN");
    session.call(&format!("update_job_success({job}, '1')")).succeeded();
    session.run("COMMIT");
}

/// Leaves a session in a SERIALIZABLE transaction that the server has doomed: both have read what the other writes, and
/// the other was the first to commit.
fn doomed(db: &Database) -> Session {
    two_rows(db);
    let [mut mine, mut other] = [db.session(), db.session()];
    mine.call("create_job('q')").succeeded();
    for session in [&mut mine, &mut other] {
        session.run("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(n) FROM t");
    }
    mine.run("UPDATE t SET n = n + 1 WHERE id = 1");
    other.run("UPDATE t SET n = n + 1 WHERE id = 2; COMMIT");
    mine
}

#[test]
fn a_transaction_that_the_server_has_doomed_is_told_to_be_unusable() {
    for call in ["create_job('q')", "execute('UPDATE t SET n = n + 10 WHERE id = 1')", "list_jobs('q')"] {
        let db = Cluster::shared().database();
        let mut session = doomed(&db);
        let reply = assert_only_a_new_transaction_helps(session.call(call));
        assert_eq!(reply["transaction_usable"], false, "{reply:#}");
        assert_told_the_truth(&mut session, &reply);
        session.call("create_job('q')").succeeded();
        assert_eq!(db.see::<i32>("SELECT n FROM t WHERE id = 1"), 0);
        db.assert_no_warning_in_the_log();
    }
}

/// The transaction can commit, unless the reply calls it unusable: then it can't.
#[track_caller]
fn assert_told_the_truth(session: &mut Session, reply: &Value) {
    match session.try_run("COMMIT") {
        Ok(()) => assert!(reply["transaction_usable"] != false, "it was usable: {reply:#}"),
        Err(error) => {
            assert_eq!(sqlstate(&error), "40001");
            assert_eq!(reply["transaction_usable"], false, "{reply:#}");
        }
    }
}

#[test]
fn a_serializable_transaction_that_fails_in_its_own_write_is_told_the_truth() {
    let db = Cluster::shared().database();
    two_rows(&db);
    // Write skew: the other was the first to commit.
    let [mut mine, mut other] = [db.session(), db.session()];
    for session in [&mut mine, &mut other] {
        session.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
        session.call("execute('SELECT sum(n) FROM t')").succeeded();
    }
    other.call("execute('UPDATE t SET n = 1 WHERE id = 2')").succeeded();
    other.run("COMMIT");
    let reply = assert_only_a_new_transaction_helps(mine.call("execute('UPDATE t SET n = 1 WHERE id = 1')"));
    assert_told_the_truth(&mut mine, &reply);
    assert_eq!(db.see::<i64>("SELECT sum(n) FROM t"), 1, "only the other's write is there");

    // A row that the other has changed since the snapshot.
    mine.run("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1");
    other.run("UPDATE t SET n = 2 WHERE id = 1");
    let reply = assert_only_a_new_transaction_helps(mine.call("execute('UPDATE t SET n = 3 WHERE id = 1')"));
    assert_told_the_truth(&mut mine, &reply);
    assert_eq!(db.see::<i64>("SELECT sum(n) FROM t"), 3, "only the other's writes are there");
}
