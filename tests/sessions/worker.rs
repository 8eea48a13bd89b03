//! The background worker looks after every database with the extension, by itself and in nobody's way; it comes back
//! after whatever ends it, and does nothing on a standby.

use foreman_tests::postgres::fallible_iterator::FallibleIterator;
use foreman_tests::{Cluster, Database, Reply, Session, wait_until};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PRELOAD: &str = "shared_preload_libraries = 'pg_foreman'";
const OFTEN: &str = "foreman.upkeep_interval = '100ms'";

/// The launcher's process; 0 where there is none.
const LAUNCHER: &str =
    "SELECT coalesce((SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_foreman launcher'), 0)";

/// A server whose worker comes by often.
fn server() -> Cluster {
    Cluster::start(&[PRELOAD, OFTEN])
}

/// A job whose lease has run out without anybody's doing. It is pending again only if somebody rescues it.
fn expired_job(session: &mut Session) -> i64 {
    let job = session.call("create_job('mail')").succeeded().job_id();
    session.call("claim_jobs('mail', lease_seconds => 0.1)").succeeded();
    job
}

#[track_caller]
fn await_rescue(db: &Database, job: i64) {
    let is_pending = format!("SELECT status = 'pending' FROM foreman.jobs WHERE job_id = {job}");
    wait_until("the job to be rescued", || db.see(&is_pending));
}

/// The upkeep works in this database.
#[track_caller]
fn assert_looked_after(db: &Database) {
    let mut session = db.session();
    let job = expired_job(&mut session);
    await_rescue(db, job);
    session.call(&format!("cancel_job({job})")).succeeded();
}

fn kill(signal: &str, pid: i32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill is there").success());
}

#[test]
fn it_rescues_expired_leases_and_wakes_those_who_wait() {
    let cluster = server();
    let db = cluster.database();
    let mut session = db.session();
    let job = expired_job(&mut session);
    session.run("CALL foreman.wait_for_jobs('{mail}', 20)");
    let claimed = session.call("claim_jobs('mail')").succeeded();
    assert_eq!(claimed["jobs"][0]["job_id"], job, "{claimed:#}");
    assert_eq!(claimed["jobs"][0]["error"], "The lease expired.", "{claimed:#}");
}

#[test]
fn it_makes_the_partitions_of_the_days_ahead() {
    let cluster = server();
    let db = cluster.database();
    wait_until("the partitions", || db.see::<i64>("SELECT count(*) FROM foreman.finished_day") == 8);
    let mut session = db.session();
    let job = session.call("create_job('mail')").succeeded().job_id();
    session.call(&format!("update_job_success({job})")).succeeded();
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.finished_rest"), 0);
}

#[test]
fn many_databases_have_their_turn_and_those_without_the_extension_are_left_alone() {
    let cluster = server();
    let databases: Vec<_> = (0..5).map(|_| cluster.database()).collect();
    let empty = cluster.empty_database();
    databases.iter().for_each(assert_looked_after);
    let status = format!("SELECT count(*) FROM foreman.worker_status WHERE database = '{}'", empty.name());
    assert_eq!(databases[0].see::<i64>(&status), 0);
    empty.assert_no_warning_in_the_log();
}

#[test]
fn it_comes_to_a_database_at_once_that_gets_the_extension_and_a_queue() {
    let cluster = Cluster::start(&[PRELOAD]);
    let visited = cluster.database();
    let (empty, mut other) = (cluster.empty_database(), visited.session());
    // It has been to both, and does not come to a database without the extension again for a minute.
    other.call("create_job('mail')").succeeded();
    wait_until("a visit", || visited.see::<bool>("SELECT count(*) > 0 FROM foreman.worker_status"));
    sleep(Duration::from_secs(2));
    let mut session = empty.session();
    session.run("CREATE EXTENSION pg_foreman");
    session.call("create_job('mail')").succeeded();
    let made = "SELECT count(*) FROM foreman.finished_day";
    wait_until("the partitions", || empty.see::<i64>(made) == 8);
}

