//! Slow checks: each fault is made for real in tables, indexes and sequences; the check that is there for it warns, names
//! what is at fault, and is content once that is put right by its remedy; no other check warns.

use std::sync::OnceLock;

use foreman_tests::{Cluster, Database, Reply, Session, Value, wait_until};

use crate::server_health::{alarms, assert_names, check, configure, remedy};

const NONE: [&str; 0] = [];

/// A server where nothing else happens.
fn quiet() -> &'static Cluster {
    static QUIET: OnceLock<Cluster> = OnceLock::new();
    QUIET.get_or_init(|| Cluster::start(&[]))
}

/// A server whose autovacuum is quick, so that what it is late with is late after three seconds.
fn quick() -> Cluster {
    Cluster::start(&["autovacuum_naptime = 1s"])
}

/// Makes all slow checks now.
#[track_caller]
fn refresh(session: &mut Session) -> Value {
    session.call("refresh_health()").succeeded()
}

/// Measures until these checks warn or fail, and no other.
#[track_caller]
fn await_alarms(session: &mut Session, expected: &[&str]) {
    wait_until(&format!("alarms {expected:?}, and no others"), || {
        refresh(session);
        alarms(session) == expected
    });
}

/// The one alarm after a new measuring.
#[track_caller]
fn only_alarm(session: &mut Session, name: &str) -> Value {
    refresh(session);
    assert_eq!(alarms(session), [name]);
    check(session, name)
}

/// Does what the check says, after which it is content.
#[track_caller]
fn cure(session: &mut Session, found: &Value) {
    remedy(session, found);
    refresh(session);
    assert_eq!(alarms(session), NONE);
}

/// A table with so many rows of 100 bytes, and what the planner knows of it.
fn table(session: &mut Session, name: &str, rows: i32) {
    session.run(&format!(
        "CREATE TABLE {name} (n int, s text); INSERT INTO {name} SELECT n, repeat('x', 90) FROM generate_series(1, {rows}) AS n;
         ANALYZE {name}"
    ));
}

/// Waits until VACUUM has come to a table.
fn await_vacuum(db: &Database, name: &str) {
    wait_until("autovacuum", || db.see(&format!("SELECT pg_stat_get_autovacuum_count('{name}'::regclass) > 0")));
}

#[test]
fn an_invalid_index_is_named_and_its_remedy_builds_it() {
    let db = quiet().database();
    let mut session = db.session();
    session.run("CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)");
    session.try_run("CREATE UNIQUE INDEX CONCURRENTLY twice_n ON twice (n)").expect_err("two rows are equal");
    let found = only_alarm(&mut session, "invalid_indexes");
    assert_names(&found, "public.twice_n");
    session.run("DELETE FROM twice WHERE ctid = '(0,1)'");
    cure(&mut session, &found);
}

#[test]
fn what_a_rebuild_left_behind_is_to_be_dropped() {
    let db = quiet().database();
    let mut session = db.session();
    table(&mut session, "t", 10);
    session.run("CREATE INDEX t_n ON t (n)");
    // As a REINDEX CONCURRENTLY leaves it that was cancelled.
    session.run("CREATE INDEX t_n_ccnew ON t (n); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_n_ccnew'::regclass");
    let found = only_alarm(&mut session, "invalid_indexes");
    assert!(found["remedy"].as_str().is_some_and(|remedy| remedy.starts_with("DROP INDEX CONCURRENTLY")), "{found:#}");
    cure(&mut session, &found);
}

#[test]
fn a_sequence_near_the_end_of_its_column_is_named_and_its_remedy_widens_both() {
    let db = quiet().database();
    let mut session = db.session();
    // The sequence alone has room enough.
    session.run("CREATE SEQUENCE far; CREATE TABLE t (id int DEFAULT nextval('far')); SELECT setval('far', 2147483647 / 100 * 95)");
    let found = only_alarm(&mut session, "sequences");
    assert_eq!((&found["status"], &found["unit"]), (&"warn".into(), &"percent".into()), "{found:#}");
    assert_names(&found, "public.far");
    assert_names(&found, "column id of public.t");
    session.run("SELECT setval('far', 2147483647 / 100 * 96)");
    assert_eq!(only_alarm(&mut session, "sequences")["status"], "fail");
    cure(&mut session, &found);
    assert_eq!(
        session.one::<String>(
            "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'id'",
            &[]
        ),
        "bigint"
    );
}

