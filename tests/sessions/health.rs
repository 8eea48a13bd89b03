//! Health is told from what other sessions really do: they fill the server's slots, sit in transactions, and block each
//! other. Sessions are seen in the whole cluster, so most tests have one of their own.

use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Reply, Session, Value, sqlstate, wait_until};

#[test]
fn exactly_75_percent_is_degraded_exactly_90_still_is_and_more_is_unhealthy() {
    // Twenty slots for ordinary roles, and three reserved ones.
    let cluster =
        Cluster::start(&["max_connections = 23", "superuser_reserved_connections = 3", "max_wal_senders = 0"]);
    let db = cluster.database();
    let mut asking = db.session();
    let used = |asking: &mut Session| -> i64 {
        asking.one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'", &[])
    };
    let mut others: Vec<Session> = Vec::new();
    for (sessions, percent, status) in [
        (14, 70.0, "healthy"),
        (15, 75.0, "degraded"),
        (16, 80.0, "degraded"),
        (18, 90.0, "degraded"),
        (19, 95.0, "unhealthy"),
        (21, 105.0, "unhealthy"),
    ] {
        while used(&mut asking) < sessions {
            others.push(db.session());
        }
        // A session of an earlier step may still be on its way out.
        wait_until(&format!("{sessions} sessions"), || used(&mut asking) == sessions);
        let health = asking.call("db_health()");
        let pool = &health["connection_pool"];
        assert_eq!((&pool["size"], &pool["checked_out"]), (&20.into(), &sessions.into()), "{pool:#}");
        assert_eq!(pool["utilization_percent"].as_f64(), Some(percent), "{pool:#}");
        assert_eq!(pool["status"], status, "{pool:#}");
        assert_eq!(pool["overflow"], (sessions - 20).max(0), "{pool:#}");
        assert_eq!(pool["checked_in"], (20 - sessions).max(0), "{pool:#}");
        assert_eq!(health["status"], status, "{health:#}");
        let warned = health["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
        assert_eq!(warned, status != "healthy", "{health:#}");
    }
    // A role that sees no more of sessions than that they are there can't tell clients from parallel workers.
    let role = format!("role_{}", db.name());
    asking.run(&format!("CREATE ROLE {role}"));
    asking.call(&format!("grant_access('{role}', 'monitor')")).succeeded();
    asking.run(&format!("SET ROLE {role}"));
    let told: String = asking.one("SELECT status FROM foreman.health_checks WHERE name = 'connections'", &[]);
    assert_eq!(told, "unknown");
}

/// The checks whose text names the process.
fn checks_that_name(session: &mut Session, pid: i32) -> Vec<Value> {
    session
        .query(
            "SELECT to_jsonb(c) FROM foreman.health_checks AS c
              WHERE to_jsonb(c)::text ~ ('\\m' || $1::int || '\\M')",
            &[&pid],
        )
        .expect("the view can be read")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// A session that holds a row, and one that waits for it.
fn blocked(db: &Database) -> (Session, foreman_tests::Running<()>) {
    let mut holder = db.session();
    holder.run("CREATE TABLE held (n int); INSERT INTO held VALUES (0)");
    holder.run("BEGIN; UPDATE held SET n = 1");
    let waiting = db.session().background(|s| s.run("UPDATE held SET n = 2"));
    db.await_blocked(waiting.pid);
    (holder, waiting)
}

/// One check's row of the document.
fn check<'h>(health: &'h Value, name: &str) -> &'h Value {
    let checks = health["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} in {health:#}"))
}

/// The pids of an array of objects.
fn pids(subjects: &Value) -> Vec<i64> {
    subjects.as_array().expect("an array").iter().filter_map(|subject| subject["pid"].as_i64()).collect()
}