#[test]
fn its_status_tells_each_step_how_long_it_took_and_what_went_wrong() {
    let cluster = server();
    let db = cluster.database();
    let of_this = format!("FROM foreman.worker_status WHERE database = '{}'", db.name());
    let fine = format!(
        "SELECT coalesce(string_agg(step, ' ' ORDER BY step), '') {of_this}
         AND last_run_at > now() - interval '10 s' AND took_ms > 0 AND runs > 0 AND errors = 0 AND last_error IS NULL
         AND next_visit_at > now() - interval '10 s'"
    );
    let steps = "add_changes close_days count_days drop_partitions look_for_waiters make_partitions move_finished rescue roll_up save_floors sweep \
                 truncate_partitions";
    wait_until("all steps to be told of", || db.see::<String>(&fine) == steps);
    let mut locker = db.session();
    locker.run("BEGIN; LOCK TABLE foreman.finished_swept");
    let postponed =
        format!("SELECT EXISTS (SELECT {of_this} AND step = 'sweep' AND last_error LIKE 'DB_TIMEOUT_ERROR 55P03: %')");
    wait_until("a lock to be told of", || db.see(&postponed));
    // What one step can't have holds up none of the others.
    let job = expired_job(&mut db.session());
    await_rescue(&db, job);
    locker.run("COMMIT");
    let again =
        format!("SELECT EXISTS (SELECT {of_this} AND step = 'sweep' AND last_run_at > last_error_at AND errors > 0)");
    wait_until("the step to succeed again", || db.see(&again));
    assert_eq!(db.session().call("read_worker_status()").succeeded()["enabled"], true);
}

#[test]
fn without_preload_its_status_is_empty_and_says_why() {
    let db = Cluster::shared().database();
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.worker_status"), 0);
    assert_eq!(db.session().call("read_worker_status()").succeeded()["enabled"], false);
}

#[test]
fn a_database_in_which_it_fails_is_tried_again_and_holds_up_no_other() {
    let cluster = server();
    let (broken, sound) = (cluster.database(), cluster.database());
    assert_looked_after(&broken);
    broken.session().run("ALTER FUNCTION foreman.sweep_finished RENAME TO sweep_no_more");
    let is_told = format!(
        "SELECT EXISTS (SELECT FROM foreman.worker_status
                        WHERE database = '{}' AND step = 'sweep' AND last_error LIKE 'DB_QUERY_ERROR 42883: %')",
        broken.name()
    );
    wait_until("the failure to be told of", || sound.see(&is_told));
    assert_looked_after(&sound);
    broken.session().run("ALTER FUNCTION foreman.sweep_no_more RENAME TO sweep_finished");
    assert_looked_after(&broken);
}

#[test]
fn it_comes_back_after_a_kill_and_after_a_terminate() {
    let cluster = server();
    let db = cluster.database();
    assert_looked_after(&db);
    let name = db.name().to_owned();
    let before: i32 = db.see(LAUNCHER);
    assert!(db.see::<bool>(&format!("SELECT pg_terminate_backend({before})")));
    wait_until("another launcher", || ![0, before].contains(&db.see::<i32>(LAUNCHER)));
    assert_looked_after(&db);
    kill("-9", db.see::<i32>(LAUNCHER));
    drop(db);
    let is_up =
        || cluster.program("pg_isready").args(["-q", "-h", cluster.socket()]).status().is_ok_and(|s| s.success());
    // The server takes all its processes down first.
    sleep(Duration::from_millis(500));
    wait_until("the server to be back", is_up);
    assert_looked_after(&cluster.existing_database(&name));
}

#[test]
fn a_killed_worker_is_followed_by_another() {
    let cluster = server();
    let db = cluster.database();
    let name = db.name().to_owned();
    // Stopped at a lock of ours, so that there is one to be killed.
    db.session().run(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_catalog.pg_sleep(10); RETURN NEW; END $$;
         CREATE TRIGGER stop BEFORE UPDATE ON foreman.live_job FOR EACH ROW WHEN (NEW.status = 'pending')
             EXECUTE FUNCTION stop()",
    );
    let job = expired_job(&mut db.session());
    let worker = "SELECT coalesce((SELECT pid FROM pg_stat_activity
                                   WHERE backend_type = 'pg_foreman worker' AND wait_event = 'PgSleep'), 0)";
    wait_until("a worker to be stopped", || db.see::<i32>(worker) != 0);
    let pid = db.see::<i32>(worker);
    let mut gone = db.session();
    kill("-9", pid);
    wait_until("the server to go down", || gone.try_run("SELECT 1").is_err());
    drop(db);
    let is_up =
        || cluster.program("pg_isready").args(["-q", "-h", cluster.socket()]).status().is_ok_and(|s| s.success());
    wait_until("the server to be back", is_up);
    let db = cluster.existing_database(&name);
    db.session().run("DROP TRIGGER stop ON foreman.live_job");
    await_rescue(&db, job);
}