#[test]
fn a_sequence_that_counts_down_or_has_a_small_type_of_its_own_comes_to_its_end_too() {
    let db = quiet().database();
    let mut session = db.session();
    session.run("CREATE SEQUENCE down AS smallint INCREMENT -1; SELECT setval('down', -31500)");
    assert_names(&only_alarm(&mut session, "sequences"), "public.down has come to -31500 of -32768");
    session.run("ALTER SEQUENCE down CYCLE");
    refresh(&mut session);
    assert_eq!(alarms(&mut session), NONE);
}

#[test]
fn a_table_that_autovacuum_leaves_alone_and_that_needs_it_is_named_and_its_remedy_has_it_vacuumed() {
    let cluster = quick();
    let db = cluster.database();
    let mut session = db.session();
    session.run("CREATE TABLE hot (n int) WITH (autovacuum_enabled = off)");
    session.run("INSERT INTO hot SELECT generate_series(1, 20000); DELETE FROM hot");
    wait_until("the statistics", || db.see("SELECT pg_stat_get_dead_tuples('hot'::regclass) >= 20000"));
    let found = only_alarm(&mut session, "autovacuum_off");
    assert_names(&found, "public.hot");
    cure(&mut session, &found);
    await_vacuum(&db, "hot");
    wait_until("no dead rows", || db.see("SELECT pg_stat_get_dead_tuples('hot'::regclass) = 0"));
}

#[test]
fn a_foreign_key_without_index_is_named_and_its_remedy_makes_it() {
    let db = quiet().database();
    let mut session = db.session();
    session.run(
        "CREATE TABLE parent (a int, b int, PRIMARY KEY (a, b)); INSERT INTO parent SELECT n, n FROM generate_series(1, 100) AS n;
         CREATE TABLE child (b int, a int, FOREIGN KEY (a, b) REFERENCES parent);
         INSERT INTO child SELECT n % 99 + 1, n % 99 + 1 FROM generate_series(1, 10000) AS n; ANALYZE child",
    );
    refresh(&mut session);
    // Nothing was ever deleted from the parent: its absence has cost nothing.
    assert_eq!(alarms(&mut session), NONE);
    session.run("DELETE FROM parent WHERE a = 100");
    wait_until("the statistics", || db.see("SELECT pg_stat_get_tuples_deleted('parent'::regclass) > 0"));
    let found = only_alarm(&mut session, "foreign_keys");
    assert_names(&found, "child_a_b_fkey of public.child (a, b)");
    // In another order it serves as well.
    session.run("CREATE INDEX backwards ON child (b, a)");
    refresh(&mut session);
    assert_eq!(alarms(&mut session), NONE);
    session.run("DROP INDEX backwards");
    assert_eq!(check(&mut session, "foreign_keys")["status"], "pass", "what was measured stays until the next time");
    refresh(&mut session);
    cure(&mut session, &found);
}

#[test]
fn an_index_that_is_there_twice_is_named_and_its_remedy_keeps_the_one_that_enforces() {
    let db = quiet().database();
    let mut session = db.session();
    session.run("CREATE TABLE t (n int NOT NULL); INSERT INTO t SELECT generate_series(1, 500000)");
    session.run(
        "CREATE INDEX again ON t (n); ALTER TABLE t ADD PRIMARY KEY (n); CREATE INDEX other ON t (n DESC); ANALYZE t",
    );
    let found = only_alarm(&mut session, "duplicate_indexes");
    assert_names(&found, "public.again of public.t");
    assert_names(&found, "the same as t_pkey");
    cure(&mut session, &found);
    // The ones left: of another order, and the key; the former is one that no query has used.
    let unused: String = session.one("SELECT string_agg(index_name, ' ') FROM foreman.unused_indexes", &[]);
    assert_eq!(unused, "public.other");
    let young = check(&mut session, "unused_indexes");
    assert_eq!((&young["status"], &young["value"]), (&"skipped".into(), &Value::Null), "{young:#}");
}

