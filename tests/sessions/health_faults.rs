//! Each fault is injected for real, and told by its check alone: the right one turns, names the one to blame, and what it
//! says, executed, cures it. Of checks that tell of one trouble, only the cause is a warning.
//!
//! Thresholds are set so low that a fault need not last for minutes.

use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Reply, Running, Session, Value, server_version, sqlstate, wait_until};

/// The checks of a document that warn or fail, in the order of their names.
pub fn alarms(health: &Value) -> Vec<&str> {
    let checks = health["checks"].as_array().expect("checks");
    let bad = checks.iter().filter(|check| check["status"] == "warn" || check["status"] == "fail");
    let mut names: Vec<&str> = bad.map(|check| check["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names
}

/// One check of a document.
#[track_caller]
pub fn check<'h>(health: &'h Value, name: &str) -> &'h Value {
    let checks = health["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} in {health:#}"))
}

/// A session that asks, for which these checks warn from so little on.
pub fn asking(db: &Database, thresholds: &[(&str, f64)]) -> Session {
    let mut session = db.session();
    for (name, warn) in thresholds {
        session.call(&format!("configure_check('{name}', warn => {warn})")).succeeded();
    }
    session
}

/// Waits until exactly these checks raise an alarm, and hands back the document.
#[track_caller]
pub fn await_alarms(asking: &mut Session, expected: &[&str]) -> Value {
    let mut health = Value::Null;
    wait_until(&format!("alarms of {expected:?}"), || {
        health = asking.call("db_health()");
        alarms(&health) == expected
    });
    assert_eq!(health["status"], if expected.is_empty() { "healthy" } else { "degraded" }, "{health:#}");
    assert_eq!(health["complete"], true, "{health:#}");
    health
}

/// Does what a check says, after which nothing is left to warn of.
#[track_caller]
pub fn cure(asking: &mut Session, health: &Value, name: &str) {
    let remedy = check(health, name)["remedy"].as_str().unwrap_or_else(|| panic!("a remedy in {health:#}"));
    asking.run(remedy);
    let health = await_alarms(asking, &[]);
    assert_eq!(health["warnings"], Value::Array(Vec::new()), "{health:#}");
}

/// The one warning, which begins with the cause and names the one to blame.
#[track_caller]
pub fn one_warning(health: &Value, cause: &str, culprit: &str, effects: &[&str]) {
    let [warning] = health["warnings"].as_array().expect("warnings").as_slice() else {
        panic!("one warning in {health:#}")
    };
    let sentences: Vec<&str> = warning.as_str().expect("a text").split(" → ").collect();
    let names: Vec<&str> = sentences.iter().map(|sentence| sentence.split(": ").next().expect("a name")).collect();
    assert_eq!(names, [&[cause][..], effects].concat(), "{warning}");
    assert!(sentences.iter().all(|sentence| sentence.contains(culprit)), "{culprit} in {warning}");
    for effect in effects {
        assert_eq!(check(health, effect)["caused_by"], cause, "{health:#}");
    }
    assert_eq!(check(health, cause)["causes"], Value::from(effects.to_vec()), "{health:#}");
}

/// A table with a row, and a session that waits for whoever has it locked.
fn table_with_a_row(session: &mut Session) {
    session.run("CREATE TABLE held (n int); INSERT INTO held VALUES (0)");
}

fn waiter(db: &Database) -> Running<()> {
    let waiting = db.session().background(|s| s.run("UPDATE held SET n = 2"));
    db.await_blocked(waiting.pid);
    waiting
}

/// Lets transactions go by.
pub fn use_up_transactions(session: &mut Session) {
    session.run("DO $$ BEGIN FOR n IN 1..30 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$");
}

#[test]
fn an_idle_transaction_that_pins_the_horizon_and_blocks_others_is_one_warning_and_its_remedy_cures_all() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(
        &db,
        &[("idle_in_transaction", 0.1), ("longest_transaction", 0.1), ("blocked_sessions", 0.1), ("horizon", 20.0)],
    );
    table_with_a_row(&mut asking);
    let mut idle = db.session();
    idle.run("BEGIN; UPDATE held SET n = 1");
    let waiting = waiter(&db);
    use_up_transactions(&mut asking);

    let effects = ["longest_transaction", "blocked_sessions", "horizon"];
    let mut all = vec!["idle_in_transaction"];
    all.extend(effects);
    all.sort_unstable();
    let health = await_alarms(&mut asking, &all);
    one_warning(&health, "idle_in_transaction", &format!("pid {}", idle.pid()), &effects);
    cure(&mut asking, &health, "idle_in_transaction");
    db.await_gone(idle.pid());
    waiting.finish();
}

