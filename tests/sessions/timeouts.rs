//! A call is bounded in time: one wait for a lock by `foreman.lock_timeout`, the whole by `foreman.query_timeout`, and
//! the session's own bounds hold as well. The reply comes before the server's own timer would end the statement, and
//! that timer stays armed for what follows.

use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Reply, Session, Value, sqlstate};

/// The promise is 100 ms around the bound; twenty times that is what a busy machine is given.
const SLACK: Duration = Duration::from_secs(2);

/// A table of one row, `held`, and the session that holds it.
fn held_row(db: &Database) -> Session {
    let mut holder = db.session();
    holder.run("CREATE TABLE held (n int); INSERT INTO held VALUES (0)");
    holder.run("BEGIN; UPDATE held SET n = 1");
    holder
}

fn timed(session: &mut Session, call: &str) -> (Value, Duration) {
    let start = Instant::now();
    let reply = session.call(call);
    (reply, start.elapsed())
}

const UPDATE_HELD: &str = "execute('UPDATE held SET n = 2')";

#[test]
fn a_lock_held_past_the_lock_timeout_is_tried_again_and_then_a_timeout_error() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let mut session = db.session_with(&[
        ("foreman.lock_timeout", "100ms"),
        ("foreman.max_retries", "2"),
        ("foreman.retry_base_delay", "10ms"),
    ]);
    let (reply, took) = timed(&mut session, UPDATE_HELD);
    let reply = reply.failed_with("DB_TIMEOUT_ERROR");
    assert_eq!(reply["sqlstate"], "55P03", "the original SQLSTATE: {reply:#}");
    assert_eq!(reply["http_status"], 408, "{reply:#}");
    assert_eq!(reply.attempts(), 3, "{reply:#}");
    assert!(took >= Duration::from_millis(300), "three waits of 100 ms took {took:?}");
    assert!(reply.get("debug_details").is_none(), "{reply:#}");
}

#[test]
fn in_debug_a_timeout_error_carries_the_servers_own_words() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let mut session = db.session_with(&[
        ("foreman.lock_timeout", "20ms"),
        ("foreman.max_retries", "1"),
        ("foreman.retry_base_delay", "1ms"),
        ("foreman.debug", "on"),
    ]);
    let reply = session.call(UPDATE_HELD).failed_with("DB_TIMEOUT_ERROR");
    let details = &reply["debug_details"];
    assert_eq!(details["exception_message"], "canceling statement due to lock timeout", "{reply:#}");
    assert!(details["exception_type"].is_string(), "{reply:#}");
    let context = details["context"].as_str().unwrap_or_default();
    assert!(context.contains("while updating tuple"), "{reply:#}");
}

#[test]
fn a_lock_that_is_released_during_the_retries_is_had() {
    let db = Cluster::shared().database();
    let mut holder = held_row(&db);
    let session = db.session_with(&[("foreman.lock_timeout", "20ms"), ("foreman.retry_base_delay", "500ms")]);
    let running = session.background(|s| s.call(UPDATE_HELD));
    db.await_pause(running.pid);
    holder.run("COMMIT");
    let (_, reply) = running.finish();
    assert!(reply.succeeded().attempts() >= 2);
}

#[test]
fn the_query_timeout_bounds_the_whole_call_with_its_waits_and_retries() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let bound = Duration::from_secs(1);
    for lock_timeout in ["0", "150ms"] {
        let mut session = db.session_with(&[
            ("foreman.query_timeout", "1s"),
            ("foreman.lock_timeout", lock_timeout),
            ("foreman.max_retries", "10"),
            ("foreman.retry_base_delay", "10ms"),
        ]);
        let (reply, took) = timed(&mut session, UPDATE_HELD);
        let reply = reply.failed_with("DB_TIMEOUT_ERROR");
        assert_eq!(reply["http_status"], 408, "{reply:#}");
        assert!(took < bound + SLACK, "with a lock timeout of {lock_timeout} it took {took:?}");
        session.call("create_job('after')").succeeded();
    }
}

#[test]
fn the_query_timeout_ends_a_pause_before_a_retry_too() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let mut session = db.session_with(&[
        ("foreman.query_timeout", "500ms"),
        ("foreman.lock_timeout", "20ms"),
        ("foreman.retry_base_delay", "10s"),
    ]);
    let (reply, took) = timed(&mut session, UPDATE_HELD);
    reply.failed_with("DB_TIMEOUT_ERROR");
    assert!(took < Duration::from_millis(500) + SLACK, "it took {took:?}");
}

