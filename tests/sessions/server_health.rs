//! Faults of the server itself, made for real: the check that is there for it warns, names what is at fault, and is content
//! once that is put right by its remedy; no other check warns.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use foreman_tests::{Cluster, Reply, Session, Value, process, sqlstate, wait_until};

/// A check's row.
#[track_caller]
pub fn check(session: &mut Session, name: &str) -> Value {
    session.one("SELECT to_jsonb(c) FROM foreman.health_checks AS c WHERE c.name = $1", &[&name])
}

/// The checks that warn or fail.
#[track_caller]
pub fn alarms(session: &mut Session) -> Vec<String> {
    with_status(session, "warn,fail")
}

/// The checks that have one of these statuses.
#[track_caller]
fn with_status(session: &mut Session, statuses: &str) -> Vec<String> {
    session.one(
        "SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM foreman.health_checks
          WHERE status = ANY (string_to_array($1, ','))",
        &[&statuses],
    )
}

/// Waits until these checks warn or fail, and no other.
#[track_caller]
pub fn await_alarms(session: &mut Session, expected: &[&str]) {
    wait_until(&format!("alarms {expected:?}, and no others"), || alarms(session) == expected);
}

/// Configures a check.
#[track_caller]
pub fn configure(session: &mut Session, check: &str, what: &str) {
    session.call(&format!("configure_check('{check}', {what})")).succeeded();
}

/// The check's text names what is at fault.
#[track_caller]
pub fn assert_names(check: &Value, what: &str) {
    assert!(check["meaning"].as_str().is_some_and(|meaning| meaning.contains(what)), "{what} in {check:#}");
}

/// Runs the check's remedy, as somebody would who pastes it.
#[track_caller]
pub fn remedy(session: &mut Session, check: &Value) {
    let remedy = check["remedy"].as_str().unwrap_or_else(|| panic!("a remedy in {check:#}"));
    session.run(remedy);
}

/// Has the server write WAL, and begin a new file.
pub fn write_wal(session: &mut Session) {
    session.run("SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()");
}

#[test]
fn of_a_server_that_is_well_everything_is_known() {
    let cluster = Cluster::start(&[]);
    let standby = cluster.standby(&[]);
    let db = cluster.database();
    assert_eq!(with_status(&mut db.session(), "warn,fail,unknown"), [""; 0]);
    standby.catch_up_with(&cluster);
    assert_eq!(with_status(&mut standby.existing_database(db.name()).session(), "warn,fail,unknown"), [""; 0]);
}

#[test]
fn a_slot_that_nobody_reads_from_is_named_and_its_remedy_drops_it() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut session = db.session();
    assert_eq!(alarms(&mut session), [""; 0]);
    configure(&mut session, "inactive_slots", "warn => 16000000");
    // A new slot begins at the last checkpoint.
    session.run("CHECKPOINT");
    session.run("SELECT pg_create_physical_replication_slot('left_behind', true)");
    assert_eq!(alarms(&mut session), [""; 0]);
    write_wal(&mut session);
    write_wal(&mut session);

    assert_eq!(alarms(&mut session), ["inactive_slots"]);
    let found = check(&mut session, "inactive_slots");
    assert_names(&found, "left_behind");
    assert_eq!(found["subjects"][0]["slot"], "left_behind", "{found:#}");
    // That nothing bounds it is said as advice.
    let advice = check(&mut session, "configuration");
    assert_eq!(
        (&advice["status"], &advice["subjects"][0]["setting"]),
        (&"pass".into(), &"max_slot_wal_keep_size".into())
    );
    remedy(&mut session, &found);
    assert_eq!(alarms(&mut session), [""; 0]);
    assert_eq!(check(&mut session, "configuration")["subjects"], Value::Null);
}

#[test]
fn a_slot_that_comes_near_its_limit_is_named_and_so_is_one_that_is_lost() {
    let cluster = Cluster::start(&["max_slot_wal_keep_size = 64MB"]);
    let db = cluster.database();
    let mut session = db.session();
    session.run("SELECT pg_create_physical_replication_slot('slow', true)");
    // Only a checkpoint removes what is beyond the limit.
    for (expected, next) in [("slot_room", "SELECT 1"), ("lost_slots", "CHECKPOINT")] {
        let mut files = 0;
        wait_until(expected, || {
            write_wal(&mut session);
            session.run(next);
            files += 1;
            files > 20 || alarms(&mut session) == [expected]
        });
        assert_eq!(alarms(&mut session), [expected]);
        assert_names(&check(&mut session, expected), "'slow'");
    }
    let found = check(&mut session, "lost_slots");
    remedy(&mut session, &found);
    assert_eq!(alarms(&mut session), [""; 0]);
}