#[test]
fn of_a_chain_of_waiting_sessions_the_root_is_named_and_what_ends_it() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let (mut holder, waiting) = blocked(&db);
    // Waits for the one that waits: not for the root itself.
    let mut between = db.session();
    between.run("BEGIN; CREATE TABLE other (n int)");
    let between = between.background(|s| s.run("UPDATE held SET n = 3"));
    db.await_blocked(between.pid);
    let last = db.session().background(|s| s.try_run("CREATE TABLE other (n int)").is_err());
    db.await_blocked(last.pid);

    let mut asking = db.session();
    let holders_pid = holder.pid();
    assert!(!checks_that_name(&mut asking, holders_pid).is_empty());
    let health = asking.call("db_health(true)");
    let blocked = check(&health, "blocked_sessions");
    assert_eq!(blocked["subjects"]["waiting"], 3, "{blocked:#}");
    assert_eq!(pids(&blocked["subjects"]["roots"]), [i64::from(holders_pid)], "{blocked:#}");
    let waits = pids(&blocked["subjects"]["longest_waits"]);
    assert!([waiting.pid, between.pid, last.pid].iter().all(|pid| waits.contains(&i64::from(*pid))), "{blocked:#}");
    // It takes a minute to become a warning.
    assert_eq!(blocked["status"], "pass", "{blocked:#}");

    // What the remedy ends is that transaction, not whatever the process does later.
    let remedy = blocked["subjects"]["roots"][0]["remedy"].as_str().expect("a remedy").to_owned();
    holder.run("ROLLBACK");
    waiting.finish();
    holder.run("BEGIN; SELECT 1");
    asking.run(&remedy);
    holder.run("COMMIT; BEGIN; SELECT 1");
    let health = asking.call("db_health(true)");
    let subjects = &check(&health, "longest_transaction")["subjects"];
    let remedy: String = asking.one(
        "SELECT remedy FROM foreman.client_sessions WHERE pid = $1 AND transaction_seconds IS NOT NULL",
        &[&holders_pid],
    );
    assert!(pids(subjects).contains(&i64::from(holders_pid)), "{subjects:#}");
    asking.run(&remedy);
    db.await_gone(holders_pid);
    let (mut between, ()) = between.finish();
    between.run("COMMIT");
    assert!(last.finish().1);
}

#[test]
fn a_session_that_idles_in_its_transaction_is_measured() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut idle = db.session();
    idle.run("BEGIN; SELECT 1");
    let mut asking = db.session();
    let age = "SELECT value FROM foreman.health_checks
                WHERE name = 'idle_in_transaction' AND subjects[0]['pid']::int = $1";
    let pid = idle.pid();
    wait_until("a second of idling", || {
        let seconds = asking.query_opt(age, &[&pid]).expect("the view can be read").map(|row| row.get(0));
        seconds.is_some_and(|seconds: f64| seconds >= 1.0)
    });
    // An error leaves it idle in a transaction that can only be rolled back, and is as much in the way.
    idle.batch_execute("SELECT 1 / 0").expect_err("a division by zero");
    assert!(asking.query_opt(age, &[&pid]).expect("the view can be read").is_some());
}

#[test]
fn what_a_session_does_that_hides_it_is_unknown_and_it_still_counts_as_a_connection() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut hiding = db.session();
    hiding.run("SET track_activities = off");
    let mut asking = db.session();
    let health = asking.call("db_health()");
    for name in ["idle_in_transaction", "longest_query", "longest_transaction"] {
        let check = check(&health, name);
        assert_eq!((&check["status"], &check["value"]), (&"unknown".into(), &Value::Null), "{check:#}");
        assert_eq!(check["reason"], "a session runs with track_activities off", "{check:#}");
    }
    assert_eq!(check(&health, "connections")["status"], "pass", "{health:#}");
    assert!(health["connection_pool"]["checked_out"].as_i64().is_some_and(|used| used >= 2), "{health:#}");
}

#[test]
fn failures_and_waiting_jobs_are_measured() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for n in 1..=4 {
        let job = session.call("create_job('work')").succeeded().job_id();
        match n {
            1 => drop(session.call(&format!("update_job_failure({job}, 'x')")).succeeded()),
            2 | 3 => drop(session.call(&format!("update_job_success({job}, '1')")).succeeded()),
            _ => {}
        }
    }
    let stats = &session.call("db_health()")["database_stats"];
    assert_eq!((&stats["completed_jobs"], &stats["failed_jobs"]), (&2.into(), &1.into()), "{stats:#}");
    let rate = stats["success_rate"].as_f64().expect("a rate");
    assert!((rate - 66.7).abs() < 0.1, "{stats:#}");
}

