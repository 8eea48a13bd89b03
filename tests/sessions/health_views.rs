//! Who sees what of the server's health, and where: by role, in an old transaction, on a standby, with every connection
//! taken, right after a crash.

use foreman_tests::{Cluster, Reply, Session, Value, sqlstate, wait_until};

/// The names of the checks with this status.
fn with_status(checks: &Value, status: &str) -> Vec<String> {
    let checks = checks.as_array().expect("checks").iter().filter(|check| check["status"] == status);
    let mut names: Vec<String> = checks.map(|check| check["name"].as_str().expect("a name").to_owned()).collect();
    names.sort_unstable();
    names
}

/// The view's rows as a document has them.
fn view(session: &mut Session) -> Value {
    session.one("SELECT jsonb_agg(to_jsonb(c)) FROM foreman.health_checks AS c", &[])
}

/// What a role can't see of other sessions without pg_monitor.
const HIDDEN: [&str; 4] = ["connections", "idle_in_transaction", "longest_query", "longest_transaction"];

#[test]
fn each_role_is_told_what_it_may_see_and_what_it_may_not() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut idle = db.session();
    idle.run("BEGIN; SELECT txid_current()");
    let mut admin = db.session();
    admin.run(
        "CREATE ROLE watcher LOGIN; CREATE ROLE monitor LOGIN; CREATE ROLE plain LOGIN; GRANT pg_monitor TO watcher",
    );
    admin.call("grant_access('monitor', 'monitor')").succeeded();

    let skipped = with_status(&view(&mut admin), "skipped");
    for (role, hidden) in [("postgres", &[][..]), ("watcher", &[]), ("monitor", &HIDDEN)] {
        let mut session = db.session_as(role);
        // The function gives each of them all figures.
        let health = session.call("db_health(true)");
        assert_eq!((&health["status"], &health["complete"]), (&"healthy".into(), &true.into()), "{role}: {health:#}");
        assert!(health.to_string().contains(&idle.pid().to_string()), "{role}: {health:#}");
        // The views show what the role may see.
        let checks = view(&mut session);
        assert_eq!(with_status(&checks, "unknown"), hidden, "{role}: {checks:#}");
        assert_eq!(with_status(&checks, "skipped"), skipped, "{role}: {checks:#}");
        for check in checks.as_array().expect("checks").iter().filter(|check| check["status"] == "unknown") {
            assert_eq!(check["remedy"], "GRANT pg_monitor TO monitor;", "{check:#}");
            assert!(check["value"].is_null() && check["meaning"].is_null() && check["subjects"].is_null(), "{check:#}");
        }
        // Who holds what is no secret of the server's.
        let holder: String = session.one("SELECT holder FROM foreman.horizon", &[]);
        assert_eq!(holder, format!("pid {}", idle.pid()), "{role}");
        session.run("SELECT * FROM foreman.blocking; SELECT * FROM foreman.queue_health; SELECT * FROM foreman.connection_health");
        assert!(session.one::<bool>("SELECT foreman.is_ready() AND foreman.is_live()", &[]), "{role}");
    }
    let mut plain = db.session_as("plain");
    for sql in ["SELECT foreman.db_health()", "SELECT * FROM foreman.health_checks", "SELECT foreman.is_live()"] {
        assert_eq!(sqlstate(&plain.try_run(sql).expect_err(sql)), "42501", "{sql}");
    }
}

#[test]
fn who_has_others_wait_is_told_to_a_role_that_may_not_see_their_sessions() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut holder = db.session();
    holder.run("CREATE ROLE monitor LOGIN; CREATE TABLE held (n int)");
    holder.call("grant_access('monitor', 'monitor')").succeeded();
    holder.run("BEGIN; LOCK TABLE held");
    let waiting = db.session().background(|s| s.run("SELECT * FROM held"));
    db.await_blocked(waiting.pid);
    let mut monitor = db.session_as("monitor");
    assert_eq!(monitor.one::<String>("SELECT holder FROM foreman.blocking", &[]), format!("pid {}", holder.pid()));
    holder.run("COMMIT");
    waiting.finish();
}

#[test]
fn the_views_for_people_fit_a_terminal_of_120_columns() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    db.session().call("configure_queue('mail, second class', ready_target_seconds => 90)").succeeded();
    db.session().call("create_job('mail, second class')").succeeded();
    let mut idle = db.session();
    idle.run("CREATE TABLE held (n int)");
    idle.run("BEGIN; LOCK TABLE held");
    let waiting = db.session().background(|s| s.run("SELECT * FROM held"));
    db.await_blocked(waiting.pid);
    for view in ["blocking", "horizon", "queue_health", "connection_health"] {
        let table = format!("TABLE foreman.{view}");
        let mut psql = cluster.program("psql");
        psql.args(["-X", "-h", cluster.socket(), "-U", "postgres", "-d", db.name(), "-c", &table]);
        let shown = String::from_utf8(psql.output().expect("psql runs").stdout).expect("UTF-8");
        assert!(shown.lines().count() > 3, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 120), "{shown}");
    }
    idle.run("COMMIT");
    waiting.finish();
}

