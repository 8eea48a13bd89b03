//! `CALL wait_for_jobs` costs nothing while it waits, keeps its time, and ends at once when it is to; not preloaded it polls.
//! Who is woken by what is in `wakes`.

use super::floors::PRELOADED;
use foreman_tests::{Cluster, Database, Reply, Running, Session, postgres, sqlstate, wait_until};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Twenty times the 50 ms of the promise, since the tests run beside each other.
pub const PROMPT: Duration = Duration::from_secs(1);
/// Longer than any test takes.
const LONG: f64 = 60.0;

/// How a wait ended, and when.
pub type Ended = (Result<(), postgres::Error>, Instant);

/// Sends a session to wait.
fn wait_in(session: Session, queues: &str, seconds: f64) -> Running<Ended> {
    let call = format!("CALL foreman.wait_for_jobs('{queues}', {seconds})");
    session.background(move |s| (s.try_run(&call), Instant::now()))
}

/// A new session that waits, and sleeps already.
pub fn waiter(db: &Database, queues: &str) -> Running<Ended> {
    let running = wait_in(db.session(), queues, LONG);
    await_waiting(db, running.pid);
    running
}

pub fn is_waiting(db: &Database, pid: i32) -> bool {
    db.see(&format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity
                        WHERE pid = {pid} AND state = 'active' AND wait_event_type = 'Extension' AND backend_xmin IS NULL)"
    ))
}

fn await_waiting(db: &Database, pid: i32) {
    wait_until(&format!("backend {pid} to sleep"), || is_waiting(db, pid));
}

/// The session is gone. Now and then the client sees the closed connection before it has read why.
#[track_caller]
pub fn assert_terminated(outcome: Result<(), postgres::Error>) {
    let error = outcome.expect_err("the session was ended");
    assert!(sqlstate(&error) == "57P01" || error.is_closed(), "{error:?}");
}

/// Clock ticks, of which there are a hundred a second, that processes have computed so far.
fn ticks(pids: &[i32]) -> u64 {
    pids.iter()
        .map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the backend is there");
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum::<u64>()
        })
        .sum()
}

#[test]
fn two_hundred_sessions_that_wait_take_no_cpu_and_hold_no_snapshot_and_a_job_wakes_one() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "max_connections = 250"]);
    let db = cluster.database();
    db.session().call("create_job('other')").succeeded();
    let sessions: Vec<Session> = (0..200).map(|_| db.session()).collect();
    let waiters: Vec<_> = sessions.into_iter().map(|session| wait_in(session, "{mail,print}", LONG)).collect();
    let asleep = "SELECT count(*) = 200 FROM pg_stat_activity
                  WHERE query LIKE 'CALL%' AND wait_event_type = 'Extension' AND backend_xmin IS NULL";
    wait_until("200 sessions to sleep", || db.see(asleep));
    let pids: Vec<i32> = waiters.iter().map(|waiter| waiter.pid).collect();
    let before = ticks(&pids);
    sleep(Duration::from_secs(2));
    let used = ticks(&pids) - before;
    assert!(used <= 10, "200 sessions that wait took {used} hundredths of a second in two seconds");
    assert!(db.see::<bool>(asleep));
    let since = Instant::now();
    // The queue is there only with this: waiters of a queue that may come learn of it.
    db.session().call("create_job('mail')").succeeded();
    wait_until("the first to be woken", || !db.see::<bool>(asleep));
    assert!(since.elapsed() < PROMPT, "{:?}", since.elapsed());
    drop(waiters);
}

#[test]
fn a_cancel_a_terminate_and_a_shutdown_end_the_wait_at_once() {
    for preload in ["", "shared_preload_libraries = 'pg_foreman'"] {
        let cluster = Cluster::start(&[preload]);
        let db = cluster.database();
        let cancelled = waiter(&db, "{mail}");
        let terminated = waiter(&db, "{mail}");
        let ended = waiter(&db, "{mail}");
        let since = Instant::now();
        cancelled.interrupt();
        let (mut session, (outcome, at)) = cancelled.finish();
        assert_eq!(sqlstate(&outcome.expect_err("it was cancelled")), "57014");
        assert!(at - since < PROMPT, "{:?}", at - since);
        session.call("create_job('other')").succeeded();
        let since = Instant::now();
        assert!(db.see::<bool>(&format!("SELECT pg_terminate_backend({})", terminated.pid)));
        let (_, (outcome, at)) = terminated.finish();
        assert_terminated(outcome);
        assert!(at - since < PROMPT, "{:?}", at - since);
        wait_until("the last to sleep on", || is_waiting(&db, ended.pid));
        let since = Instant::now();
        cluster.stop("fast");
        let (_, (outcome, at)) = ended.finish();
        assert_terminated(outcome);
        assert!(at - since < 5 * PROMPT, "{:?}", at - since);
    }
}