#[test]
fn a_terminate_ends_a_visit_at_once() {
    let cluster = server();
    let db = cluster.database();
    db.session().run(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_catalog.pg_sleep(10); RETURN NEW; END $$;
         CREATE TRIGGER stop BEFORE UPDATE ON foreman.live_job FOR EACH ROW WHEN (NEW.status = 'pending')
             EXECUTE FUNCTION stop()",
    );
    expired_job(&mut db.session());
    let worker = "SELECT coalesce((SELECT pid FROM pg_stat_activity
                                   WHERE backend_type = 'pg_foreman worker' AND wait_event = 'PgSleep'), 0)";
    wait_until("a worker to be stopped", || db.see::<i32>(worker) != 0);
    let pid = db.see::<i32>(worker);
    let since = Instant::now();
    assert!(db.see::<bool>(&format!("SELECT pg_terminate_backend({pid})")));
    db.await_gone(pid);
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    wait_until("another worker to be stopped", || ![0, pid].contains(&db.see::<i32>(worker)));
    let since = Instant::now();
    cluster.stop("fast");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn the_extension_can_be_dropped_and_made_again_under_it() {
    let cluster = server();
    let db = cluster.database();
    for _ in 0..5 {
        assert_looked_after(&db);
        db.session().run("DROP EXTENSION pg_foreman CASCADE");
        let told = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'", db.name());
        assert!(db.see::<i64>(&told) > 0);
        db.session().run("CREATE EXTENSION pg_foreman");
    }
    assert_looked_after(&db);
}

#[test]
fn databases_can_be_dropped_and_copied_under_it() {
    let cluster = server();
    let db = cluster.database();
    let template = cluster.database().name().to_owned();
    assert_looked_after(&db);
    let mut admin = db.session();
    for n in 0..15 {
        admin.run(&format!("CREATE DATABASE copy_{n} TEMPLATE {template}"));
        // Long enough for a visit to begin.
        sleep(Duration::from_millis(20 * n));
        admin.run(&format!("DROP DATABASE copy_{n}"));
    }
    assert_looked_after(&db);
    let told = "SELECT count(*) FROM foreman.worker_status WHERE database LIKE 'copy_%' OR database ~ '^[0-9]+$'";
    wait_until("the dropped ones to be forgotten", || db.see::<i64>(told) == 0);
}

#[test]
fn idle_it_holds_no_transaction() {
    let cluster = Cluster::start(&[PRELOAD, "foreman.upkeep_interval = '1s'"]);
    let db = cluster.database();
    assert_looked_after(&db);
    let mut idle = false;
    for _ in 0..20 {
        let held = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_foreman%'
                    AND (state LIKE 'idle in%' OR (state = 'idle' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)))";
        assert_eq!(db.see::<i64>(held), 0);
        idle |= db.see::<bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_foreman%' AND state = 'idle')",
        );
        sleep(Duration::from_millis(50));
    }
    assert!(idle, "it was never seen idle");
}

#[test]
fn it_works_as_the_owner_of_the_extension_with_a_search_path_of_its_own() {
    let cluster = server();
    let db = cluster.empty_database();
    let mut session = db.session();
    session.run(
        "CREATE ROLE keeper SUPERUSER;
         ALTER ROLE ALL SET search_path = public;
         SET ROLE keeper;
         CREATE EXTENSION pg_foreman;
         RESET ROLE;
         CREATE TABLE public.seen (role text, path text);
         CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO public.seen VALUES (CURRENT_USER, pg_catalog.current_setting('search_path'));
             RETURN NULL;
         END $$;
         CREATE TRIGGER look AFTER UPDATE ON foreman.live_job FOR EACH ROW WHEN (NEW.status = 'pending')
             EXECUTE FUNCTION public.look()",
    );
    let job = expired_job(&mut session);
    await_rescue(&db, job);
    assert_eq!(db.see::<String>("SELECT string_agg(role || ' ' || path, ';') FROM seen"), "keeper pg_catalog, pg_temp");
}