#[test]
fn with_every_connection_taken_a_reserved_one_still_gets_the_document() {
    let cluster =
        Cluster::start(&["max_connections = 12", "superuser_reserved_connections = 4", "max_wal_senders = 0"]);
    let db = cluster.database();
    let mut admin = db.session();
    admin.run("CREATE ROLE app LOGIN");
    // The database's own two sessions are the superuser's.
    assert!(admin.one::<bool>("SELECT foreman.is_ready()", &[]));
    let mut taken = Vec::new();
    while let Ok(session) = cluster.try_session_as(db.name(), "app") {
        taken.push(session);
    }
    let mut late = db.session();
    let health = late.call("db_health()");
    assert_eq!((&health["status"], &health["complete"]), (&"unhealthy".into(), &true.into()), "{health:#}");
    assert_eq!(health["connection_pool"]["checked_in"], 0, "{health:#}");
    assert!(!late.one::<bool>("SELECT foreman.is_ready()", &[]));
    assert!(late.one::<bool>("SELECT foreman.is_live()", &[]));
    taken.truncate(2);
    wait_until("connections to be free again", || late.one("SELECT foreman.is_ready()", &[]));
}

#[test]
fn an_old_transaction_and_a_repeatable_one_see_the_sessions_of_now() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = db.session();
    for begin in ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"] {
        asking.run(begin);
        assert_eq!(asking.call("db_health()")["status"], "healthy", "{begin}");
        let mut idle = db.session();
        idle.run("BEGIN; SELECT 1");
        let pid = idle.pid().to_string();
        wait_until("the session to be seen", || asking.call("db_health(true)").to_string().contains(&pid));
        asking.run("COMMIT");
    }
}

#[test]
fn on_a_standby_the_document_is_whole_and_says_what_it_skips() {
    let primary = Cluster::start(&[]);
    let db = primary.database();
    db.session().call("create_job('q')").succeeded();
    let standby = primary.standby(&[]);
    standby.catch_up_with(&primary);
    let mut session = standby.existing_database(db.name()).session();
    let health = session.call("db_health()");
    assert_eq!((&health["status"], &health["complete"]), (&"healthy".into(), &true.into()), "{health:#}");
    assert_eq!(health["server"]["role"], "standby", "{health:#}");
    assert_eq!(health["database_stats"]["total_jobs"], 1, "{health:#}");
    let skipped = health["skipped"].as_array().expect("skipped");
    assert!(skipped.iter().all(|check| check["reason"].is_string()), "{health:#}");
    assert!(skipped.iter().any(|check| check["name"] == "overdue_leases"), "{health:#}");
    assert!(session.one::<bool>("SELECT foreman.is_ready()", &[]));
    assert!(session.one::<i64>("SELECT count(*) FROM foreman.health_checks", &[]) > skipped.len() as i64);
    session.run("SELECT * FROM foreman.horizon");
}

#[test]
fn a_background_worker_that_ends_while_health_is_asked_for_is_no_hidden_session() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "foreman.upkeep_interval = 100ms"]);
    let db = cluster.database();
    let mut asking = db.session();
    // The list of sessions is kept for the transaction, while the type of a background worker is looked up when it is shown.
    let listed =
        "SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'pg_foreman worker' AND usesysid IS NOT NULL";
    let mut worker = None;
    wait_until("a worker", || {
        asking.run("ROLLBACK; BEGIN");
        worker = asking.one::<Option<i32>>(listed, &[]);
        worker.is_some()
    });
    let worker = worker.expect("a worker");
    db.await_gone(worker);
    let typeless = "SELECT backend_type IS NULL FROM pg_stat_activity WHERE pid = $1";
    wait_until("its type to be lost", || asking.one(typeless, &[&worker]));
    assert_eq!(asking.one::<i64>("SELECT count(*) FROM foreman.client_sessions WHERE NOT is_visible", &[]), 0);
    asking.run("COMMIT");
}

#[test]
fn right_after_a_crash_the_document_is_whole() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "fsync = on", "full_page_writes = on"]);
    let name = cluster.database().name().to_owned();
    cluster.kill();
    cluster.start_again();
    let health = cluster.existing_database(&name).session().call("db_health()");
    assert_eq!((&health["status"], &health["complete"]), (&"healthy".into(), &true.into()), "{health:#}");
}