#[test]
fn a_table_that_is_mostly_empty_is_named() {
    let db = quiet().database();
    let mut session = db.session();
    table(&mut session, "t", 900_000);
    refresh(&mut session);
    assert_eq!(alarms(&mut session), NONE);
    // Every tenth row stays, so that the file can't be cut.
    session.run("DELETE FROM t WHERE n % 10 > 0");
    session.run("VACUUM ANALYZE t");
    assert_names(&only_alarm(&mut session, "bloat"), "table public.t");
    session.run("VACUUM FULL ANALYZE t");
    refresh(&mut session);
    assert_eq!(alarms(&mut session), NONE);
}

#[test]
fn a_table_that_grows_is_named_from_the_second_measuring_on_where_somebody_has_set_a_bound() {
    let db = quiet().database();
    let mut session = db.session();
    configure(&mut session, "growing_tables", "warn => 1024");
    table(&mut session, "t", 100_000);
    refresh(&mut session);
    refresh(&mut session);
    assert_eq!(check(&mut session, "growing_tables")["value"], 0);
    session.run("INSERT INTO t SELECT * FROM t");
    assert_names(&only_alarm(&mut session, "growing_tables"), "public.t");
}

/// Waits until so many standbys are connected.
fn await_standbys(session: &mut Session, number: i64) {
    let connected = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait_until(&format!("{number} standbys"), || session.one::<i64>(connected, &[]) == number);
}

#[test]
fn a_standby_without_a_slot_is_missed_for_a_day_and_not_after_a_failover() {
    let primary = Cluster::start(&[]);
    let db = primary.database();
    let mut session = db.session();
    let status = |session: &mut Session| {
        refresh(session);
        check(session, "missing_standbys")["status"].clone()
    };
    assert_eq!(status(&mut session), "skipped");
    session.run("SELECT pg_create_physical_replication_slot('kept')");
    let reports = primary.standby(&["cluster_name = reports"]);
    let kept = primary.standby(&["cluster_name = kept", "primary_slot_name = kept"]);
    await_standbys(&mut session, 2);
    assert_eq!(status(&mut session), "pass");

    // Its slot is there to be told of.
    kept.stop("fast");
    await_standbys(&mut session, 1);
    assert_eq!(status(&mut session), "pass");

    reports.stop("fast");
    await_standbys(&mut session, 0);
    let found = only_alarm(&mut session, "missing_standbys");
    assert_eq!(found["value"], 1, "{found:#}");
    assert_names(&found, "reports");
    reports.start_again();
    await_standbys(&mut session, 1);
    assert_eq!(status(&mut session), "pass");

    reports.stop("fast");
    await_standbys(&mut session, 0);
    let found = only_alarm(&mut session, "missing_standbys");
    assert_eq!(session.call("db_health()")["status"], "degraded");
    remedy(&mut session, &found);
    assert_eq!(session.call("db_health()")["status"], "healthy");
    let days_ago = "UPDATE foreman.slow_finding
                    SET memory = (regexp_replace(memory::text, '\"20[0-9]{2}-', '\"2020-'))::jsonb
                    WHERE name = 'missing_standbys'";
    session.run(days_ago);
    assert_eq!(status(&mut session), "skipped");

    reports.start_again();
    await_standbys(&mut session, 1);
    assert_eq!(status(&mut session), "pass");
    reports.catch_up_with(&primary);
    primary.stop("fast");
    let there = reports.existing_database(db.name());
    let mut session = there.session();
    assert!(session.one::<bool>("SELECT pg_promote()", &[]));
    assert_eq!(check(&mut session, "missing_standbys")["status"], "pass");
    assert_eq!(status(&mut session), "skipped");
}