#[test]
fn it_can_be_turned_off_and_on_again_without_a_restart() {
    let cluster = Cluster::start(&[PRELOAD, OFTEN, "foreman.max_workers = 0"]);
    let db = cluster.database();
    let mut session = db.session();
    let job = expired_job(&mut session);
    assert_eq!(session.call("read_worker_status()").succeeded()["enabled"], false);
    sleep(Duration::from_millis(500));
    assert!(db.see::<bool>(&format!("SELECT status = 'running' FROM foreman.jobs WHERE job_id = {job}")));
    session.run("ALTER SYSTEM SET foreman.max_workers = 1");
    session.run("SELECT pg_reload_conf()");
    await_rescue(&db, job);
}

#[test]
fn on_a_standby_it_does_nothing_and_begins_after_a_promotion() {
    let primary = server();
    let name = primary.database().name().to_owned();
    assert_looked_after(&primary.existing_database(&name));
    let standby = primary.standby(&[PRELOAD, OFTEN]);
    standby.catch_up_with(&primary);
    let db = standby.existing_database(&name);
    assert_eq!(db.see::<i32>(LAUNCHER), 0);
    // So that nobody but the standby's worker can have rescued it.
    let mut session = primary.existing_database(&name).session();
    session.run("ALTER SYSTEM SET foreman.max_workers = 0");
    session.run("SELECT pg_reload_conf()");
    sleep(Duration::from_millis(300));
    let job = expired_job(&mut session);
    standby.catch_up_with(&primary);
    sleep(Duration::from_millis(300));
    assert_eq!(db.see::<i32>(LAUNCHER), 0);
    assert!(db.see::<bool>(&format!("SELECT status = 'running' FROM foreman.jobs WHERE job_id = {job}")));
    assert!(db.see::<bool>("SELECT pg_promote()"));
    await_rescue(&db, job);
}

/// The notifications that have come so far, waiting up to a while for the first.
fn notifications(session: &mut Session, wait: Duration) -> Vec<String> {
    let mut got = Vec::new();
    let mut notifications = session.notifications();
    let mut iter = notifications.timeout_iter(wait);
    while let Some(notification) = iter.next().expect("the connection holds") {
        got.push(format!("{} {}", notification.channel(), notification.payload()));
    }
    got
}

#[test]
fn many_commits_are_notified_together() {
    let cluster = server();
    let db = cluster.database();
    assert_looked_after(&db);
    let mut listener = db.session();
    listener.run("LISTEN foreman_jobs");
    let mut session = db.session();
    session.call("configure_queue('loud', notify => true)").succeeded();
    session.call("configure_queue('mute', notify => false)").succeeded();
    let since = Instant::now();
    for _ in 0..300 {
        session.call("create_job('loud')").succeeded();
        session.call("create_job('mute')").succeeded();
    }
    let took = since.elapsed();
    let got = notifications(&mut listener, Duration::from_secs(2));
    assert!(got.iter().all(|text| text == "foreman_jobs loud"), "{got:?}");
    // One at the beginning, one after each 50 ms, one for the last.
    let most = took.as_millis() / 50 + 3;
    assert!(!got.is_empty() && got.len() as u128 <= most, "{} in {took:?}", got.len());

    session.run("BEGIN");
    session.call("create_job('loud')").succeeded();
    session.run("ROLLBACK");
    assert_eq!(notifications(&mut listener, Duration::from_millis(300)), [""; 0], "a rollback notifies nobody");
    let since = Instant::now();
    session.call("create_job('loud')").succeeded();
    let mut first = listener.notifications();
    assert!(first.blocking_iter().next().expect("the connection holds").is_some());
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    // A worker that stays for more is no obstacle to upkeep.
    assert_looked_after(&db);
}

#[test]
fn where_no_worker_comes_the_session_itself_notifies() {
    for lines in [&[][..], &[PRELOAD, "foreman.max_workers = 0"]] {
        let cluster = Cluster::start(lines);
        let db = cluster.database();
        let mut session = db.session();
        session.run("LISTEN foreman_jobs");
        session.call("configure_queue('loud', notify => true)").succeeded();
        session.call("create_jobs('[{\"queue\": \"loud\"}, {\"queue\": \"loud\"}]')").succeeded();
        assert_eq!(notifications(&mut session, Duration::from_millis(300)), ["foreman_jobs loud"]);
    }
}