#[test]
fn a_role_without_pg_monitor_gets_the_figures_from_the_function_and_an_honest_unknown_from_the_views() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut idle = db.session();
    idle.run("BEGIN; SELECT 1");
    let mut session = db.session();
    let role = format!("role_{}", db.name());
    session.run(&format!("CREATE ROLE {role}"));
    session.call(&format!("grant_access('{role}', 'monitor')")).succeeded();
    session.run(&format!("SET ROLE {role}"));
    let idles_pid = i64::from(idle.pid());

    let health = session.call("db_health(true)");
    assert_eq!(health["complete"], true, "{health:#}");
    assert!(pids(&check(&health, "idle_in_transaction")["subjects"]).contains(&idles_pid), "{health:#}");
    assert!(health["connection_pool"]["checked_out"].as_i64().is_some_and(|used| used >= 2), "{health:#}");

    let hidden = "SELECT array_agg(name ORDER BY name COLLATE \"C\") FROM foreman.health_checks
                  WHERE status = 'unknown' AND value IS NULL AND reason IS NOT NULL AND remedy = $1";
    let grant = format!("GRANT pg_monitor TO {role};");
    let unknown: Vec<String> = session.one(hidden, &[&grant]);
    assert_eq!(unknown, ["connections", "idle_in_transaction", "longest_query", "longest_transaction"]);

    session.run(&format!("RESET ROLE; {grant} SET ROLE {role}"));
    let unknown: Option<Vec<String>> = session.one(hidden, &[&grant]);
    assert_eq!(unknown, None);
    session.run(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn who_polls_inside_a_transaction_sees_fresh_figures() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = db.session();
    let mut idle = db.session();
    let idles_pid = i64::from(idle.pid());
    let idles = |asking: &mut Session| {
        let health = asking.call("db_health(true)");
        let subjects = &check(&health, "idle_in_transaction")["subjects"];
        subjects.is_array() && pids(subjects).contains(&idles_pid)
    };
    asking.run("BEGIN");
    assert!(!idles(&mut asking));
    idle.run("BEGIN; SELECT 1");
    wait_until("the new transaction to be seen", || idles(&mut asking));
    idle.run("COMMIT");
    wait_until("its end to be seen", || !idles(&mut asking));
    asking.run("COMMIT");
}

#[test]
fn the_session_that_asks_is_no_finding() {
    let cluster = Cluster::start(&[]);
    let db = cluster.empty_database();
    let mut asking = db.session();
    asking.run("CREATE EXTENSION pg_foreman; BEGIN");
    let health = asking.call("db_health()");
    for name in ["idle_in_transaction", "longest_transaction"] {
        let check = check(&health, name);
        assert_eq!((&check["value"], &check["subjects"]), (&0.into(), &Value::Null), "{check:#}");
    }
}

#[test]
fn a_table_of_ours_that_is_locked_costs_a_probe_a_moment_and_only_what_is_read_from_it() {
    let db = Cluster::shared().database();
    let mut asking = db.session();
    let mut locker = db.session();
    // What these clusters have switched off is made all the same where nobody can read that.
    let rates =
        "cache_hits,deadlocks,requested_checkpoints,rescued_jobs,rollbacks,temp_files,unworked_jobs,wait_events";
    for (table, unknown, stats, warns) in [
        ("live_job", "oldest_ready_job,overdue_leases", false, ""),
        ("finished_day", "failed_jobs,partitions_ahead", false, ""),
        // Then nobody knows whether a queue has a target.
        ("queue", "failed_jobs,late_queues,oldest_ready_job", false, ""),
        // The built-in thresholds are in force then, which nobody is to take for those configured.
        ("health_threshold", rates, true, "durability"),
    ] {
        locker.run(&format!("BEGIN; LOCK TABLE foreman.{table} IN ACCESS EXCLUSIVE MODE"));
        let started = Instant::now();
        let health = asking.call("db_health()");
        let took = started.elapsed();
        println!("db_health() with {table} locked: {} ms", took.as_millis());
        // A lock is waited for 50 ms each time.
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(health["complete"], false, "{health:#}");
        assert_eq!(health["database_stats"].is_object(), stats, "{health:#}");
        assert_eq!(names_of(&health, "warn"), warns, "{health:#}");
        assert_eq!(names_of(&health, "unknown"), unknown, "{health:#}");
        let checks = health["checks"].as_array().expect("checks");
        let mut hidden = checks.iter().filter(|check| check["status"] == "unknown");
        let of_a_lock = |check: &Value| check["reason"].as_str().is_some_and(|reason| reason.contains("55P03"));
        assert!(stats || hidden.all(of_a_lock), "{health:#}");
        locker.run("COMMIT");
    }
    assert_eq!(asking.call("db_health()")["complete"], true);
}

