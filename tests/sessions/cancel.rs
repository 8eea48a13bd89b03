//! A cancel, a terminate and a shutdown are not failures to be answered with JSON: they pass through as the server
//! raised them, at once, whatever the call is at: running, waiting for a lock, or pausing before a retry.

use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Reply, Running, Session, Value, sqlstate};

/// The promise is 200 ms; twenty times that is what a busy machine is given. Every wait below is longer by far.
const AT_ONCE: Duration = Duration::from_secs(4);

const QUERY_CANCELED: &str = "57014";
const ADMIN_SHUTDOWN: &str = "57P01";

type Outcome = Result<Value, foreman_tests::postgres::Error>;

/// What a call is at when it is ended.
#[derive(Clone, Copy, Debug)]
enum At {
    Work,
    LockWait,
    RetryPause,
}

const ALL: [At; 3] = [At::Work, At::LockWait, At::RetryPause];

/// A job whose row a session holds; its calls wait as long as the session lives.
struct Contested {
    job: i64,
    _holder: Session,
}

impl Contested {
    fn in_database(db: &Database) -> Self {
        let mut holder = db.session();
        let job = holder.call("create_job('held')").succeeded().job_id();
        holder.run("BEGIN");
        holder.call(&format!("update_job_status({job}, 'running')")).succeeded();
        Self { job, _holder: holder }
    }

    /// A call that has just come to where it is to be ended.
    fn call(&self, db: &Database, at: At) -> Running<Outcome> {
        let update = format!("update_job_status({}, 'running')", self.job);
        let (call, lock_timeout) = match at {
            At::Work => ("execute('SELECT pg_sleep(60)')".to_owned(), "0"),
            At::LockWait => (update, "0"),
            At::RetryPause => (update, "20ms"),
        };
        let session = db.session_with(&[("foreman.lock_timeout", lock_timeout), ("foreman.retry_base_delay", "10s")]);
        let running = session.background(move |s| s.try_call(&call));
        match at {
            At::Work => db.await_asleep(running.pid),
            At::LockWait => db.await_blocked(running.pid),
            At::RetryPause => db.await_pause(running.pid),
        }
        running
    }
}

/// The call ends at once with the server's own error for a cancel, and the session goes on.
#[track_caller]
fn assert_cancelled(running: Running<Outcome>, since: Instant) -> Session {
    let (session, outcome) = running.finish();
    let took = since.elapsed();
    let error = outcome.expect_err("no reply");
    assert_eq!(sqlstate(&error), QUERY_CANCELED, "{error:?}");
    let said = error.as_db_error().expect("the server's own error").message();
    assert_eq!(said, "canceling statement due to user request");
    assert!(took < AT_ONCE, "it took {took:?}");
    session
}

/// The session ends at once with the server's own last words. They are read in the server's log: the client library
/// does not always get to read them before it sees that the connection is closed.
#[track_caller]
fn assert_terminated(running: Running<Outcome>, cluster: &Cluster, since: Instant) {
    let pid = running.pid;
    let (_, outcome) = running.finish();
    let took = since.elapsed();
    let error = outcome.expect_err("no reply");
    assert!(error.is_closed() || sqlstate(&error) == ADMIN_SHUTDOWN, "{error:?}");
    assert!(took < AT_ONCE, "it took {took:?}");
    let last_words: Vec<_> =
        cluster.log().into_iter().filter(|entry| entry.pid == pid && entry.level == "FATAL").collect();
    assert_eq!(last_words.len(), 1, "{last_words:#?}");
    assert_eq!(last_words[0].text, "terminating connection due to administrator command");
}

#[test]
fn a_cancel_by_another_session_ends_a_call_at_once_wherever_it_is() {
    let db = Cluster::shared().database();
    let contested = Contested::in_database(&db);
    for at in ALL {
        let running = contested.call(&db, at);
        let start = Instant::now();
        assert!(db.see::<bool>(&format!("SELECT pg_cancel_backend({})", running.pid)));
        let mut session = assert_cancelled(running, start);
        session.call("create_job('after')").succeeded();
        assert!(!db.see::<bool>(&format!(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {} AND locktype <> 'virtualxid')",
            session.pid()
        )));
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn ctrl_c_ends_a_call_at_once_wherever_it_is() {
    let db = Cluster::shared().database();
    let contested = Contested::in_database(&db);
    for at in ALL {
        let running = contested.call(&db, at);
        let start = Instant::now();
        running.interrupt();
        let mut session = assert_cancelled(running, start);
        session.call("create_job('after')").succeeded();
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_cancel_inside_a_transaction_aborts_it_as_the_server_does() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("BEGIN");
    let running = session.background(|s| s.try_call("execute('SELECT pg_sleep(60)')"));
    db.await_asleep(running.pid);
    running.interrupt();
    let (mut session, outcome) = running.finish();
    assert_eq!(sqlstate(&outcome.expect_err("no reply")), QUERY_CANCELED);
    let after = session.try_run("SELECT 1").expect_err("the transaction is aborted");
    assert_eq!(sqlstate(&after), "25P02");
    session.run("ROLLBACK");
    session.call("create_job('after')").succeeded();
}

#[test]
fn a_cancel_is_no_reply_where_errors_are_raised_either() {
    let db = Cluster::shared().database();
    let session = db.session_with(&[("foreman.on_error", "raise")]);
    let running = session.background(|s| s.try_call("execute('SELECT pg_sleep(60)')"));
    db.await_asleep(running.pid);
    let start = Instant::now();
    running.interrupt();
    assert_cancelled(running, start);
}

#[test]
fn a_terminate_ends_the_session_at_once_wherever_its_call_is() {
    let db = Cluster::shared().database();
    let contested = Contested::in_database(&db);
    for at in ALL {
        let running = contested.call(&db, at);
        let start = Instant::now();
        assert!(db.see::<bool>(&format!("SELECT pg_terminate_backend({})", running.pid)));
        let pid = running.pid;
        assert_terminated(running, db.cluster(), start);
        db.await_gone(pid);
    }
}

#[test]
fn a_fast_shutdown_is_held_up_by_no_call_wherever_it_is() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let contested = Contested::in_database(&db);
    let running = ALL.map(|at| contested.call(&db, at));
    let start = Instant::now();
    cluster.stop("fast");
    for call in running {
        assert_terminated(call, &cluster, start);
    }
}

#[test]
fn a_cancel_and_the_time_limit_reach_into_a_step_of_upkeep() {
    let db = Cluster::shared().database();
    let slow = "CREATE OR REPLACE FUNCTION foreman.count_days() RETURNS bigint LANGUAGE sql
                AS 'SELECT pg_catalog.count(pg_catalog.pg_sleep(60))'";
    db.session().run(slow);
    let running = db.session().background(|s| s.try_call("maintain()"));
    db.await_asleep(running.pid);
    running.interrupt();
    let (mut session, outcome) = running.finish();
    assert_eq!(sqlstate(&outcome.expect_err("no reply")), QUERY_CANCELED);
    session.set("foreman.query_timeout", "200ms");
    session.call("maintain()").failed_with("DB_TIMEOUT_ERROR");
}