#[test]
fn a_prepared_transaction_that_blocks_is_named_by_its_gid() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("prepared_transactions", 0.1), ("blocked_sessions", 0.1), ("horizon", 20.0)]);
    table_with_a_row(&mut asking);
    db.session().run("BEGIN; UPDATE held SET n = 1; PREPARE TRANSACTION 'two''phase'");
    // Another one, which is not to blame for the wait.
    db.session().run("BEGIN; CREATE TABLE elsewhere (n int); PREPARE TRANSACTION 'other'");
    let waiting = waiter(&db);
    use_up_transactions(&mut asking);

    let health = await_alarms(&mut asking, &["blocked_sessions", "horizon", "prepared_transactions"]);
    one_warning(&health, "prepared_transactions", "'two''phase'", &["blocked_sessions", "horizon"]);
    let root = &check(&health, "blocked_sessions")["subjects"]["roots"][0];
    let role: String = asking.one("SELECT current_user::text", &[]);
    assert_eq!((&root["database"], &root["role"]), (&db.name().into(), &role.into()), "{root:#}");
    assert_eq!((&root["pid"], root.get("application")), (&0.into(), Some(&Value::Null)), "{root:#}");
    asking.run("ROLLBACK PREPARED 'other'");
    cure(&mut asking, &health, "blocked_sessions");
    waiting.finish();
}

#[test]
fn a_table_lock_of_a_prepared_transaction_is_told_of_too() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("blocked_sessions", 0.1)]);
    table_with_a_row(&mut asking);
    db.session().run("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'locks'");
    let waiting = waiter(&db);
    let health = await_alarms(&mut asking, &["blocked_sessions"]);
    one_warning(&health, "blocked_sessions", "prepared transaction 'locks'", &[]);
    cure(&mut asking, &health, "blocked_sessions");
    waiting.finish();
}

#[test]
fn two_hundred_that_wait_for_one_row_are_one_root_and_told_at_once() {
    let cluster = Cluster::start(&["max_connections = 250"]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("blocked_sessions", 0.1), ("connections", 88.0)]);
    table_with_a_row(&mut asking);
    let mut holder = db.session();
    holder.run("BEGIN; UPDATE held SET n = 1");
    let waiting: Vec<_> = (0..200).map(|_| db.session().background(|s| s.run("UPDATE held SET n = 2"))).collect();
    wait_until("all to wait", || db.see::<i64>("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") == 200);
    let started = Instant::now();
    let health = await_alarms(&mut asking, &["blocked_sessions"]);
    let took = started.elapsed();
    println!("db_health() with 200 waiters on one row: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "{took:?}");
    let subjects = &check(&health, "blocked_sessions")["subjects"];
    let roots = subjects["roots"].as_array().expect("roots");
    assert_eq!(roots.len(), 1, "{subjects:#}");
    assert_eq!((&roots[0]["pid"], &roots[0]["blocks"]), (&holder.pid().into(), &200.into()), "{subjects:#}");
    cure(&mut asking, &health, "blocked_sessions");
    waiting.into_iter().for_each(|waiting| drop(waiting.finish()));
}

#[test]
fn a_chain_is_told_by_its_root_with_its_depth() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("blocked_sessions", 0.1)]);
    asking.run("CREATE TABLE a (n int); CREATE TABLE b (n int); CREATE TABLE c (n int)");
    let mut root = db.session();
    root.run("BEGIN; LOCK TABLE a");
    let link = |holds: &str, wants: &str| {
        let mut session = db.session();
        session.run(&format!("BEGIN; LOCK TABLE {holds}"));
        let sql = format!("LOCK TABLE {wants}");
        let waiting = session.background(move |s| s.run(&sql));
        db.await_blocked(waiting.pid);
        waiting
    };
    let (one, two) = (link("b", "a"), link("c", "b"));
    let three = db.session().background(|s| s.run("SELECT * FROM c"));
    db.await_blocked(three.pid);
    let health = await_alarms(&mut asking, &["blocked_sessions"]);
    one_warning(&health, "blocked_sessions", &format!("pid {}", root.pid()), &[]);
    let row = "SELECT format('%s %s %s', holder, blocks, depth) FROM foreman.blocking";
    assert_eq!(asking.one::<String>(row, &[]), format!("pid {} 3 3", root.pid()));
    asking.run(check(&health, "blocked_sessions")["remedy"].as_str().expect("a remedy"));
    for waiting in [one, two] {
        let (mut session, ()) = waiting.finish();
        session.run("COMMIT");
    }
    three.finish();
    await_alarms(&mut asking, &[]);
}