#[test]
fn a_replay_that_is_paused_is_told_on_the_standby_and_what_waits_for_it_on_the_primary() {
    let primary = Cluster::start(&[]);
    let standby = primary.standby(&[]);
    let db = primary.database();
    let mut session = db.session();
    standby.catch_up_with(&primary);
    let mut there = standby.existing_database(db.name()).session();
    assert_eq!((alarms(&mut session), alarms(&mut there)), (vec![], vec![]));
    assert_eq!(check(&mut session, "recovery_paused")["status"], "skipped");
    // An idle primary has no standby that is late, however long ago the last change was.
    assert_eq!(check(&mut there, "replication_delay")["value"], 0);

    there.run("SELECT pg_wal_replay_pause()");
    wait_until("the replay to pause", || there.one("SELECT pg_get_wal_replay_pause_state() = 'paused'", &[]));
    configure(&mut session, "replication_backlog", "warn => 1");
    write_wal(&mut session);
    await_alarms(&mut session, &["replication_backlog"]);
    assert_names(&check(&mut session, "replication_backlog"), "walreceiver");
    wait_until("the WAL to arrive", || there.one("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()", &[]));
    assert_eq!(alarms(&mut there), ["recovery_paused"]);
    assert!(check(&mut there, "replication_backlog")["value"].as_f64().is_some_and(|bytes| bytes > 0.0));

    // Who may not see the replication of others is told so, and not that all is well.
    session.run("CREATE ROLE watcher");
    session.call("grant_access('watcher', 'monitor')").succeeded();
    session.run("SET ROLE watcher");
    let hidden = check(&mut session, "replication_backlog");
    assert_eq!(
        (&hidden["status"], &hidden["remedy"]),
        (&"unknown".into(), &"GRANT pg_monitor TO watcher;".into()),
        "{hidden:#}"
    );
    session.run("RESET ROLE; GRANT pg_monitor TO watcher; SET ROLE watcher");
    assert_eq!(check(&mut session, "replication_backlog")["status"], "warn");
    session.run("RESET ROLE");

    let found = check(&mut there, "recovery_paused");
    remedy(&mut there, &found);
    await_alarms(&mut session, &[]);
    standby.catch_up_with(&primary);
    assert_eq!(check(&mut there, "recovery_paused")["status"], "pass");
}

#[test]
fn a_standby_whose_replay_a_query_holds_up_is_late_here_and_there() {
    let primary = Cluster::start(&[]);
    // A standby calls itself by its cluster_name.
    let standby = primary.standby(&[
        "cluster_name = reports",
        "max_standby_streaming_delay = -1",
        "wal_receiver_status_interval = 1s",
    ]);
    let db = primary.database();
    let mut session = db.session();
    session.run("CREATE TABLE shop (n int)");
    configure(&mut session, "replication_delay", "warn => 1.5");
    standby.catch_up_with(&primary);
    let mut there = standby.existing_database(db.name()).session();
    let mut query = standby.existing_database(db.name()).session();
    assert_eq!((alarms(&mut session), alarms(&mut there)), (vec![], vec![]));
    query.run("BEGIN; SELECT count(*) FROM shop");

    session.run("TRUNCATE shop");
    await_alarms(&mut session, &["replication_delay"]);
    await_alarms(&mut there, &["replication_delay"]);
    let found = check(&mut session, "replication_delay");
    assert_names(&found, "reports");
    assert_names(&check(&mut there, "replication_delay"), "this server");
    // Its remedy shows which one it is, and what it is doing.
    let shows = found["remedy"].as_str().expect("a remedy");
    let row = session.query_one(shows, &[]).expect("one standby");
    assert_eq!((row.get("standby"), row.get("state")), ("reports", "streaming"));
    assert!(row.get::<_, f64>("delay_seconds") >= 1.5 && row.get::<_, f64>("behind_bytes") > 0.0);

    query.run("COMMIT");
    await_alarms(&mut session, &[]);
    await_alarms(&mut there, &[]);
}