/// Makes a table with 20,000 dead rows, which somebody in `idle` still sees.
fn dead_rows(session: &mut Session, idle: &mut Session) {
    table(session, "orders", 20_000);
    idle.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM orders");
    session.run("DELETE FROM orders");
}

#[test]
fn an_idle_transaction_that_keeps_dead_rows_is_one_warning_that_names_the_table_and_its_remedy_cures_all() {
    let cluster = quick();
    let db = cluster.database();
    let (mut session, mut idle) = (db.session(), db.session());
    for (name, warn) in [("idle_in_transaction", 1), ("longest_transaction", 1), ("horizon", 3)] {
        configure(&mut session, name, &format!("warn => {warn}"));
    }
    dead_rows(&mut session, &mut idle);
    await_vacuum(&db, "orders");
    await_alarms(&mut session, &["dead_rows", "horizon", "idle_in_transaction", "longest_transaction"]);
    let culprit = format!("pid {}", idle.pid());
    let found = check(&mut session, "dead_rows");
    assert_names(&found, "public.orders has 20000 dead rows");
    assert_names(&found, &culprit);
    let health = session.call("db_health()");
    let [warning] = health["warnings"].as_array().expect("warnings").as_slice() else { panic!("one in {health:#}") };
    let warning = warning.as_str().expect("a text");
    assert!(
        warning.starts_with("idle_in_transaction: ") && warning.contains("→ dead_rows: public.orders"),
        "{warning}"
    );
    remedy(&mut session, &found);
    db.await_gone(idle.pid());
    await_alarms(&mut session, &[]);
}

#[test]
fn a_lock_that_autovacuum_passes_over_is_named() {
    let cluster = quick();
    let db = cluster.database();
    let (mut session, mut holder) = (db.session(), db.session());
    table(&mut session, "orders", 20_000);
    holder.run("BEGIN; LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE");
    session.run("DELETE FROM orders");
    await_alarms(&mut session, &["dead_rows", "stale_statistics"]);
    for name in ["dead_rows", "stale_statistics"] {
        assert_names(&check(&mut session, name), &format!("pid {} has it locked", holder.pid()));
    }
    assert_eq!(check(&mut session, "stale_statistics")["caused_by"], "dead_rows");
    let found = check(&mut session, "dead_rows");
    remedy(&mut session, &found);
    await_alarms(&mut session, &[]);
}

#[test]
fn what_autovacuum_has_just_come_to_owe_is_no_alarm() {
    let db = quiet().database();
    let mut session = db.session();
    table(&mut session, "t", 20_000);
    session.run("DELETE FROM t");
    wait_until("the statistics", || db.see("SELECT pg_stat_get_dead_tuples('t'::regclass) >= 20000"));
    refresh(&mut session);
    refresh(&mut session);
    assert_eq!(alarms(&mut session), NONE);
}