#[test]
fn the_time_is_kept() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        for seconds in [0.001, 0.7] {
            let since = Instant::now();
            let (_, (outcome, at)) = wait_in(db.session(), "{mail}", seconds).finish();
            outcome.expect("a wait for nothing ends well");
            assert!(at - since >= Duration::from_secs_f64(seconds), "{:?}", at - since);
            assert!(at - since < Duration::from_secs_f64(seconds) + PROMPT, "{:?}", at - since);
        }
    }
}

#[test]
fn in_a_transaction_block_or_a_function_it_says_to_use_autocommit() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE FUNCTION inside() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL foreman.wait_for_jobs('{q}', 1); END $$");
    for (before, call) in [
        ("BEGIN", "CALL foreman.wait_for_jobs('{q}', 1)"),
        ("BEGIN; SAVEPOINT s", "CALL foreman.wait_for_jobs('{q}', 1)"),
        ("BEGIN", "DO $$ BEGIN CALL foreman.wait_for_jobs('{q}', 1); END $$"),
        ("", "SELECT 1; CALL foreman.wait_for_jobs('{q}', 1)"),
        ("", "SELECT inside()"),
        ("", "DO $$ BEGIN CALL foreman.wait_for_jobs('{q}', 1); EXCEPTION WHEN division_by_zero THEN END $$"),
    ] {
        session.run(before);
        let error = session.try_run(call).expect_err("it can't commit there");
        let error = error.as_db_error().expect("the server's error");
        assert_eq!(error.code().code(), "25001", "{call}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("autocommit")), "{call}: {error}");
        session.run("ROLLBACK");
    }
    // At the top level a DO block may commit.
    session.call("create_job('q')").succeeded();
    session.run("DO $$ BEGIN CALL foreman.wait_for_jobs('{q}', 10); CALL foreman.wait_for_jobs('{q}', 10); END $$");
    session
        .execute("CALL foreman.wait_for_jobs($1, $2)", &[&vec!["q"], &10.0f64])
        .expect("in the extended protocol, too");
}

#[test]
fn a_bad_argument_is_an_error_that_names_it() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for (queues, timeout, named) in [
        ("NULL", "1", "queues"),
        ("'{}'", "1", "queues"),
        ("'{a,NULL}'", "1", "queues"),
        ("'{a,a}'", "1", "queues"),
        ("'{a,\"\"}'", "1", "queues[2]"),
        ("'{{a},{b}}'", "1", "queues"),
        ("(SELECT array_agg('q' || n) FROM generate_series(1, 101) AS n)::text[]", "1", "queues"),
        ("'{a}'", "NULL", "timeout_seconds"),
        ("'{a}'", "0", "timeout_seconds"),
        ("'{a}'", "-1", "timeout_seconds"),
        ("'{a}'", "3601", "timeout_seconds"),
        ("'{a}'", "'NaN'", "timeout_seconds"),
        ("'{a}'", "'infinity'", "timeout_seconds"),
    ] {
        if queues.contains("SELECT") {
            let reply = session.call(&format!("ready_in({queues})")).failed_with("INVALID_PARAMS");
            assert_eq!(reply["argument"], named, "{reply:#}");
            continue;
        }
        let error = session.try_run(&format!("CALL foreman.wait_for_jobs({queues}, {timeout})")).expect_err("refused");
        assert_eq!(sqlstate(&error), "JF004", "{queues} {timeout}: {error:?}");
        let message = error.as_db_error().expect("the server's error").message().to_owned();
        assert!(message.starts_with(&format!("{named} must be")), "{message}");
    }
}

#[test]
fn whoever_may_not_look_may_not_wait() {
    let db = Cluster::preloaded().database();
    let mut admin = db.session();
    for role in ["nobody", "half", "worker"] {
        let name = format!("{role}_{}", db.name());
        admin.run(&format!("CREATE ROLE {name}"));
        match role {
            "half" => admin.run(&format!(
                "GRANT USAGE ON SCHEMA foreman TO {name};
                 GRANT EXECUTE ON PROCEDURE foreman.wait_for_jobs TO {name}"
            )),
            "worker" => drop(admin.call(&format!("grant_access('{name}', 'worker')")).succeeded()),
            _ => {}
        }
        let mut session = db.session();
        // With the role's own search_path nothing of what it finds there is called.
        session.run(&format!("SET ROLE {name}; SET search_path = public"));
        let outcome = session.try_run("CALL foreman.wait_for_jobs('{q}', 0.1)");
        match role {
            "worker" => outcome.expect("a worker may wait"),
            _ => assert_eq!(sqlstate(&outcome.expect_err("refused")), "42501", "{role}"),
        }
        session.run("RESET ROLE");
        admin.run(&format!("DROP OWNED BY {name}; DROP ROLE {name}"));
    }
}

#[test]
fn not_preloaded_it_polls() {
    let db = Cluster::shared().database();
    let waiters: Vec<_> = (0..3).map(|_| wait_in(db.session(), "{mail}", LONG)).collect();
    waiters.iter().for_each(|waiter| await_waiting(&db, waiter.pid));
    let since = Instant::now();
    db.session().call("create_job('mail')").succeeded();
    for waiter in waiters {
        let (_, (outcome, at)) = waiter.finish();
        outcome.expect("the wait ends well");
        assert!(at - since < Duration::from_secs(2), "{:?}", at - since);
    }
}

