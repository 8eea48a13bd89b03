//! `foreman.call_stats` counts what was called: over all sessions and beyond their end where the extension is
//! preloaded, else in the session itself. The view says which.

use foreman_tests::{Cluster, Crossing, Database, Reply, Session, Value, json};

/// The row of a function; null when there is none yet.
fn stats(session: &mut Session, function: &str) -> Value {
    session.one(
        "SELECT coalesce((SELECT to_jsonb(s) FROM foreman.call_stats AS s WHERE function = $1), 'null')",
        &[&function],
    )
}

fn count(session: &mut Session, function: &str, what: &str) -> i64 {
    stats(session, function)[what].as_i64().unwrap_or(0)
}

fn three_calls(session: &mut Session) {
    session.call("create_job('q')").succeeded();
    session.call("create_job('')").failed_with("INVALID_PARAMS");
    session.call("create_job('q', unique_key => 'k')").succeeded();
}

#[track_caller]
fn assert_three_calls(row: &Value) {
    assert_eq!((&row["calls"], &row["errors"]), (&json!(3), &json!(1)), "{row:#}");
    assert_eq!(row["errors_by_code"], json!({"INVALID_PARAMS": 1}), "{row:#}");
    assert_eq!((&row["retries"], &row["deadlocks"]), (&json!(0), &json!(0)), "{row:#}");
    let [total, max] = ["time_total_ms", "time_max_ms"].map(|field| row[field].as_f64().expect("a time"));
    assert!(total > 0.0 && max > 0.0 && max <= total, "{row:#}");
}

#[test]
fn without_preload_a_session_counts_its_own_calls_and_the_view_says_so() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    three_calls(&mut session);
    let row = stats(&mut session, "create_job");
    assert_three_calls(&row);
    assert_eq!(row["scope"], "backend", "{row:#}");
    assert_eq!(count(&mut db.session(), "create_job", "calls"), 0, "another session has none");
}

#[test]
fn preloaded_the_counts_are_the_servers_and_outlive_the_session() {
    // A cluster of its own: the counts are of all databases.
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'"]);
    let db = cluster.database();
    let mut session = db.session();
    three_calls(&mut session);
    let pid = session.pid();
    drop(session);
    db.await_gone(pid);
    let row = stats(&mut db.session(), "create_job");
    assert_three_calls(&row);
    assert_eq!(row["scope"], "server", "{row:#}");
    db.assert_no_warning_in_the_log();
}

#[test]
fn preloaded_what_many_sessions_do_at_once_is_counted_to_the_last_call() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'"]);
    let db = cluster.database();
    let calls = "SELECT count(foreman.create_job('q')), count(foreman.create_job('')) FROM generate_series(1, 500)";
    let running: Vec<_> = (0..8).map(|_| db.session().background(move |s| s.run(calls))).collect();
    for running in running {
        running.finish();
    }
    let row = stats(&mut db.session(), "create_job");
    assert_eq!((&row["calls"], &row["errors"]), (&json!(8000), &json!(4000)), "{row:#}");
}

/// A deadlock and its retry, in a session that can be asked afterwards.
fn deadlocked(db: &Database) -> Session {
    let mut crossing = Crossing::of(db);
    let mine = db.session_with(&[("foreman.retry_base_delay", "20ms")]);
    let other = db.session_with(&[("deadlock_timeout", "60s")]);
    let ((mine, reply), _) = crossing.collide(
        (mine, |s| s.call("execute('SELECT cross_rows(1, 2)')")),
        (other, |s| s.call("execute('SELECT cross_rows(2, 1)')")),
    );
    assert_eq!(reply.succeeded().attempts(), 2);
    mine
}

#[test]
fn a_deadlock_and_its_retry_are_counted() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        let mut session = deadlocked(&db);
        let row = stats(&mut session, "execute");
        assert!(row["deadlocks"].as_i64() >= Some(1) && row["retries"].as_i64() >= Some(1), "{row:#}");
        assert_eq!(row["errors"], 0, "a call that succeeded in the end is no error: {row:#}");
    }
}

#[test]
fn a_call_that_was_rolled_back_is_counted_all_the_same() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("BEGIN");
    session.call("create_job('q')").succeeded();
    session.run("ROLLBACK");
    assert_eq!(count(&mut session, "create_job", "calls"), 1);
}