#[test]
fn beside_locks_all_comes_at_once_and_only_what_can_t_be_seen_is_unknown() {
    let db = quiet().database();
    let (mut session, mut locking, mut altering, mut catalog) =
        (db.session(), db.session(), db.session(), db.session());
    table(&mut session, "t", 100_000);
    session.run("CREATE SEQUENCE s; SELECT nextval('s')");
    locking.run("BEGIN; LOCK TABLE t");
    altering.run("BEGIN; ALTER SEQUENCE s INCREMENT 2");
    catalog.run("BEGIN; LOCK TABLE pg_catalog.pg_inherits");
    let reply = refresh(&mut session);
    let slowest = reply["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|check| check["took_ms"].as_f64())
        .fold(0.0, f64::max);
    assert!(slowest < 20.0 * 50.0, "{reply:#}");
    let sequences = check(&mut session, "sequences");
    assert_eq!(
        (&sequences["status"], &sequences["reason"]),
        (&"unknown".into(), &"somebody is changing public.s".into())
    );
    let twice = check(&mut session, "duplicate_indexes");
    assert_eq!(twice["status"], "unknown", "{twice:#}");
    assert!(twice["reason"].as_str().is_some_and(|reason| reason.contains("55P03")), "{twice:#}");
    assert_eq!(twice["remedy"], "SELECT foreman.refresh_health('duplicate_indexes');");
    assert_eq!(check(&mut session, "growing_tables")["status"], "pass");

    for session in [&mut locking, &mut altering, &mut catalog] {
        session.run("ROLLBACK");
    }
    remedy(&mut session, &twice);
    remedy(&mut session, &sequences);
    for name in ["sequences", "duplicate_indexes"] {
        assert_eq!(check(&mut session, name)["status"], "pass");
    }
}

#[test]
fn what_was_measured_long_ago_is_unknown_and_where_nothing_was_measured_too() {
    let db = quiet().database();
    let mut session = db.session();
    assert_eq!(session.call("db_health()")["complete"], true);
    session.run("UPDATE foreman.slow_finding SET measured_at = measured_at - interval '1 hour'");
    let old = check(&mut session, "bloat");
    assert_eq!((&old["status"], &old["value"]), (&"unknown".into(), &Value::Null), "{old:#}");
    assert!(old["reason"].as_str().is_some_and(|reason| reason.contains("not since")), "{old:#}");
    assert_eq!(session.call("db_health()")["complete"], false);
    session.run("DELETE FROM foreman.slow_finding");
    let missing = check(&mut session, "bloat");
    assert!(missing["reason"].as_str().is_some_and(|reason| reason.contains("not measured it yet")), "{missing:#}");
    remedy(&mut session, &missing);
    assert_eq!(session.call("db_health()")["complete"], true);
}

#[test]
fn a_bad_name_is_told_which_there_are_and_one_check_is_measured_alone() {
    let db = quiet().database();
    let mut session = db.session();
    session.call("refresh_health('horizon')").failed_with("INVALID_PARAMS");
    session.run("DELETE FROM foreman.slow_finding");
    session.call("refresh_health('bloat')").succeeded();
    assert_eq!(session.one::<String>("SELECT string_agg(name, ' ') FROM foreman.slow_finding", &[]), "bloat");
}

#[test]
fn the_background_worker_measures_all_of_them_by_itself_and_again() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'pg_foreman'",
        "foreman.upkeep_interval = 200ms",
        "foreman.slow_check_interval = 0",
    ]);
    let db = cluster.empty_database();
    let mut session = db.session();
    session.run("CREATE EXTENSION pg_foreman");
    session.call("configure_queue('q')").succeeded();
    let slow = "SELECT count(*) FROM foreman.health_thresholds WHERE tier = 'slow'";
    let all: i64 = session.one(slow, &[]);
    let measured =
        "SELECT count(*) = $1 FROM foreman.slow_finding WHERE reason IS NULL AND measured_at >= $2::text::timestamptz";
    wait_until("all slow checks", || session.one(measured, &[&all, &"-infinity"]));
    let now: String = session.one("SELECT clock_timestamp()::text", &[]);
    wait_until("them again", || session.one(measured, &[&all, &now]));
    // As often as there is a visit, which is not so often that nothing is ever known.
    wait_until("what was measured to count", || check(&mut session, "bloat")["status"] == "pass");
}

#[test]
fn a_standby_shows_what_its_primary_has_measured() {
    let cluster = Cluster::start(&[]);
    let standby = cluster.standby(&[]);
    let db = cluster.database();
    let mut session = db.session();
    session.run("CREATE SEQUENCE s AS smallint; SELECT setval('s', 30000)");
    only_alarm(&mut session, "sequences");
    standby.catch_up_with(&cluster);
    let mut there = standby.existing_database(db.name()).session();
    assert_eq!(alarms(&mut there), ["sequences"]);
    there.call("refresh_health()").failed_with("READ_ONLY");
}
