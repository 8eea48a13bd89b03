//! On a hot standby reading works, writing is answered with `READ_ONLY`, and a recovery conflict, which ends whatever
//! holds up the replay, loses the statement and never the session.

use foreman_tests::{Cluster, Database, Reply, sqlstate};

/// What a call gets on a standby.
#[derive(Clone, Copy, Debug)]
enum Gets {
    Success,
    Error(&'static str),
    /// Raised, as all its errors.
    Raised(&'static str),
    /// Its status is the server's.
    HealthDocument,
}
use Gets::{Error, HealthDocument, Raised, Success};

/// A lease token as one looks.
macro_rules! token {
    () => {
        "'00000000-0000-4000-8000-000000000000'"
    };
}

/// Each function, and what it gets. A function that is missing here fails the test.
const CALLS: &[(&str, Gets)] = &[
    ("create_job('q')", Error("READ_ONLY")),
    ("create_jobs('[{\"queue\": \"q\"}]')", Error("READ_ONLY")),
    ("update_job_status(1, 'running')", Error("READ_ONLY")),
    ("update_job_success(1, '1')", Error("READ_ONLY")),
    ("update_job_failure(1, 'x')", Error("READ_ONLY")),
    ("bulk_update_job_status(ARRAY[1]::bigint[], 'running')", Error("READ_ONLY")),
    ("cancel_job(1, 'x')", Error("READ_ONLY")),
    ("delete_job(1)", Error("READ_ONLY")),
    ("retry_job(1)", Error("READ_ONLY")),
    ("set_setting('k', '1')", Error("READ_ONLY")),
    ("set_setting_text('k', 'v')", Error("READ_ONLY")),
    ("delete_setting('k')", Error("READ_ONLY")),
    ("maintain()", Error("READ_ONLY")),
    ("claim_jobs('q')", Error("READ_ONLY")),
    ("claim_jobs_from('{q}')", Error("READ_ONLY")),
    (concat!("heartbeat(1, ", token!(), ")"), Error("READ_ONLY")),
    ("heartbeat_all('[]')", Error("READ_ONLY")),
    (concat!("complete_job(1, ", token!(), ")"), Error("READ_ONLY")),
    ("complete_jobs('[]')", Error("READ_ONLY")),
    (concat!("fail_job(1, ", token!(), ")"), Error("READ_ONLY")),
    ("fail_jobs('[]')", Error("READ_ONLY")),
    (concat!("release_job(1, ", token!(), ")"), Error("READ_ONLY")),
    ("finish_and_claim('[]', 'q')", Error("READ_ONLY")),
    (concat!("hold_lease(1, ", token!(), ")"), Raised("25006")),
    ("request_cancel(1)", Error("READ_ONLY")),
    ("rescue_expired()", Error("READ_ONLY")),
    ("configure_queue('q')", Error("READ_ONLY")),
    ("pause_queue('q')", Error("READ_ONLY")),
    ("resume_queue('q')", Error("READ_ONLY")),
    ("explain_job(1)", Success),
    ("list_queues()", Success),
    ("grant_access('pg_monitor', 'monitor')", Error("READ_ONLY")),
    ("get_job(1)", Success),
    ("list_jobs('q')", Success),
    ("job_stats()", Success),
    ("get_setting('k')", Success),
    ("list_settings()", Success),
    ("read_call_stats()", Success),
    ("read_floor_stats()", Success),
    ("db_health()", HealthDocument),
    ("read_health_checks()", Success),
    ("read_health_thresholds()", Success),
    ("read_server('sessions')", Success),
    ("configure_check('connections')", Error("READ_ONLY")),
    ("refresh_health()", Error("READ_ONLY")),
    ("check('{\"status\": \"success\"}')", Success),
    ("read_worker_status()", Success),
    ("read_slow_calls()", Success),
    ("read_metrics()", Success),
    ("ready_in('{q}')", Success),
    ("execute('SELECT queue FROM foreman.jobs')", Success),
];

/// A primary and its standby, which waits for no query of its own, and a database of the two with a job in it.
fn pair() -> (Cluster, Cluster, String) {
    let primary = Cluster::start(&[]);
    let name = {
        let db = primary.database();
        let mut session = db.session();
        session.call("create_job('q')").succeeded();
        session.call("set_setting('k', '1')").succeeded();
        session.run("CREATE TABLE t AS SELECT generate_series(1, 100) AS n");
        db.name().to_owned()
    };
    let standby = primary.standby(&["max_standby_streaming_delay = 0"]);
    standby.catch_up_with(&primary);
    (primary, standby, name)
}

fn delete_rows(primary: &Database) {
    primary.session().run("DELETE FROM t WHERE n % 2 = 0");
}

/// Removes the deleted rows for good. The replay of that conflicts with snapshots on the standby that still see them.
fn vacuum(primary: &Database) {
    primary.session().run("VACUUM t");
}

#[test]
fn on_a_standby_each_function_answers_as_designed() {
    let (_primary, standby, name) = pair();
    let db = standby.existing_database(&name);
    let mut session = db.session();
    for (call, gets) in CALLS {
        // In a transaction and alone: the one thing that a guard could get wrong differently.
        for transaction in [false, true] {
            if transaction {
                session.run("BEGIN");
            }
            let reply = match (gets, session.try_call(call)) {
                (Raised(state), answer) => {
                    let error = answer.expect_err(call);
                    assert_eq!(sqlstate(&error), *state, "{call}");
                    if transaction {
                        session.run("ROLLBACK");
                    }
                    continue;
                }
                (_, answer) => answer.expect(call),
            };
            match gets {
                Raised(_) => {}
                Success => drop(reply.succeeded()),
                Error(code) => drop(reply.failed_with(code)),
                HealthDocument => assert_eq!(reply["database_connected"], true, "{reply:#}"),
            }
            if transaction {
                session.run("COMMIT");
            }
        }
    }
    assert_eq!(session.call("create_job('q')")["http_status"], 503);
    let metrics: String = session.one("SELECT foreman.metrics()", &[]);
    assert!(metrics.contains("\nforeman_in_recovery 1\n") && metrics.contains("{queue=\"q\",state=\"ready\"} 1\n"));

    let untested: Vec<String> = session
        .query(
            "SELECT p.proname::text FROM pg_proc AS p
              WHERE p.pronamespace = 'foreman'::regnamespace AND p.prorettype = 'jsonb'::regtype AND p.prokind = 'f'",
            &[],
        )
        .expect("pg_proc can be read")
        .iter()
        .map(|row| row.get(0))
        .filter(|name: &String| !CALLS.iter().any(|(call, _)| call.starts_with(&format!("{name}("))))
        .collect();
    assert!(untested.is_empty(), "not tried on a standby: {untested:?}");
    db.assert_no_warning_in_the_log();
}

#[test]
fn on_a_standby_a_bad_argument_is_a_reply_and_a_servers_error_is_raised() {
    let (_primary, standby, name) = pair();
    let mut session = standby.existing_database(&name).session();
    session.call("list_jobs('q', page_size => 0)").failed_with("INVALID_PARAMS");
    session.call("get_job(4711)").failed_with("NOT_FOUND");
    let error = session.try_call("execute('SELECT 1 / 0')").expect_err("raised as it is");
    assert_eq!(sqlstate(&error), "22012");
    match session.try_call("execute('DELETE FROM t')") {
        Ok(reply) => assert_eq!(reply.failed_with("READ_ONLY")["sqlstate"], "25006"),
        Err(error) => assert_eq!(sqlstate(&error), "25006"),
    }
    session.call("get_job(1)").succeeded();
}

#[test]
fn a_recovery_conflict_loses_the_statement_and_never_the_session() {
    let (primary, standby, name) = pair();
    let (on_primary, on_standby) = (primary.existing_database(&name), standby.existing_database(&name));
    let session = on_standby.session();
    let running = session.background(|s| s.try_call("execute('SELECT pg_sleep(60) FROM t')"));
    on_standby.await_asleep(running.pid);
    delete_rows(&on_primary);
    vacuum(&on_primary);
    let (mut session, outcome) = running.finish();
    assert_eq!(sqlstate(&outcome.expect_err("the server's own error")), "40001");
    session.call("get_job(1)").succeeded();
}

#[test]
fn a_recovery_conflict_in_a_transaction_loses_that_and_never_the_session() {
    let (primary, standby, name) = pair();
    let (on_primary, on_standby) = (primary.existing_database(&name), standby.existing_database(&name));
    // A snapshot that still sees the rows, and a call that waits for a lock which the replay holds for the primary.
    let mut session = on_standby.session();
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    delete_rows(&on_primary);
    let mut locker = on_primary.session();
    locker.run("BEGIN; LOCK TABLE foreman.live_job");
    standby.catch_up_with(&primary);
    let running = session.background(|s| s.try_call("get_job(1)"));
    on_standby.await_blocked(running.pid);
    vacuum(&on_primary);
    let (mut session, outcome) = running.finish();
    assert_eq!(sqlstate(&outcome.expect_err("the server's own error")), "40001");
    locker.run("COMMIT");
    standby.catch_up_with(&primary);
    session.run("ROLLBACK");
    session.call("get_job(1)").succeeded();
}

#[test]
fn a_promoted_standby_takes_writes_in_the_sessions_it_had() {
    let (_primary, standby, name) = pair();
    let db = standby.existing_database(&name);
    let mut session = db.session();
    session.call("create_job('q')").failed_with("READ_ONLY");
    assert!(db.see::<bool>("SELECT pg_promote()"));
    session.call("create_job('q')").succeeded();
}
