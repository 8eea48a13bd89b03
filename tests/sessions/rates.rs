//! Rates are told of what counters grew by between two readings, and of nothing else.

use foreman_tests::{Cluster, Crossing, Reply, Session, server_version, sqlstate, wait_until};

use crate::floors::{a_thousand, claimed, write_by_hand};
use crate::look_back::looks_back;
use crate::server_health::{alarms, assert_names, await_alarms, check, configure, remedy, write_wal};

/// A server whose readings follow each other fast, and are taken by who asks alone.
const SAMPLED: [&str; 3] =
    ["shared_preload_libraries = 'pg_foreman'", "foreman.max_workers = 0", "foreman.sample_interval = 100ms"];

fn sampled() -> Cluster {
    Cluster::start(&SAMPLED)
}

/// Resets the statistics of checkpoints, which 17 keeps apart.
fn forget_checkpoints(session: &mut Session) {
    let what = if server_version() >= 17 { "checkpointer" } else { "bgwriter" };
    session.run(&format!("SELECT pg_stat_reset_shared('{what}')"));
}

#[test]
fn a_rate_takes_two_readings_and_begins_anew_with_the_statistics() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "rollbacks", "enabled => true");
    let first = check(&mut session, "rollbacks");
    assert_eq!(first["status"], "unknown", "{first:#}");
    assert!(first["reason"].as_str().is_some_and(|reason| reason.contains("second reading")), "{first:#}");
    wait_until("a rate", || check(&mut session, "rollbacks")["status"] == "pass");

    // What the server has counted before says nothing.
    let mut failing = db.session();
    for _ in 0..200 {
        failing.run("BEGIN; SELECT 1; ROLLBACK");
    }
    drop(failing);
    await_alarms(&mut session, &["rollbacks"]);
    assert_names(&check(&mut session, "rollbacks"), "rolled back");
    wait_until("it to be over", || check(&mut session, "rollbacks")["status"] == "pass");

    session.run("SELECT pg_stat_reset()");
    wait_until("the reset to be seen", || check(&mut session, "rollbacks")["status"] == "unknown");
    wait_until("a rate again", || check(&mut session, "rollbacks")["status"] == "pass");
    forget_checkpoints(&mut session);
    wait_until("the server's reset to be seen", || check(&mut session, "rollbacks")["status"] == "unknown");
}

#[test]
fn a_crash_forgets_all_readings() {
    let cluster = sampled();
    let db = cluster.database();
    let name = db.name().to_owned();
    configure(&mut db.session(), "deadlocks", "enabled => true");
    let mut session = db.session();
    wait_until("a rate", || check(&mut session, "deadlocks")["status"] == "pass");
    cluster.kill();
    cluster.start_again();
    let mut session = cluster.existing_database(&name).session();
    assert_eq!(check(&mut session, "deadlocks")["status"], "unknown");
    wait_until("a rate again", || check(&mut session, "deadlocks")["status"] == "pass");
}

#[test]
fn leases_that_are_taken_back_and_jobs_that_nobody_takes_are_told_as_rates() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    for name in ["rescued_jobs", "unworked_jobs"] {
        configure(&mut session, name, "enabled => true");
        wait_until("a rate", || check(&mut session, name)["status"] == "pass");
    }
    session.call("create_job('mail')").succeeded();
    session.call("claim_jobs('mail', lease_seconds => 0.1)").succeeded();
    let mut rescued = 0;
    wait_until("the rescue", || {
        rescued += session.call("rescue_expired()").succeeded()["rescued"].as_i64().unwrap_or_default();
        rescued == 1
    });
    await_alarms(&mut session, &["rescued_jobs"]);

    for _ in 0..20 {
        session.call("create_job('mail')").succeeded();
    }
    wait_until("the jobs to be told of", || check(&mut session, "unworked_jobs")["status"] == "warn");
    // Those of a queue that is paused wait because somebody wants it so.
    session.call("pause_queue('mail')").succeeded();
    wait_until("the pause to be seen", || check(&mut session, "unworked_jobs")["status"] == "pass");
}

