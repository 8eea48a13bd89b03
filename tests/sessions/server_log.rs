//! What reaches the server's log, and what never does. An error that became a reply is still told to whoever looks
//! after the server, without values; a slow call is told with what it was and how long it took. The client gets none of
//! it.

use foreman_tests::{Cluster, Crossing, Database, LogEntry, Reply};

const SECRET: &str = "s3cr3t-payload";

fn entries_with(db: &Database, words: &str) -> Vec<LogEntry> {
    db.log().into_iter().filter(|entry| entry.text.contains(words)).collect()
}

#[track_caller]
fn assert_the_secret_is_kept(db: &Database) {
    let told = entries_with(db, SECRET);
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_slow_call_is_told_to_the_log_only_and_never_with_its_payload() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.slow_call_threshold", "50ms")]);
    session.run(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
         CREATE TRIGGER dawdle AFTER INSERT ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION dawdle();",
    );
    session.notices();
    session.call(&format!("create_job('q', '{{\"v\": \"{SECRET}\"}}')")).succeeded();
    let told = entries_with(&db, "slow call");
    assert_eq!(told.len(), 1, "{:#?}", db.log());
    assert!(told[0].text.contains("create_job") && told[0].text.contains(" ms"), "{told:#?}");
    assert_the_secret_is_kept(&db);
    assert!(session.notices().is_empty(), "the client is told nothing");
}

#[test]
fn a_slow_call_that_fails_is_told_with_its_error_code_and_attempts() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.slow_call_threshold", "50ms"), ("foreman.query_timeout", "200ms")]);
    session
        .call(&format!("execute('SELECT pg_sleep(60), $1::text', '[\"{SECRET}\"]')"))
        .failed_with("DB_TIMEOUT_ERROR");
    let told = entries_with(&db, "slow call");
    assert_eq!(told.len(), 1, "{:#?}", db.log());
    for words in ["execute", "attempt", "DB_TIMEOUT_ERROR"] {
        assert!(told[0].text.contains(words), "{words} in {told:#?}");
    }
    assert_the_secret_is_kept(&db);
}

#[test]
fn a_quick_call_is_not_told_to_the_log() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.slow_call_threshold", "60s")]);
    session.call("execute('SELECT pg_sleep(0.1)')").succeeded();
    assert!(db.log().is_empty(), "{:#?}", db.log());
}

#[test]
fn each_deadlock_that_was_retried_is_told_to_the_log_without_values() {
    let db = Cluster::shared().database();
    let mut crossing = Crossing::of(&db);
    let mine = db.session_with(&[("foreman.retry_base_delay", "20ms")]);
    let victim = mine.pid();
    let other = db.session_with(&[("deadlock_timeout", "60s")]);
    let ((mine, reply), _) = crossing.collide(
        (mine, |s| s.call(&format!("execute('SELECT cross_rows(1, 2), $1::text', '[\"{SECRET}\"]')"))),
        (other, |s| s.call("execute('SELECT cross_rows(2, 1)')")),
    );
    assert!(reply.succeeded().attempts() >= 2);
    let told: Vec<_> = entries_with(&db, "40P01").into_iter().filter(|entry| entry.pid == victim).collect();
    assert_eq!(told.len(), 1, "{:#?}", db.log());
    assert!(mine.notices().is_empty(), "the client is told nothing");
    assert_the_secret_is_kept(&db);
}

#[test]
fn errors_are_told_to_the_log_as_the_setting_says() {
    let db = Cluster::shared().database();
    db.session().run("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let failing = "execute('INSERT INTO t VALUES (1)')";
    db.session().call(failing).failed_with("DUPLICATE_ENTRY");
    assert!(entries_with(&db, "23505").is_empty(), "an everyday error is not told: {:#?}", db.log());
    db.session_with(&[("foreman.log_errors", "all")]).call(failing).failed_with("DUPLICATE_ENTRY");
    assert_eq!(entries_with(&db, "23505").len(), 1, "{:#?}", db.log());
}

#[test]
fn a_skipped_duplicate_is_told_as_loud_as_the_setting_says() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let create = format!("create_job('q', '\"{SECRET}\"', unique_key => 'k')");
    session.call(&create).succeeded();
    assert_eq!(session.call(&create)["status"], "skipped");
    assert!(db.log().is_empty(), "debug1 by default: {:#?}", db.log());
    session.set("foreman.duplicate_log_level", "log");
    assert_eq!(session.call(&create)["status"], "skipped");
    assert!(!db.log().is_empty(), "a line in the log");
    assert_the_secret_is_kept(&db);
}