#[test]
fn a_synchronous_standby_that_is_not_there_is_told_while_commits_wait_for_it() {
    let primary = Cluster::start(&[]);
    let standby = primary.standby(&["cluster_name = reports"]);
    let db = primary.database();
    let mut session = db.session();
    session.run("CREATE TABLE kept (n int)");
    standby.catch_up_with(&primary);
    let wants = |session: &mut Session, names: &str| {
        session.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        session.run("SELECT pg_reload_conf()");
    };
    wants(&mut session, "reports");
    wait_until("the standby to be one that commits wait for", || {
        let found = check(&mut session, "synchronous_standbys");
        found["meaning"] == "All standbys that commits wait for are there: 1."
    });
    wants(&mut session, "ANY 2 (reports, other)");
    await_alarms(&mut session, &["synchronous_standbys"]);
    let waiting = db.session().background(|s| s.run("INSERT INTO kept VALUES (1)"));
    let waits = format!("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {}", waiting.pid);
    wait_until("a commit that waits", || session.one::<Option<bool>>(&waits, &[]) == Some(true));
    let found = check(&mut session, "synchronous_standbys");
    assert_eq!((&found["status"], &found["value"]), (&"fail".into(), &1.into()), "{found:#}");
    assert_names(&found, "1 are there, of 2");
    remedy(&mut session, &found);
    session.run("SELECT pg_reload_conf()");
    waiting.finish();
    await_alarms(&mut session, &[]);
}

#[test]
fn a_standby_that_takes_no_wal_is_named_by_what_it_has_not_replayed() {
    let primary = Cluster::start(&[]);
    let standby = primary.standby(&["cluster_name = reports"]);
    let db = primary.database();
    let mut session = db.session();
    configure(&mut session, "replication_backlog", "warn => 16000000");
    standby.catch_up_with(&primary);
    let mut there = standby.existing_database(db.name()).session();
    let receiver: i32 = there.one("SELECT pid FROM pg_stat_wal_receiver", &[]);
    process::signal("STOP", &[receiver as u32]);
    assert_eq!(alarms(&mut session), [""; 0]);
    // Two files of 16 MB.
    write_wal(&mut session);
    write_wal(&mut session);
    assert_eq!(alarms(&mut session), ["replication_backlog"]);
    assert_names(&check(&mut session, "replication_backlog"), "reports");
    // What it never got it does not know of.
    assert_eq!(alarms(&mut there), [""; 0]);
    process::signal("CONT", &[receiver as u32]);
    await_alarms(&mut session, &[]);
}

#[test]
fn an_archive_that_takes_nothing_is_told_with_the_file_that_waits() {
    let cluster = Cluster::start(&["archive_mode = on", "archive_command = 'false'"]);
    let db = cluster.database();
    let mut session = db.session();
    assert_eq!(alarms(&mut session), [""; 0]);
    configure(&mut session, "archiver", "warn => 0.001");
    write_wal(&mut session);
    await_alarms(&mut session, &["archiver"]);
    // The oldest one: which that is depends on how much initdb has written.
    let file: String = session.one("SELECT last_failed_wal FROM pg_stat_archiver", &[]);
    assert_names(&check(&mut session, "archiver"), &file);

    session.run("ALTER SYSTEM SET archive_command = 'true'");
    session.run("SELECT pg_reload_conf()");
    await_alarms(&mut session, &[]);
    let without = Cluster::shared().database();
    assert_eq!(check(&mut without.session(), "archiver")["reason"], "this server archives no WAL");
}

#[test]
fn a_standby_archives_what_it_gets_only_where_it_always_does() {
    let primary = Cluster::start(&[]);
    let db = primary.database();
    let mut session = db.session();
    configure(&mut session, "archiver", "warn => 0.001");
    let on = primary.standby(&["archive_mode = on", "archive_command = 'false'"]);
    let always = primary.standby(&["archive_mode = always", "archive_command = 'false'"]);
    write_wal(&mut session);
    for standby in [&on, &always] {
        standby.catch_up_with(&primary);
    }
    let mut there = always.existing_database(db.name()).session();
    wait_until("an archiving to fail", || there.one("SELECT failed_count > 0 FROM pg_stat_archiver", &[]));
    assert_eq!(check(&mut there, "archiver")["status"], "warn");
    let mut there = on.existing_database(db.name()).session();
    assert_eq!(check(&mut there, "archiver")["reason"], "this server archives no WAL");
}

#[test]
fn settings_that_are_off_are_named_and_their_remedy_switches_them_on() {
    let cluster = Cluster::start(&["autovacuum = off"]);
    let db = cluster.database();
    let mut session = db.session();
    assert_eq!(alarms(&mut session), ["configuration"]);
    let found = check(&mut session, "configuration");
    assert_names(&found, "autovacuum is off");
    remedy(&mut session, &found);
    session.run("SELECT pg_reload_conf()");
    await_alarms(&mut session, &[]);
    // What one session has set for itself is nobody else's trouble.
    session.run("SET track_activities = off; SET track_counts = off");
    let found = check(&mut session, "configuration");
    assert_eq!(found["status"], "pass", "{found:#}");
    session.run("RESET ALL");
    session.run("ALTER SYSTEM SET max_connections = 150");
    session.run("SELECT pg_reload_conf()");
    wait_until("the advice", || {
        let found = check(&mut session, "configuration");
        found["status"] == "pass" && found["subjects"][0]["setting"] == "max_connections"
    });
}