#[test]
fn a_call_that_only_works_too_long_is_ended_too_and_the_transaction_goes_on() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.query_timeout", "300ms")]);
    session.run("CREATE TABLE kept (n int)");
    session.run("BEGIN; INSERT INTO kept VALUES (1)");
    let (reply, took) = timed(&mut session, "execute('SELECT pg_sleep(60)')");
    let reply = reply.failed_with("DB_TIMEOUT_ERROR");
    assert_eq!(reply.attempts(), 1, "{reply:#}");
    assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(300) + SLACK, "it took {took:?}");
    session.run("COMMIT");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM kept"), 1);
}

#[test]
fn execute_takes_a_bound_and_a_number_of_retries_of_its_own() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let mut session = db.session_with(&[("foreman.lock_timeout", "20ms"), ("foreman.retry_base_delay", "1ms")]);
    let (reply, took) = timed(&mut session, "execute('SELECT pg_sleep(60)', timeout_seconds => 0.3)");
    reply.failed_with("DB_TIMEOUT_ERROR");
    assert!(took < Duration::from_millis(300) + SLACK, "it took {took:?}");
    let reply = session.call("execute('UPDATE held SET n = 2', max_retries => 1)");
    assert_eq!(reply.failed_with("DB_TIMEOUT_ERROR").attempts(), 2);
}

#[test]
fn the_reply_comes_before_the_sessions_own_statement_timeout() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("statement_timeout", "1s")]);
    let (reply, took) = timed(&mut session, "execute('SELECT pg_sleep(60)')");
    reply.failed_with("DB_TIMEOUT_ERROR");
    assert!(took < Duration::from_secs(1) + SLACK, "it took {took:?}");
    session.call("create_job('after')").succeeded();
}

#[test]
fn the_sessions_statement_timeout_stays_armed_after_a_reply() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("statement_timeout", "1s"), ("foreman.query_timeout", "200ms")]);
    let start = Instant::now();
    // A minute of sleep after the reply, in the same statement: only the server's own timer can end it.
    let error = session
        .try_run("SELECT foreman.execute('SELECT pg_sleep(60)'), pg_sleep(60)")
        .expect_err("the statement timeout");
    assert_eq!(sqlstate(&error), "57014");
    assert!(start.elapsed() < Duration::from_secs(1) + SLACK, "it took {:?}", start.elapsed());
}

#[test]
fn a_smaller_lock_timeout_of_the_session_wins_and_ours_ends_with_the_call() {
    let db = Cluster::shared().database();
    let _holder = held_row(&db);
    let mut session = db.session_with(&[
        ("lock_timeout", "20ms"),
        ("foreman.lock_timeout", "60s"),
        ("foreman.query_timeout", "20s"),
        ("foreman.max_retries", "0"),
    ]);
    let (reply, took) = timed(&mut session, UPDATE_HELD);
    assert_eq!(reply.failed_with("DB_TIMEOUT_ERROR")["sqlstate"], "55P03");
    assert!(took < SLACK, "it took {took:?}");
    assert_eq!(session.one::<String>("SHOW lock_timeout", &[]), "20ms");

    let mut session = db.session_with(&[("foreman.lock_timeout", "20ms"), ("foreman.max_retries", "0")]);
    session.run("BEGIN");
    session.call(UPDATE_HELD).failed_with("DB_TIMEOUT_ERROR");
    assert_eq!(session.one::<String>("SHOW lock_timeout", &[]), "0");
    session.call("create_job('after')").succeeded();
    assert_eq!(session.one::<String>("SHOW lock_timeout", &[]), "0");
    session.run("COMMIT");
}

#[test]
fn no_bound_at_all_is_a_bound_of_zero() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.query_timeout", "0"), ("foreman.lock_timeout", "0")]);
    session.call("execute('SELECT pg_sleep(0.3)')").succeeded();
}

#[test]
fn a_call_inside_a_call_is_held_to_the_outer_deadline() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[("foreman.query_timeout", "20s")]);
    // The inner call may take 20 s by itself, and the outer one gives the two of them half a second.
    let (reply, took) =
        timed(&mut session, "execute($$SELECT foreman.execute('SELECT pg_sleep(60)')$$, timeout_seconds => 0.5)");
    reply.failed_with("DB_TIMEOUT_ERROR");
    assert!(took < Duration::from_millis(500) + SLACK, "it took {took:?}");
}