#[test]
fn a_transaction_with_more_subtransactions_than_memory_holds_is_told_from_16_on() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("subtransaction_overflow", 0.001)]);
    table_with_a_row(&mut asking);
    let mut nested = db.session();
    nested.run("BEGIN");
    for n in 0..70 {
        nested.run(&format!("SAVEPOINT s{n}; INSERT INTO held VALUES ({n})"));
    }
    if server_version() < 16 {
        let skipped = asking.call("db_health()")["skipped"].to_string();
        assert!(skipped.contains("PostgreSQL 16 and later can tell"), "{skipped}");
        return;
    }
    let health = await_alarms(&mut asking, &["subtransaction_overflow"]);
    let meaning = check(&health, "subtransaction_overflow")["meaning"].to_string();
    assert!(meaning.contains(&format!("pid {}", nested.pid())), "{meaning}");
    cure(&mut asking, &health, "subtransaction_overflow");
    db.await_gone(nested.pid());
}

#[test]
fn a_statement_that_runs_for_long_is_told_and_can_be_cancelled() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("longest_query", 0.1)]);
    let slow = db.session().background(|s| s.try_run("SELECT pg_sleep(60)"));
    let health = await_alarms(&mut asking, &["longest_query"]);
    one_warning(&health, "longest_query", &format!("pid {}", slow.pid), &[]);
    cure(&mut asking, &health, "longest_query");
    let (mut session, outcome) = slow.finish();
    assert_eq!(sqlstate(&outcome.expect_err("cancelled")), "57014");
    session.run("SELECT 1");
}

#[test]
fn a_worker_that_waits_for_jobs_is_no_long_statement() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[]);
    let waiting = db.session().background(|s| s.run("CALL foreman.wait_for_jobs('{mail}', 3)"));
    // Without preload it looks anew after pauses of a second at most, each time in a new transaction.
    let age = format!("SELECT coalesce(query_seconds, 0) FROM foreman.client_sessions WHERE pid = {}", waiting.pid);
    let mut oldest: f64 = 0.0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        oldest = oldest.max(asking.one(&age, &[]));
    }
    waiting.finish();
    assert!(oldest < 2.5, "{oldest} s");
}

#[test]
fn a_remedy_does_not_hit_what_the_process_does_later() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("idle_in_transaction", 0.1)]);
    let mut idle = db.session();
    idle.run("BEGIN; SELECT 1");
    let health = await_alarms(&mut asking, &["idle_in_transaction"]);
    idle.run("COMMIT; BEGIN; SELECT 1");
    asking.run(check(&health, "idle_in_transaction")["remedy"].as_str().expect("a remedy"));
    idle.run("COMMIT");
}

#[test]
fn the_limit_of_a_role_or_of_a_database_that_fills_is_told_and_can_be_raised() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[]);
    asking.run("CREATE ROLE \"app one\" LOGIN CONNECTION LIMIT 4");
    let _sessions: Vec<_> = (0..3).map(|_| db.session_as("app one")).collect();
    let health = await_alarms(&mut asking, &["connection_limits"]);
    one_warning(&health, "connection_limits", "role \"app one\" has 3 of the 4", &[]);
    cure(&mut asking, &health, "connection_limits");
    // The superuser's sessions do not count.
    asking.run(&format!("ALTER DATABASE {} CONNECTION LIMIT 4", db.name()));
    let health = await_alarms(&mut asking, &["connection_limits"]);
    one_warning(&health, "connection_limits", db.name(), &[]);
    cure(&mut asking, &health, "connection_limits");
}

#[test]
fn a_lease_that_nobody_takes_back_is_overdue() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("overdue_leases", 0.2)]);
    asking.call("create_job('mail')").succeeded();
    asking.call("claim_jobs('mail', lease_seconds => 0.1)").succeeded();
    let health = await_alarms(&mut asking, &["overdue_leases"]);
    cure(&mut asking, &health, "overdue_leases");
}

/// Takes a job of this queue and completes it.
#[track_caller]
fn work(session: &mut Session, queue: &str) {
    let reply = session.call(&format!("claim_jobs('{queue}')")).succeeded();
    let job = &reply["jobs"][0];
    let token = job["lease_token"].as_str().unwrap_or_else(|| panic!("a job in {reply:#}"));
    session.call(&format!("complete_job({}, '{token}')", job["job_id"])).succeeded();
}

#[test]
fn a_queue_whose_workers_are_gone_is_named_while_others_work() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "foreman.max_workers = 0"]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("oldest_ready_job", 0.5)]);
    for _ in 0..2 {
        asking.call("create_job('mail')").succeeded();
    }
    // The last that was seen of its workers.
    work(&mut asking, "mail");
    let mut worker = db.session();
    let mut health = Value::Null;
    wait_until("the queue to be late", || {
        worker.call("create_job('print')").succeeded();
        work(&mut worker, "print");
        health = asking.call("db_health()");
        alarms(&health) == ["oldest_ready_job"]
    });
    one_warning(&health, "oldest_ready_job", "queue 'mail'", &[]);
    let found = check(&health, "oldest_ready_job");
    let meaning = found["meaning"].as_str().expect("a text");
    assert!(meaning.contains("Of its jobs 0 run; somebody last looked for more"), "{found:#}");
    let late = &found["subjects"][0];
    assert!(late["seconds_since_look"].as_f64() >= Some(0.4), "nobody looks at it: {late:#}");

    // A worker that comes back, and has more to do than it can, is another trouble.
    asking.call("claim_jobs('mail')").succeeded();
    asking.call("create_job('mail')").succeeded();
    let health = await_alarms(&mut asking, &["oldest_ready_job"]);
    let found = check(&health, "oldest_ready_job");
    assert_eq!(found["subjects"][0]["running"], 1, "{found:#}");
    work(&mut asking, "mail");
    await_alarms(&mut asking, &[]);
}