#[test]
fn a_setting_that_a_server_was_started_with_is_told_as_well() {
    for off in ["track_counts", "track_activities"] {
        let cluster = Cluster::start(&[&format!("{off} = off")]);
        let found = check(&mut cluster.database().session(), "configuration");
        assert_eq!(found["status"], "warn", "{found:#}");
        assert_names(&found, &format!("{off} is off"));
    }
}

#[test]
fn a_cluster_that_a_crash_can_destroy_is_degraded() {
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut session = db.session();
    configure(&mut session, "durability", "enabled => true");
    for off in ["fsync, full_page_writes", "full_page_writes"] {
        assert_eq!(alarms(&mut session), ["durability"]);
        let found = check(&mut session, "durability");
        assert_names(&found, off);
        remedy(&mut session, &found);
        session.run("SELECT pg_reload_conf()");
        wait_until("the setting", || check(&mut session, "durability")["meaning"] != found["meaning"]);
    }
    assert_eq!(alarms(&mut session), [""; 0]);
    session.run("ALTER SYSTEM SET fsync = off");
    session.run("SELECT pg_reload_conf()");
    await_alarms(&mut session, &["durability"]);
    assert_names(&check(&mut session, "durability"), "Off: fsync.");
}

/// A small file system of its own, gone with the test.
struct SmallDisk(PathBuf);

