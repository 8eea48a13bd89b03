//! `foreman.slow_calls` keeps the last calls that took long: of all sessions where the extension is preloaded, else this
//! session's own. It says what to look for, and never a value.

use foreman_tests::{Cluster, Crossing, Reply, Session, Value, json};

const SECRET: &str = "s3cr3t-payload";

/// The slow calls of this database and of a function, the last one first.
fn slow(session: &mut Session, function: &str) -> Vec<Value> {
    let sql = "SELECT coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object(
            'seconds', extract(epoch FROM took), 'lost', extract(epoch FROM lost_to_retries))), '[]')
        FROM foreman.slow_calls AS s WHERE database = current_database() AND function = $1";
    match session.one(sql, &[&function]) {
        Value::Array(calls) => calls,
        other => panic!("{other:#}"),
    }
}

/// A session to which a call of 50 ms is slow.
fn impatient(db: &foreman_tests::Database) -> Session {
    db.session_with(&[("foreman.slow_call_threshold", "50ms"), ("compute_query_id", "on")])
}

#[test]
fn preloaded_a_slow_call_is_seen_by_others_with_what_tells_where_to_look_and_no_value() {
    let db = Cluster::preloaded().database();
    let (mut session, mut other) = (impatient(&db), db.session());
    let statement = format!("SELECT pg_sleep(0.1), '{SECRET}'");
    session.call(&format!("execute($${statement}$$)")).succeeded();
    session.call("get_job(1)").failed_with("NOT_FOUND");
    let plan: Value = session.one(&format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}"), &[]);
    let [call] = slow(&mut other, "execute").try_into().expect("one slow call");
    assert_eq!(call["query_id"], plan[0]["Query Identifier"], "{call:#}");
    assert!(call["query_id"].is_i64(), "{call:#}");
    assert_eq!((&call["attempts"], &call["error_code"], call["lost"].as_f64()), (&json!(1), &Value::Null, Some(0.0)));
    assert_eq!(call["scope"], "server");
    let seconds = call["seconds"].as_f64().expect("a duration");
    assert!((0.1..5.0).contains(&seconds), "{call:#}");
    let fresh = "SELECT bool_and(clock_timestamp() - ended_at < interval '1 min') FROM foreman.slow_calls
        WHERE database = current_database()";
    assert!(other.one::<bool>(fresh, &[]));
    assert!(!call.to_string().contains(SECRET));
    assert!(slow(&mut other, "get_job").is_empty(), "a quick call is none");
}

#[test]
fn a_slow_call_within_a_slow_call_takes_nothing_from_the_outer_one() {
    let db = Cluster::preloaded().database();
    let mut session = impatient(&db);
    let inner = "SELECT pg_sleep(0.1)";
    let outer = format!("SELECT foreman.execute($${inner}$$)");
    session.call(&format!("execute($outer${outer}$outer$)")).succeeded();
    let mut id = |sql: &str| {
        let plan: Value = session.one(&format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}"), &[]);
        plan[0]["Query Identifier"].clone()
    };
    let ids = [id(&outer), id(inner)];
    let calls = slow(&mut session, "execute");
    assert_eq!(calls.iter().map(|call| call["query_id"].clone()).collect::<Vec<_>>(), ids, "{calls:#?}");
}

#[test]
fn a_slow_call_that_fails_is_kept_with_its_code() {
    // A cluster of its own: errors are counted in all databases together.
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'"]);
    let db = cluster.database();
    let mut session = impatient(&db);
    session.set("foreman.query_timeout", "100ms");
    session.call("execute('SELECT pg_sleep(60)')").failed_with("DB_TIMEOUT_ERROR");
    let calls = slow(&mut session, "execute");
    assert_eq!(calls.len(), 1, "{calls:#?}");
    assert_eq!(calls[0]["error_code"], "DB_TIMEOUT_ERROR");
}

#[test]
fn what_a_call_lost_to_a_deadlock_is_told() {
    let db = Cluster::preloaded().database();
    let mut crossing = Crossing::of(&db);
    let mine = impatient(&db);
    let other = db.session_with(&[("deadlock_timeout", "60s"), ("foreman.slow_call_threshold", "-1")]);
    let ((mut mine, reply), _) = crossing.collide(
        (mine, |s| s.call("execute('SELECT cross_rows(1, 2)')")),
        (other, |s| s.call("execute('SELECT cross_rows(2, 1)')")),
    );
    assert_eq!(reply.succeeded().attempts(), 2);
    let calls = slow(&mut mine, "execute");
    assert_eq!((calls.len(), &calls[0]["attempts"]), (1, &json!(2)), "{calls:#?}");
    let [seconds, lost] = ["seconds", "lost"].map(|what| calls[0][what].as_f64().expect("a duration"));
    assert!(lost > 0.05 && lost <= seconds, "{calls:#?}");
}

#[test]
fn without_preload_a_session_keeps_its_own() {
    let db = Cluster::shared().database();
    let mut session = impatient(&db);
    session.call("execute('SELECT pg_sleep(0.1)')").succeeded();
    let calls = slow(&mut session, "execute");
    assert_eq!((calls.len(), &calls[0]["scope"]), (1, &json!("backend")), "{calls:#?}");
    assert!(slow(&mut db.session(), "execute").is_empty());
}

#[test]
fn of_many_slow_calls_the_last_thousand_are_kept() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.slow_call_threshold", "0")]);
    session.run("SELECT foreman.get_job(n) FROM generate_series(1, 1500) AS n");
    assert_eq!(session.one::<i64>("SELECT count(*) FROM foreman.slow_calls", &[]), 1_000);
}