#[test]
fn a_queue_is_measured_against_its_own_target_and_one_without_against_the_threshold_of_all() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[]);
    let skipped = asking.call("db_health()")["skipped"].to_string();
    assert!(skipped.contains("no queue has a target of its own"), "{skipped}");
    for (queue, target) in [("mail", 0.2), ("reports", 86_400.0)] {
        asking.call(&format!("configure_queue('{queue}', ready_target_seconds => {target})")).succeeded();
    }
    for queue in ["mail", "reports", "print"] {
        asking.call(&format!("create_job('{queue}')")).succeeded();
    }
    let health = await_alarms(&mut asking, &["late_queues"]);
    one_warning(&health, "late_queues", "queue 'mail'", &[]);
    assert!(check(&health, "late_queues")["meaning"].to_string().contains("; its target is 0.2 s."), "{health:#}");
    assert!(check(&health, "late_queues")["value"].as_f64() >= Some(100.0), "{health:#}");

    // With a day to wait a queue is late for nobody, however little the others may wait.
    asking.call("configure_check('oldest_ready_job', warn => 0.1)").succeeded();
    let health = await_alarms(&mut asking, &["late_queues", "oldest_ready_job"]);
    let queues = |health: &Value, name: &str| -> Vec<Value> {
        let subjects = check(health, name)["subjects"].as_array().expect("subjects");
        subjects.iter().map(|of| of["queue"].clone()).collect()
    };
    assert_eq!(queues(&health, "oldest_ready_job"), ["print"], "{health:#}");
    assert_eq!(queues(&health, "late_queues"), ["mail", "reports"], "{health:#}");

    // Without its target it is one of the others.
    asking.call("configure_queue('mail', ready_target_seconds => 0)").succeeded();
    let health = await_alarms(&mut asking, &["oldest_ready_job"]);
    assert_eq!(queues(&health, "oldest_ready_job"), ["mail", "print"], "{health:#}");
    // What is paused waits because somebody wants it so.
    asking.call("pause_queue('mail')").succeeded();
    work(&mut asking, "print");
    await_alarms(&mut asking, &[]);
}

#[test]
fn jobs_that_ended_and_wait_for_a_partition_are_told_of() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[]);
    let job = asking.call("create_job('mail')").succeeded().job_id();
    asking.call(&format!("update_job_success({job})")).succeeded();
    asking.run("UPDATE foreman.finished_rest SET finished_at = finished_at - interval '5 days'");
    let health = await_alarms(&mut asking, &["partitions_ahead"]);
    cure(&mut asking, &health, "partitions_ahead");
    asking.run("DELETE FROM foreman.finished_day WHERE day > now() + interval '2 days'");
    await_alarms(&mut asking, &["partitions_ahead"]);
}

#[test]
fn a_background_worker_that_does_not_come_is_missed() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "foreman.upkeep_interval = '100ms'"]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("background_worker", 0.5)]);
    asking.call("create_job('mail')").succeeded();
    wait_until("the worker's first visit", || db.see("SELECT count(*) > 0 FROM foreman.worker_status"));
    await_alarms(&mut asking, &[]);
    let launcher: i32 = db.see("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_foreman launcher'");
    foreman_tests::process::signal("STOP", &[launcher as u32]);
    await_alarms(&mut asking, &["background_worker"]);
    foreman_tests::process::signal("CONT", &[launcher as u32]);
    await_alarms(&mut asking, &[]);
}

#[test]
fn a_table_in_shared_memory_that_is_full_is_told_of() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'pg_foreman'",
        "foreman.max_workers = 0",
        "foreman.max_tracked_queues = 16",
    ]);
    let db = cluster.database();
    let mut asking = asking(&db, &[]);
    await_alarms(&mut asking, &[]);
    for n in 0..64 {
        asking.call(&format!("create_job('q{n}')")).succeeded();
        asking.call(&format!("claim_jobs('q{n}')")).succeeded();
    }
    let health = await_alarms(&mut asking, &["shared_tables"]);
    one_warning(&health, "shared_tables", "foreman.max_tracked_queues", &[]);
}
