//! What trying again can't cure is not tried again: a full disk, memory that has run out, a server that goes away. The
//! failures are real ones. How often a statement ran is counted by a sequence, since no rollback undoes that.

use foreman_tests::{Cluster, Database, Reply, Session, Value, as_server_user, sqlstate};

/// A session that would retry at once, and the count of the runs.
fn session(db: &Database) -> Session {
    let mut session = db.session_with(&[("foreman.max_retries", "5"), ("foreman.retry_base_delay", "1ms")]);
    session.run("CREATE SEQUENCE runs");
    session
}

#[track_caller]
fn assert_ran_once(db: &Database, reply: &Value) {
    assert_eq!(reply.attempts(), 1, "{reply:#}");
    assert_eq!(db.see::<i64>("SELECT last_value FROM runs"), 1);
}

#[test]
fn a_full_disk_is_not_tried_again() {
    let db = Cluster::shared().database();
    let mut session = session(&db);
    session.run("SELECT lo_from_bytea(1, repeat('x', 1000000)::bytea)");
    // The device that is always full.
    let reply =
        session.call("execute($$SELECT nextval('runs'), lo_export(1, '/dev/full')$$)").failed_with("DB_QUERY_ERROR");
    assert_eq!(reply["sqlstate"], "53100", "{reply:#}");
    assert_ran_once(&db, &reply);
    session.call("create_job('after')").succeeded();
}

#[test]
fn memory_that_has_run_out_is_not_tried_again_and_the_session_lives() {
    let db = Cluster::shared().database();
    let mut session = session(&db);
    session.call("execute('SELECT 1')").succeeded();
    let pid = session.pid();
    let limit = 1024 * (status_kb(pid, "VmSize") + 64 * 1024);
    let limited = as_server_user("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--as={limit}:{limit}"))
        .status()
        .expect("prlimit is part of util-linux");
    assert!(limited.success());
    let reply = session
        .call("execute($$SELECT nextval('runs'), length(repeat('x', 500000000))$$)")
        .failed_with("DB_QUERY_ERROR");
    assert_eq!(reply["sqlstate"], "53200", "{reply:#}");
    assert_ran_once(&db, &reply);
    session.call("create_job('after')").succeeded();
}

/// A figure of a process's, in kB.
fn status_kb(pid: i32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the backend lives");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number of kB")
}

#[test]
fn a_limit_of_the_servers_is_not_tried_again() {
    let db = Cluster::shared().database();
    let mut session = session(&db);
    session.run("SET temp_file_limit = '64kB'; SET work_mem = '64kB'");
    let reply = session.call(
        "execute($$SELECT nextval('runs'), n FROM generate_series(1, 100000) AS n ORDER BY n DESC LIMIT 1 OFFSET 5$$)",
    );
    assert_eq!(reply["sqlstate"], "53400", "{reply:#}");
    assert_eq!(reply.attempts(), 1, "{reply:#}");
    session.call("create_job('after')").succeeded();
}

#[test]
fn a_server_that_goes_away_is_not_tried_again() {
    let db = Cluster::shared().database();
    if !db.see::<bool>("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'dblink')") {
        eprintln!("not shown here: dblink is not installed");
        return;
    }
    let mut session = session(&db);
    session.run("CREATE EXTENSION dblink");
    let server = format!("host={} dbname={} user=postgres", db.cluster().socket(), db.name());
    let statement = "SELECT nextval('runs'), ended
          FROM dblink($1, 'SELECT pg_terminate_backend(pg_backend_pid())') AS t (ended boolean)";
    // The other server's end is an error of ours: 57P01, or 08006 where libpq did not hear why.
    let gone = |state: &str| state.starts_with("57P0") || state.starts_with("08");
    match session.query_one("SELECT foreman.execute($1, jsonb_build_array($2::text))", &[&statement, &server]) {
        Ok(row) => {
            let reply: Value = row.get(0);
            assert_eq!(reply["status"], "error", "{reply:#}");
            assert!(reply["sqlstate"].as_str().is_some_and(gone), "{reply:#}");
            assert_ran_once(&db, &reply);
        }
        Err(error) => {
            assert!(gone(sqlstate(&error)), "{error:?}");
            assert_eq!(db.see::<i64>("SELECT last_value FROM runs"), 1);
        }
    }
    session.call("create_job('after')").succeeded();
}

#[test]
fn a_read_only_transaction_is_answered_as_such() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = session.call("create_job('q')").succeeded().job_id();
    session.run("BEGIN READ ONLY");
    session.call("create_job('q')").failed_with("READ_ONLY");
    session.call(&format!("update_job_status({job}, 'running')")).failed_with("READ_ONLY");
    session.call(&format!("get_job({job})")).succeeded();
    session.call("execute('CREATE TABLE t (n int)')").failed_with("READ_ONLY");
    session.run("COMMIT");
    db.assert_no_warning_in_the_log();
}