/// The names of the document's checks that have this status.
fn names_of(health: &Value, status: &str) -> String {
    let checks = health["checks"].as_array().expect("checks");
    let are = checks.iter().filter(|check| check["status"] == status);
    let mut names: Vec<&str> = are.map(|check| check["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    names.join(",")
}

#[test]
fn with_all_that_it_reads_locked_the_call_gives_up_after_half_a_second_and_answers() {
    // Of its own: nobody else gets into a server whose list of databases is locked.
    let cluster = Cluster::start(&["wal_level = replica"]);
    let db = cluster.database();
    let (mut asking, mut locker) = (db.session(), db.session());
    locker.run("SELECT pg_create_physical_replication_slot('gone')");
    // A view by what changes it: LOCK takes the server's own tables beneath it along.
    locker.run(
        "BEGIN;
         DO $$
         DECLARE
             relation record;
         BEGIN
             FOR relation IN SELECT oid::regclass AS name, relkind FROM pg_class
                             WHERE relnamespace = 'foreman'::regnamespace AND relkind IN ('r', 'v')
             LOOP
                 EXECUTE format(CASE relation.relkind WHEN 'v' THEN 'ALTER VIEW %s SET (security_barrier = false)'
                                                      ELSE 'LOCK TABLE %s IN ACCESS EXCLUSIVE MODE' END, relation.name);
             END LOOP;
         END $$;
         LOCK TABLE pg_catalog.pg_tablespace, pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE",
    );
    let started = Instant::now();
    let health = asking.call("db_health()");
    let took = started.elapsed();
    println!("db_health() with all it reads locked: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(health["complete"], false, "{health:#}");
    assert_eq!(check(&health, "connections")["status"], "pass", "sessions are no table: {health:#}");
    for name in ["lost_slots", "overdue_leases", "partitions_ahead", "oldest_ready_job"] {
        assert_reason(&health, name, "55P03");
    }
    assert_reason(&health, "replication_backlog", "500 ms");
}

#[test]
fn what_is_slow_makes_nothing_else_unknown_until_the_call_itself_would_end() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let view: String = session.one("SELECT pg_get_viewdef('foreman.lease_outlook')", &[]);
    let view = view.trim_end_matches(';');
    let mut slow_by = |seconds: f64| {
        session.run(&format!(
            "CREATE OR REPLACE VIEW foreman.lease_outlook AS SELECT l.* FROM ({view}) AS l, pg_sleep({seconds})"
        ));
        session.call("db_health()")
    };
    let health = slow_by(0.6);
    assert_eq!((&health["status"], &health["complete"]), (&"healthy".into(), &true.into()), "{health:#}");
    let health = slow_by(1.51);
    assert_eq!((&health["status"], &health["complete"]), (&"healthy".into(), &false.into()), "{health:#}");
    assert_eq!(check(&health, "overdue_leases")["status"], "pass", "{health:#}");
    assert_reason(&health, "freeze_age", "1500 ms");
}

/// The check is unknown, for a reason that says so.
#[track_caller]
fn assert_reason(health: &Value, name: &str, what: &str) {
    let check = check(health, name);
    assert_eq!(check["status"], "unknown", "{check:#}");
    assert!(check["reason"].as_str().is_some_and(|reason| reason.contains(what)), "{what} in {check:#}");
}

#[test]
fn after_a_call_that_made_checks_apart_the_session_waits_for_locks_as_before() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("SET lock_timeout = '7s'; BEGIN");
    session.call("db_health()");
    assert_eq!(session.one::<String>("SHOW lock_timeout", &[]), "7s");
    session.run("COMMIT");
    assert_eq!(session.one::<String>("SHOW lock_timeout", &[]), "7s");
}

#[test]
fn a_cancel_ends_the_call_and_no_check_swallows_it() {
    let db = Cluster::shared().database();
    let mut locker = db.session();
    locker.run("BEGIN; LOCK TABLE foreman.finished_day IN ACCESS EXCLUSIVE MODE");
    let asking = db.session().background(|s| {
        loop {
            if let Err(error) = s.try_call("db_health()") {
                break sqlstate(&error).to_owned();
            }
        }
    });
    db.await_blocked(asking.pid);
    asking.interrupt();
    assert_eq!(asking.finish().1, "57014");
}

#[test]
fn a_health_call_costs_little_enough_for_every_second() {
    const CALLS: u32 = 50;
    let db = Cluster::shared().database();
    let _others: Vec<Session> = (0..50).map(|_| db.session()).collect();
    let mut asking = db.session();
    asking.call("create_job('q')").succeeded();
    let started = Instant::now();
    asking.call("db_health()");
    let first = started.elapsed();
    let started = Instant::now();
    for _ in 0..CALLS {
        asking.call("db_health()");
    }
    let each = started.elapsed() / CALLS;
    println!("db_health() with 50 sessions: first {} ms, then {:.2} ms", first.as_millis(), each.as_secs_f64() * 1e3);
    // 20 ms is the budget; a busy machine is given twenty times that.
    assert!(each < 20 * Duration::from_millis(20), "{each:?}");
}

#[test]
fn the_document_tells_what_calls_have_cost_and_with_detail_of_each_function() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("create_job('q')").succeeded();
    session.call("get_job(0)");
    let health = session.call("db_health()");
    let cost = &health["query_performance"];
    assert_eq!((&cost["scope"], &cost["functions"]), (&"backend".into(), &Value::Null), "{cost:#}");
    assert!(cost["calls"].as_i64() >= Some(2) && cost["errors"].as_i64() >= Some(1), "{cost:#}");
    let health = session.call("db_health(true)");
    let functions = health["query_performance"]["functions"].as_array().expect("a list");
    assert!(functions.iter().any(|of| of["function"] == "create_job" && of["calls"] == 1), "{functions:#?}");
}