#[test]
fn a_job_that_only_a_look_back_finds_is_told_of_and_not_for_ever() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "floor_misses", "enabled => true");
    wait_until("a rate", || check(&mut session, "floor_misses")["status"] == "pass");
    a_thousand(&mut session);
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    let by_hand = write_by_hand(&mut session);
    wait_until("the job to be found", || claimed(&mut session, 1) == [by_hand]);
    await_alarms(&mut session, &["floor_misses"]);
    assert_names(&check(&mut session, "floor_misses"), "only by looking back");

    // The counter stays where it is, and only what it grows by is judged.
    assert_eq!(looks_back(&mut session)[1], 1);
    session.run("SELECT pg_stat_reset()");
    wait_until("readings that begin anew", || check(&mut session, "floor_misses")["status"] == "pass");
    assert_eq!(looks_back(&mut session)[1], 1);
}

#[test]
fn the_background_worker_takes_readings_in_each_database() {
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'pg_foreman'",
        "foreman.upkeep_interval = 100ms",
        "foreman.sample_interval = 1s",
    ]);
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "cache_hits", "enabled => true");
    // The worker shows what it does.
    wait_until("the worker to read counters", || {
        session.one("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query = 'read counters' AND datname = current_database())", &[])
    });
    wait_until("a rate", || check(&mut session, "cache_hits")["status"] == "pass");
    assert!(cluster.log().iter().all(|entry| !entry.text.contains("reading counters failed")));
}

#[test]
fn without_preload_rates_are_unknown_and_say_what_would_show_them() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    configure(&mut session, "deadlocks", "enabled => true");
    let found = check(&mut session, "deadlocks");
    assert_eq!(found["status"], "unknown", "{found:#}");
    assert!(found["remedy"].as_str().is_some_and(|remedy| remedy.contains("shared_preload_libraries")), "{found:#}");
    assert_eq!(session.call("db_health()")["complete"], false);

    // Of floors that a session has for itself there is nothing to be told.
    configure(&mut session, "floor_misses", "enabled => true");
    let found = check(&mut session, "floor_misses");
    assert_eq!(found["status"], "skipped", "{found:#}");
    assert!(found["reason"].as_str().is_some_and(|reason| reason.contains("preloading")), "{found:#}");
}

#[test]
fn a_deadlock_is_told_as_a_rate() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "deadlocks", "enabled => true");
    wait_until("a rate", || check(&mut session, "deadlocks")["status"] == "pass");
    let cross = |way: &'static str| {
        (db.session(), move |s: &mut Session| s.try_run(&format!("SELECT cross_rows({way})")).is_err())
    };
    let ((one, first_failed), (other, second_failed)) = Crossing::of(&db).collide(cross("1, 2"), cross("2, 1"));
    assert!(first_failed != second_failed);
    // What a session has counted is told when it ends, if not before.
    drop((one, other));
    await_alarms(&mut session, &["deadlocks"]);
    assert_names(&check(&mut session, "deadlocks"), "Deadlocks");
}

#[test]
fn temporary_files_are_told_as_a_rate() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "temp_files", "enabled => true, warn => 1000000");
    wait_until("a rate", || check(&mut session, "temp_files")["status"] == "pass");
    let mut sorting = db.session_with(&[("work_mem", "64kB")]);
    sorting.run("SELECT n FROM generate_series(1, 100000) AS n ORDER BY md5(n::text) OFFSET 99999");
    // What a session has counted is told when it ends, if not before.
    drop(sorting);
    await_alarms(&mut session, &["temp_files"]);
    let found = check(&mut session, "temp_files");
    assert_names(&found, "Written to temporary files");
    // What it says has the server's log name the statements.
    remedy(&mut session, &found);
    session.run("SELECT pg_reload_conf()");
    wait_until("the setting", || session.one::<String>("SHOW log_temp_files", &[]) == "100MB");
    await_alarms(&mut session, &[]);
}

#[test]
fn what_a_scan_reads_past_the_cache_is_told_as_a_rate() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    // More than a quarter of shared_buffers: a scan keeps what it reads in a corner of them.
    session.run("CREATE TABLE big AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, 24000)");
    configure(&mut session, "cache_hits", "enabled => true");
    wait_until("a rate", || check(&mut session, "cache_hits")["status"] == "pass");
    let mut scanning = db.session();
    scanning.run("SELECT count(*) FROM big");
    // What a session has counted is told when it ends, if not before.
    drop(scanning);
    await_alarms(&mut session, &["cache_hits"]);
    assert_names(&check(&mut session, "cache_hits"), "had to be read");
    await_alarms(&mut session, &[]);
}