#[test]
fn under_repeatable_read_it_sees_what_came_while_it_waited() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        db.session().call("configure_queue('mail')").succeeded();
        let session = db.session_with(&[("default_transaction_isolation", "serializable")]);
        let waiting = wait_in(session, "{mail}", LONG);
        await_waiting(&db, waiting.pid);
        let since = Instant::now();
        db.session().call("create_job('mail')").succeeded();
        let (_, (outcome, at)) = waiting.finish();
        outcome.expect("the wait ends well");
        assert!(at - since < 2 * PROMPT, "{:?}", at - since);
    }
}

#[test]
fn what_wakes_nobody_is_found_by_the_background_worker_and_no_transaction_grows_old() {
    found_though_it_wakes_nobody(&["foreman.upkeep_interval = '2s'"], 4);
}

#[test]
fn what_wakes_nobody_is_found_without_a_background_worker_too() {
    found_though_it_wakes_nobody(&["foreman.max_workers = 0"], 17);
}

#[test]
fn who_waits_while_the_background_worker_looks_has_no_old_transaction() {
    let cluster = Cluster::start(&[PRELOADED, &["foreman.upkeep_interval = '1s'"]].concat());
    let db = cluster.database();
    let mut session = db.session();
    session.call("configure_queue('mail')").succeeded();
    let waiting = [waiter(&db, "{mail}"), waiter(&db, "{mail}")];
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) {
        assert_no_old_transaction(&db);
        sleep(Duration::from_millis(500));
    }
    for _ in &waiting {
        session.call("create_job('mail')").succeeded();
    }
    for waiting in waiting {
        waiting.finish().1.0.expect("the wait ends well");
    }
}

/// No session that waits has a transaction older than the longest rest.
#[track_caller]
fn assert_no_old_transaction(db: &Database) {
    let age = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 < 16
               FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CALL%' AND state = 'active'";
    assert!(db.see::<bool>(age), "a waiting session's transaction is old");
}

/// A job of a prepared transaction is found within so many seconds by one of two who wait for it, and till then no
/// transaction of theirs is older than a look ago.
fn found_though_it_wakes_nobody(lines: &[&str], seconds: u64) {
    let cluster = Cluster::start(&[PRELOADED, lines].concat());
    let db = cluster.database();
    let mut session = db.session();
    session.call("configure_queue('mail')").succeeded();
    let waiting = waiter(&db, "{mail}");
    session.run("BEGIN");
    session.call("create_job('mail')").succeeded();
    session.run(&format!("PREPARE TRANSACTION '{}'", db.name()));
    let since = Instant::now();
    db.session().run(&format!("COMMIT PREPARED '{}'", db.name()));
    while is_waiting(&db, waiting.pid) {
        assert_no_old_transaction(&db);
        assert!(since.elapsed() < Duration::from_secs(seconds), "not found in time");
        sleep(Duration::from_millis(100));
    }
    waiting.finish().1.0.expect("the wait ends well");
}

#[test]
fn on_a_standby_there_is_nothing_to_wait_for() {
    let primary = Cluster::start(&["shared_preload_libraries = 'pg_foreman'"]);
    let name = primary.database().name().to_owned();
    let standby = primary.standby(&["shared_preload_libraries = 'pg_foreman'"]);
    standby.catch_up_with(&primary);
    let mut session = standby.existing_database(&name).session();
    let error = session.try_run("CALL foreman.wait_for_jobs('{q}', 1)").expect_err("refused");
    assert_eq!(sqlstate(&error), "25006");
    assert_eq!(session.call("ready_in('{q}')").succeeded()["ready"], false);
}

/// Pages that a statement touches, as EXPLAIN counts them.
fn pages(session: &mut Session, sql: &str) -> i64 {
    let plan: foreman_tests::Value = session.one(&format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"), &[]);
    let plan = &plan[0]["Plan"];
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().map(|count| plan[count].as_i64().expect("a number")).sum()
}

#[test]
fn a_look_costs_the_same_beside_a_hundred_thousand_delayed_jobs() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    let look = "SELECT foreman.ready_in('{mail}')";
    session.call("create_job('mail', run_at => now() + interval '1 day')").succeeded();
    session.run("VACUUM foreman.live_job");
    pages(&mut session, look);
    let before = pages(&mut session, look);
    session.run(
        "DO $$ BEGIN
             FOR n IN 1 .. 10 LOOP
                 PERFORM foreman.create_jobs((
                     SELECT jsonb_agg(jsonb_build_object('queue', 'mail', 'run_at', now() + interval '1 day'))
                     FROM generate_series(1, 10000)));
             END LOOP;
         END $$",
    );
    session.run("VACUUM foreman.live_job");
    pages(&mut session, look);
    let after = pages(&mut session, look);
    // An index that is two levels higher, at each place that is looked at.
    assert!(after <= before + 60, "{before} pages before, {after} after");
}
