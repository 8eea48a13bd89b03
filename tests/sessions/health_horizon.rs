//! Who keeps VACUUM from removing dead rows: told by the one who can be ended, and where it counts.

use crate::health_faults::{alarms, asking, await_alarms, check, cure, one_warning, use_up_transactions};
use foreman_tests::{Cluster, Session, Value, wait_until};

/// The view's rows, each as its holder and whether it echoes another.
fn holders(session: &mut Session) -> Vec<(String, bool)> {
    let rows = session.query("SELECT holder, is_echo FROM foreman.horizon", &[]).expect("the view can be read");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn a_standbys_query_pins_by_its_slot_which_is_no_more_than_an_echo_beside_a_session_that_is_as_old() {
    let primary = Cluster::start(&["wal_level = replica"]);
    let db = primary.database();
    let mut asking = asking(&db, &[("horizon", 20.0)]);
    asking.run("SELECT pg_create_physical_replication_slot('stby')");
    let standby = primary.standby(&[
        "primary_slot_name = 'stby'",
        "hot_standby_feedback = on",
        "wal_receiver_status_interval = 1",
    ]);
    standby.catch_up_with(&primary);
    let slot = || ("slot stby".to_owned(), false);

    // A session of the standby is what holds it: here it is the slot's.
    let mut query = standby.existing_database(db.name()).session();
    query.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    wait_until("the feedback", || {
        use_up_transactions(&mut asking);
        holders(&mut asking) == [slot()] && alarms(&asking.call("db_health()")) == ["horizon"]
    });
    let health = asking.call("db_health()");
    one_warning(&health, "horizon", "slot stby", &[]);

    // An older one here, of which the standby's is an echo once its own has ended.
    let mut session = db.session();
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class; SELECT txid_current()");
    use_up_transactions(&mut asking);
    standby.catch_up_with(&primary);
    query.run("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    let pid = format!("pid {}", session.pid());
    wait_until("the echo", || {
        use_up_transactions(&mut asking);
        holders(&mut asking) == [(pid.clone(), false), ("slot stby".to_owned(), true)]
    });
    one_warning(&asking.call("db_health()"), "horizon", &pid, &[]);
    session.run("COMMIT");
    query.run("COMMIT");

    // A slot whose standby is gone for good.
    query.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    wait_until("the feedback", || {
        use_up_transactions(&mut asking);
        alarms(&asking.call("db_health()")) == ["horizon"]
    });
    drop(query);
    standby.stop("immediate");
    wait_until("the slot to be inactive", || db.see("SELECT NOT active FROM pg_replication_slots"));
    let health = await_alarms(&mut asking, &["horizon"]);
    cure(&mut asking, &health, "horizon");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM pg_replication_slots"), 0);
}

#[test]
fn a_parallel_worker_holds_what_its_session_holds_and_is_not_told_beside_it() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("horizon", 20.0)]);
    asking.run("CREATE TABLE slept AS SELECT 1 AS n");
    let mut session = db.session();
    let leader = session.pid();
    // The setting's name changed with PostgreSQL 16.
    session.run(
        "SELECT set_config(name, 'on', false) FROM pg_settings
         WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
    );
    let running = session.background(|session| session.try_run("SELECT pg_sleep(60) FROM slept").is_err());
    wait_until("the worker", || {
        db.see(&format!(
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE leader_pid = {leader} AND wait_event = 'PgSleep'"
        ))
    });
    use_up_transactions(&mut asking);
    assert_eq!(holders(&mut asking), [(format!("pid {leader}"), false)]);
    let health = await_alarms(&mut asking, &["horizon"]);
    cure(&mut asking, &health, "horizon");
    assert!(running.finish().1, "the remedy cancels the statement");
}

#[test]
fn autovacuums_own_snapshot_is_told_and_nobody_is_to_end_it() {
    let cluster = Cluster::start(&["autovacuum_naptime = '1s'"]);
    let db = cluster.database();
    let mut asking = asking(&db, &[("horizon", 20.0)]);
    asking.run(
        "CREATE TABLE large WITH (autovacuum_analyze_threshold = 1, autovacuum_vacuum_insert_threshold = -1,
                                  autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
             AS SELECT n FROM generate_series(1, 200000) AS n",
    );
    let mut worker = None;
    wait_until("autovacuum's ANALYZE", || {
        let found = asking.query_opt(
            "SELECT pid FROM pg_stat_activity WHERE query = 'autovacuum: ANALYZE public.large' AND backend_xmin IS NOT NULL",
            &[],
        );
        worker = found.expect("pg_stat_activity can be read").map(|row| row.get::<_, i32>(0));
        worker.is_some()
    });
    use_up_transactions(&mut asking);
    let health = await_alarms(&mut asking, &["horizon"]);
    let found = check(&health, "horizon");
    let pid = format!("pid {}", worker.expect("found above"));
    assert!(found["meaning"].as_str().expect("a text").starts_with(&pid), "{found:#}");
    assert_eq!(found["remedy"], Value::Null, "{found:#}");
}

#[test]
fn a_vacuum_keeps_no_other_from_removing_rows_and_is_not_told() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut asking = db.session();
    asking.run("CREATE TABLE large AS SELECT n FROM generate_series(1, 100000) AS n");
    let mut session = db.session();
    session.run("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1");
    let vacuum = session.background(|session| session.try_run("VACUUM large").is_err());
    wait_until("its snapshot", || {
        db.see(&format!("SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE pid = {}", vacuum.pid))
    });
    assert_eq!(holders(&mut asking), []);
    asking.run(&format!("SELECT pg_cancel_backend({})", vacuum.pid));
    assert!(vacuum.finish().1, "it was under way");
}

#[test]
fn what_is_held_in_another_database_is_no_alarm_here() {
    let cluster = Cluster::start(&[]);
    let (db, other) = (cluster.database(), cluster.database());
    let mut asking = asking(&db, &[("horizon", 20.0)]);
    let mut elsewhere = other.session();
    elsewhere.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    use_up_transactions(&mut asking);
    let health = await_alarms(&mut asking, &[]);
    assert_eq!(check(&health, "horizon")["value"], 0, "{health:#}");
    assert_eq!(holders(&mut asking), [(format!("pid {}", elsewhere.pid()), false)]);
    let affects: String = asking.one("SELECT affects FROM foreman.horizon", &[]);
    assert_eq!(affects, other.name());
}