#[test]
fn checkpoints_that_wal_asks_for_before_their_time_are_told_until_it_has_more_room() {
    // Each file of WAL is reason enough for one, which is not drawn out.
    let mut lines = SAMPLED.to_vec();
    lines.extend(["max_wal_size = 32MB", "checkpoint_completion_target = 0"]);
    let cluster = Cluster::start(&lines);
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "requested_checkpoints", "enabled => true");
    wait_until("a rate", || check(&mut session, "requested_checkpoints")["status"] == "pass");
    wait_until("checkpoints to be told of", || {
        write_wal(&mut session);
        alarms(&mut session) == ["requested_checkpoints"]
    });
    let found = check(&mut session, "requested_checkpoints");
    assert_names(&found, "before their time, 0 at it");
    assert!(found["remedy"].as_str().is_some_and(|remedy| remedy.contains("max_wal_size")), "{found:#}");

    session.run("ALTER SYSTEM SET max_wal_size = '1GB'");
    session.run("SELECT pg_reload_conf()");
    wait_until("the setting", || session.one::<String>("SHOW max_wal_size", &[]) == "1GB");
    // Two hours of readings are not waited for.
    forget_checkpoints(&mut session);
    wait_until("a rate again", || check(&mut session, "requested_checkpoints")["status"] == "pass");
    for _ in 0..10 {
        write_wal(&mut session);
        assert_eq!(alarms(&mut session), [""; 0]);
    }
}

#[test]
fn queries_that_the_replay_has_cancelled_are_told_on_the_standby() {
    let primary = sampled();
    let standby = primary.standby(&["max_standby_streaming_delay = 10ms", "hot_standby_feedback = off"]);
    let db = primary.database();
    let mut session = db.session();
    configure(&mut session, "standby_conflicts", "enabled => true");
    session.run("CREATE TABLE shop AS SELECT generate_series(1, 100) AS n");
    standby.catch_up_with(&primary);
    let there = standby.existing_database(db.name());
    let mut asking = there.session();
    wait_until("a rate", || check(&mut asking, "standby_conflicts")["status"] == "pass");
    assert_eq!(check(&mut session, "standby_conflicts")["reason"], "this server is no standby");

    let query = there.session().background(|s| s.try_run("SELECT pg_sleep(60) FROM shop"));
    there.await_asleep(query.pid);
    session.run("DELETE FROM shop WHERE n % 2 = 0");
    session.run("VACUUM shop");
    let (query, outcome) = query.finish();
    assert_eq!(sqlstate(&outcome.expect_err("cancelled by the replay")), "40001");
    // What a session has counted is told when it ends, if not before.
    drop(query);
    await_alarms(&mut asking, &["standby_conflicts"]);
    let found = check(&mut asking, "standby_conflicts");
    assert_names(&found, "minutes: 1.");
    // What it says tells which kind of conflict it was.
    let shows = found["remedy"].as_str().expect("a remedy");
    let row = asking.query_one(shows, &[]).expect("a row for this database");
    assert_eq!(row.get::<_, i64>("confl_snapshot"), 1);
    await_alarms(&mut asking, &[]);
}

#[test]
fn what_sessions_wait_for_is_told_as_an_average_of_readings() {
    let cluster = sampled();
    let db = cluster.database();
    let mut session = db.session();
    session.run("CREATE TABLE pinned AS SELECT 1 AS n");
    configure(&mut session, "wait_events", "enabled => true, warn => 0.5");
    wait_until("a rate", || check(&mut session, "wait_events")["status"] == "pass");
    // Who has read half of a page keeps VACUUM from freezing it.
    let mut reading = db.session();
    reading.run("BEGIN; DECLARE reader CURSOR FOR SELECT * FROM pinned; FETCH 1 FROM reader");
    let freezing = db.session().background(|s| s.try_run("VACUUM (FREEZE) pinned"));
    await_alarms(&mut session, &["wait_events"]);
    assert_names(&check(&mut session, "wait_events"), "lightweight locks");
    reading.run("ROLLBACK");
    freezing.finish().1.expect("VACUUM goes on");
    wait_until("it to be over", || check(&mut session, "wait_events")["status"] == "pass");
}