/// A program as root, whose right it is to mount.
fn as_root(program: &str) -> Command {
    let we_are_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if we_are_root {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

impl SmallDisk {
    fn new() -> Self {
        let path = PathBuf::from(format!("/tmp/foreman-disk.{}", std::process::id()));
        fs::create_dir(&path).expect("a folder can be made");
        let mounted = as_root("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs"]).arg(&path).status();
        assert!(mounted.is_ok_and(|status| status.success()), "it takes root or sudo to mount a file system");
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing to be done about one that stays, and a Drop must not panic.
        let _ = as_root("umount").arg("--lazy").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_disk_that_is_full_is_named_by_the_tablespace_on_it() {
    let disk = SmallDisk::new();
    let cluster = Cluster::start(&[]);
    let db = cluster.database();
    let mut session = db.session();
    let folder = disk.0.join("space");
    let made = foreman_tests::as_server_user("mkdir").arg(&folder).status();
    assert!(made.is_ok_and(|status| status.success()));
    session.run(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display()));
    configure(&mut session, "disk_space", "enabled => true, warn => 98, fail => 99.5");
    let filled = "SELECT (s ->> 'percent')::float8 FROM foreman.health_checks,
                  jsonb_array_elements(subjects) AS s WHERE name = 'disk_space' AND s ->> 'place' = 'tablespace small'";
    assert!(session.one::<f64>(filled, &[]) < 50.0);
    assert_eq!(alarms(&mut session), [""; 0]);

    session.run("CREATE TABLE big (filler text) TABLESPACE small; ALTER TABLE big ALTER filler SET STORAGE PLAIN");
    while session.try_run("INSERT INTO big SELECT repeat('x', 7000) FROM generate_series(1, 20)").is_ok() {}
    assert_eq!(alarms(&mut session), ["disk_space"]);
    let found = check(&mut session, "disk_space");
    assert_eq!(found["status"], "fail", "{found:#}");
    assert_names(&found, "tablespace small");
    assert!(!found.to_string().contains(folder.to_str().expect("a path of ASCII")), "{found:#}");

    // A file is gone with the next checkpoint.
    session.run("DROP TABLE big");
    session.run("CHECKPOINT");
    await_alarms(&mut session, &[]);
    session.run("DROP TABLESPACE small");
}

#[test]
fn transactions_that_are_not_frozen_are_told_in_percent_of_where_that_begins() {
    let cluster = Cluster::start(&["autovacuum_freeze_max_age = 100000", "autovacuum_naptime = 1s"]);
    let db = cluster.database();
    let mut session = db.session();
    let mut old = db.session();
    old.run("BEGIN; SELECT pg_current_xact_id()");
    session.run("DO $$ BEGIN FOR n IN 1..160000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
    let found = check(&mut session, "freeze_age");
    assert_eq!(found["status"], "warn", "{found:#}");
    // Where the failsafe begins no later than a twentieth above is the server's rule.
    assert!(check(&mut session, "wraparound")["value"].as_f64().is_some_and(|percent| percent < 80.0));
    assert_eq!(alarms(&mut session), ["freeze_age"]);
    // Nobody keeps the server from it any more, so it does it by itself.
    old.run("COMMIT");
    await_alarms(&mut session, &[]);
}

/// Has the server stand before another transaction number, as after months of work: the first of a file of pg_xact, which
/// need not be there then.
#[track_caller]
fn leap_to(cluster: &Cluster, file: u32) {
    cluster.stop("fast");
    let number = (file * (1 << 20)).to_string();
    let leapt = cluster.program("pg_resetwal").args(["-x", &number, "-D"]).arg(cluster.data()).output();
    let leapt = leapt.expect("pg_resetwal runs");
    assert!(leapt.status.success(), "{}", String::from_utf8_lossy(&leapt.stderr));
    cluster.start_again();
}

#[test]
fn a_server_that_nears_wraparound_is_told_database_by_database_until_all_are_frozen() {
    // The server would freeze by itself, had its launcher not just begun a nap.
    let cluster = Cluster::start(&["autovacuum_naptime = 1d"]);
    let name = cluster.database().name().to_owned();
    // The failsafe begins at 1.6 thousand millions, which are 1,526 files.
    for (file, status, word) in [(1_300, "warn", "degraded"), (1_600, "fail", "unhealthy")] {
        leap_to(&cluster, file);
        let mut session = cluster.existing_database(&name).session();
        assert_eq!(alarms(&mut session), ["freeze_age", "wraparound"]);
        assert_eq!(check(&mut session, "wraparound")["status"], status);
        let health = session.call("db_health()");
        assert_eq!(health["status"], word, "{health:#}");
        // It is one trouble.
        let [warning] = health["warnings"].as_array().expect("warnings").as_slice() else {
            panic!("one warning in {health:#}")
        };
        let told = warning.as_str().expect("a text");
        assert!(told.starts_with("wraparound: ") && told.contains(" → freeze_age: "), "{told}");
    }
    let mut session = cluster.existing_database(&name).session();
    let mut frozen = Vec::new();
    while alarms(&mut session) == ["freeze_age", "wraparound"] && frozen.len() < 10 {
        let found = check(&mut session, "wraparound");
        let worst = found["subjects"][0]["database"].as_str().expect("a database").to_owned();
        assert_names(&found, &format!("in database {worst}:"));
        assert!(found["remedy"].as_str().is_some_and(|remedy| remedy.contains(&worst)), "{found:#}");
        // In template0, where nobody may go, nothing can be done before that is allowed.
        let mut there = cluster.try_session(&worst).unwrap_or_else(|_| cluster.existing_database(&name).session());
        remedy(&mut there, &found);
        frozen.push(worst);
    }
    assert_eq!(alarms(&mut session), [""; 0], "after {frozen:?}");
    assert!(frozen.contains(&name), "{frozen:?}");
}

#[test]
fn a_damaged_page_is_told_once_it_is_read_and_until_that_is_acknowledged() {
    let cluster = Cluster::start_with_checksums(&[]);
    let name = cluster.database().name().to_owned();
    let mut session = cluster.existing_database(&name).session();
    session.run("CREATE TABLE precious AS SELECT repeat('x', 100) AS filler FROM generate_series(1, 100)");
    let file: String = session.one("SELECT pg_relation_filepath('precious')", &[]);
    let file = cluster.data().join(file);
    cluster.stop("fast");
    let mut pages = fs::read(&file).expect("the table's file can be read");
    // Within a row of the first page, as they are put there from its end.
    pages[8_000] ^= 1;
    fs::write(&file, pages).expect("the table's file can be written");
    cluster.start_again();

    let mut session = cluster.existing_database(&name).session();
    assert_eq!(check(&mut session, "checksum_failures")["value"], 0);
    assert_eq!(alarms(&mut session), [""; 0]);
    let error = session.try_run("SELECT count(filler) FROM precious").expect_err("a damaged page");
    assert_eq!(sqlstate(&error), "XX001");
    assert_eq!(alarms(&mut session), ["checksum_failures"]);
    let found = check(&mut session, "checksum_failures");
    assert_names(&found, &format!("read in {name},"));
    assert_eq!((&found["value"], &found["subjects"][0]["database"]), (&1.into(), &name.as_str().into()), "{found:#}");

    // From a backup it would be restored. What was counted stays, and so has to be acknowledged.
    session.run("DROP TABLE precious");
    assert_eq!(alarms(&mut session), ["checksum_failures"]);
    remedy(&mut session, &found);
    assert_eq!(alarms(&mut session), [""; 0]);
}
