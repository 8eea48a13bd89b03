//! Preloaded, heartbeats extend leases in shared memory: they write no rows, are honoured by whoever takes leases away, and
//! what a crash takes of them is made good by one length of each lease.

use foreman_tests::{Cluster, Database, Gate, Reply, Session, Value, json, wait_until};
use std::time::{Duration, Instant};

const PRELOAD: &str = "shared_preload_libraries = 'pg_foreman'";
/// Nobody but the test's sessions rescues anything.
const ALONE: &str = "foreman.max_workers = 0";

/// A job under a lease of the test's.
struct Held {
    job: i64,
    token: String,
}

impl Held {
    fn claim(session: &mut Session, seconds: f64) -> Self {
        session.call("create_job('q')").succeeded();
        Self::claim_again(session, seconds)
    }

    fn claim_again(session: &mut Session, seconds: f64) -> Self {
        let reply = session.call(&format!("claim_jobs('q', 1, {seconds})")).succeeded();
        let job = &reply["jobs"][0];
        Held { job: job.job_id(), token: job["lease_token"].as_str().expect("a token").to_owned() }
    }

    fn beat(&self, session: &mut Session, more: &str) -> Value {
        session.call(&format!("heartbeat({}, '{}'{more})", self.job, self.token))
    }

    fn complete(&self, session: &mut Session) {
        session.call(&format!("complete_job({}, '{}')", self.job, self.token)).succeeded();
    }

    /// What is shown of the job.
    fn shown<T: for<'a> foreman_tests::postgres::types::FromSql<'a>>(&self, db: &Database, what: &str) -> T {
        db.see(&format!("SELECT {what} FROM foreman.jobs WHERE job_id = {}", self.job))
    }

    /// Waits until the lease is over by its row.
    fn await_end_of_row(&self, db: &Database) {
        let over = format!("SELECT lease_expires_at < clock_timestamp() FROM foreman.live_job WHERE id = {}", self.job);
        wait_until("the row's lease to be over", || db.see(&over));
    }

    /// Sends heartbeats until the lease is over by its row.
    fn beat_past_the_row(&self, db: &Database, session: &mut Session) {
        let over = format!("SELECT lease_expires_at < clock_timestamp() FROM foreman.live_job WHERE id = {}", self.job);
        wait_until("the row's lease to be over", || {
            self.beat(session, "").succeeded();
            db.see(&over)
        });
    }
}

/// Row versions that sessions, this one the last of them, have made of live jobs by updates.
fn updates(session: &mut Session) -> i64 {
    session.run("SELECT pg_stat_force_next_flush()");
    session.one("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'foreman.live_job'::regclass", &[])
}

fn rescued(session: &mut Session) -> Value {
    session.call("rescue_expired()").succeeded()["rescued"].clone()
}

#[test]
fn ten_thousand_heartbeats_write_no_row() {
    let cluster = Cluster::start(&[PRELOAD]);
    let db = cluster.database();
    let mut session = db.session();
    let held: Vec<Held> = (0..20).map(|_| Held::claim(&mut session, 60.0)).collect();
    let all: Vec<Value> = held.iter().map(|held| json!({"job_id": held.job, "lease_token": held.token})).collect();
    let before = updates(&mut session);
    let sql = "SELECT count(*) FROM generate_series(1, 9000) AS n,
                   LATERAL foreman.heartbeat($1, $2, progress => n % 100, note => 'page ' || n) AS r
               WHERE r ->> 'status' = 'success' AND NOT r ? 'held'";
    assert_eq!(session.one::<i64>(sql, &[&held[0].job, &held[0].token]), 9000);
    for _ in 0..50 {
        let reply = session.reply("SELECT foreman.heartbeat_all($1)", &[&Value::from(all.clone())]).succeeded();
        let outcomes = reply["outcomes"].as_array().expect("a list");
        assert!(outcomes.len() == 20 && outcomes.iter().all(|each| each["outcome"] == "extended"), "{reply:#}");
    }
    assert_eq!(updates(&mut session) - before, 0);
    assert_eq!(held[0].shown::<String>(&db, "progress || ' ' || note"), "0 page 9000");
    let reply = session.call(&format!("get_job({})", held[0].job)).succeeded();
    assert_eq!((&reply["job"]["progress"], &reply["job"]["note"]), (&json!(0), &json!("page 9000")));
    let told = held[1].beat(&mut session, ", progress => 7")["lease_expires_at"].clone();
    let job = session.call("list_jobs('q')").succeeded()["jobs"][18].clone();
    assert_eq!((&job["lease_expires_at"], &job["progress"]), (&told, &json!(7)));
}

#[test]
fn a_lease_is_taken_away_once_its_last_heartbeat_has_expired_and_not_before() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let mut session = db.session();
    let held = Held::claim(&mut session, 1.0);
    held.beat_past_the_row(&db, &mut session);
    assert_eq!(rescued(&mut session), 0);
    let explained = session.call(&format!("explain_job({})", held.job)).succeeded();
    assert_eq!(explained["reasons"][0]["reason"], "leased", "{explained:#}");
    assert!(held.shown::<bool>(&db, "status = 'running' AND lease_expires_at > clock_timestamp()"));
    session.call(&format!("request_cancel({}, 'enough')", held.job)).succeeded();
    let reply = held.beat(&mut session, "").succeeded();
    assert_eq!((&reply["cancel_requested"], &reply["cancel_reason"]), (&json!(true), &json!("enough")));

    wait_until("the lease to be over", || held.shown(&db, "lease_expires_at < clock_timestamp()"));
    let explained = session.call(&format!("explain_job({})", held.job)).succeeded();
    assert_eq!(explained["reasons"][0]["reason"], "lease_expired", "{explained:#}");
    assert_eq!(session.call("rescue_expired()").succeeded()["cancelled"], 1);
    held.beat(&mut session, "").failed_with("LEASE_LOST");
}

#[test]
fn a_crash_gives_each_lease_one_length_of_grace() {
    let cluster = Cluster::start(&[PRELOAD, ALONE, "fsync = on", "full_page_writes = on"]);
    let db = cluster.database();
    let name = db.name().to_owned();
    let mut session = db.session();
    let [beaten, beats_on, long] = [2.0; 3].map(|seconds| Held::claim(&mut session, seconds));
    // Beyond the lease's own length: on disk when it is answered.
    let told = long.beat(&mut session, ", 60, note => 'long'").succeeded()["lease_expires_at"].clone();
    beats_on.beat(&mut session, "").succeeded();
    beaten.beat_past_the_row(&db, &mut session);
    cluster.kill();
    drop((session, db));
    cluster.start_again();
    let started = Instant::now();

    let db = cluster.existing_database(&name);
    let mut session = db.session();
    beaten.await_end_of_row(&db);
    assert_eq!(rescued(&mut session), 0);
    let explained = session.call(&format!("explain_job({})", beaten.job)).succeeded();
    assert_eq!(explained["reasons"][0]["reason"], "leased", "{explained:#}");
    let row = format!(
        "SELECT to_jsonb(lease_expires_at) #>> '{{}}' || ' ' || note FROM foreman.live_job WHERE id = {}",
        long.job
    );
    assert_eq!(db.see::<String>(&row), format!("{} long", told.as_str().expect("a time")));
    wait_until("the grace to be over", || {
        beats_on.beat(&mut session, "").succeeded();
        rescued(&mut session) == 1
    });
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    beaten.beat(&mut session, "").failed_with("LEASE_LOST");
    // A lease of that length from after the crash gets none.
    Held::claim(&mut session, 0.1).await_end_of_row(&db);
    wait_until("the job to be rescued", || rescued(&mut session) == 1);
    for held in [beats_on, long] {
        held.complete(&mut session);
    }
}

#[test]
fn on_a_standby_the_row_is_shown_and_a_promotion_gives_grace() {
    let primary = Cluster::start(&[PRELOAD, ALONE]);
    let db = primary.database();
    let mut session = db.session();
    let held = Held::claim(&mut session, 2.0);
    let standby = primary.standby(&[PRELOAD, ALONE]);
    held.beat(&mut session, ", progress => 40").succeeded();
    held.beat_past_the_row(&db, &mut session);
    standby.catch_up_with(&primary);
    let there = standby.existing_database(db.name());
    assert!(held.shown::<bool>(&there, "progress IS NULL AND lease_expires_at < clock_timestamp()"));
    held.beat(&mut there.session(), "").failed_with("READ_ONLY");
    primary.kill();
    let promoted = Instant::now();
    assert!(there.see::<bool>("SELECT pg_promote()"));
    let mut session = there.session();
    assert_eq!(rescued(&mut session), 0);
    wait_until("the grace to be over", || rescued(&mut session) == 1);
    assert!(promoted.elapsed() >= Duration::from_secs(2), "{:?}", promoted.elapsed());
}

#[test]
fn with_all_places_taken_heartbeats_go_to_the_rows() {
    const JOBS: usize = 100;
    let cluster = Cluster::start(&[PRELOAD, ALONE, "foreman.max_tracked_leases = 16"]);
    let db = cluster.database();
    let mut session = db.session();
    let held: Vec<Held> = (0..JOBS).map(|_| Held::claim(&mut session, 60.0)).collect();
    for progress in [40, 50] {
        let before = updates(&mut session);
        let beat = |held: &Held| json!({"job_id": held.job, "lease_token": held.token, "progress": progress});
        let all: Value = held.iter().map(beat).collect();
        let reply = session.reply("SELECT foreman.heartbeat_all($1)", &[&all]).succeeded();
        let outcomes = reply["outcomes"].as_array().expect("a list");
        assert!(outcomes.iter().all(|each| each["outcome"] == "extended"), "{reply:#}");
        let written = updates(&mut session) - before;
        assert!((JOBS as i64 - 16..JOBS as i64).contains(&written), "{written}");
        let shown = format!("SELECT count(*) FROM foreman.jobs WHERE progress = {progress}");
        assert_eq!(db.see::<i64>(&shown), JOBS as i64);
    }
    // The places of those that have ended are had again.
    for held in held {
        held.complete(&mut session);
    }
    for _ in 0..20 {
        let held = Held::claim(&mut session, 60.0);
        let before = updates(&mut session);
        held.beat(&mut session, ", progress => 60").succeeded();
        assert_eq!(updates(&mut session) - before, 0);
        assert_eq!(held.shown::<i32>(&db, "progress"), 60);
        held.complete(&mut session);
    }
}

#[test]
fn a_heartbeat_between_the_rescues_look_and_its_lock_saves_the_lease() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let mut session = db.session();
    let held = Held::claim(&mut session, 0.5);
    wait_until("the lease to be over", || held.shown(&db, "lease_expires_at < clock_timestamp()"));
    let mut gate = db.gate();
    gate.close();
    let rescuer = db.session_with(&[("foreman.lock_timeout", "0"), ("foreman.query_timeout", "0")]);
    // The rescue's own look, held up at the gate when it has found the lease expired.
    session.run(&format!(
        "ALTER FUNCTION foreman.lease_end RENAME TO lease_end_itself;
         CREATE FUNCTION foreman.lease_end(token uuid, expires_at timestamptz, seconds float8) RETURNS timestamptz
         LANGUAGE plpgsql AS $$
         DECLARE ends_at timestamptz := foreman.lease_end_itself(token, expires_at, seconds);
         BEGIN
             IF pg_backend_pid() = {} THEN PERFORM {}; END IF;
             RETURN ends_at;
         END $$",
        rescuer.pid(),
        Gate::passage()
    ));
    let rescue = rescuer.background(rescued);
    db.await_blocked(rescue.pid);
    assert_eq!(held.beat(&mut session, "").succeeded()["held"], Value::Null);
    gate.open_for(1);
    assert_eq!(rescue.finish().1, 0);
    held.complete(&mut session);
}

#[test]
fn a_heartbeat_after_the_rescues_lock_saves_the_lease_only_if_that_is_rolled_back() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let (mut session, mut rescuer) = (db.session(), db.session());
    for end in ["ROLLBACK", "COMMIT"] {
        let held = Held::claim(&mut session, 0.5);
        held.beat(&mut session, "").succeeded();
        wait_until("the lease to be over", || held.shown(&db, "lease_expires_at < clock_timestamp()"));
        rescuer.run("BEGIN");
        assert_eq!(rescued(&mut rescuer), 1);
        let before = updates(&mut session);
        assert_eq!(held.beat(&mut session, "").succeeded()["held"], true);
        rescuer.run(end);
        if end == "COMMIT" {
            held.beat(&mut session, "").failed_with("LEASE_LOST");
        } else {
            assert_eq!(held.beat(&mut session, "").succeeded()["held"], Value::Null);
            assert_eq!(rescued(&mut rescuer), 0);
            assert_eq!(updates(&mut session), before, "the row is as it was");
            held.complete(&mut session);
        }
    }
}

#[test]
fn what_was_told_of_a_lease_ends_with_it() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let mut session = db.session();
    let first = Held::claim(&mut session, 60.0);
    first.beat(&mut session, ", progress => 40, note => 'first'").succeeded();
    session.call(&format!("release_job({}, '{}')", first.job, first.token)).succeeded();
    let second = Held::claim_again(&mut session, 0.5);
    assert_eq!(second.job, first.job);
    first.beat(&mut session, "").failed_with("LEASE_LOST");
    assert!(
        second
            .shown::<bool>(&db, "progress IS NULL AND note IS NULL AND lease_expires_at < clock_timestamp() + '10 s'")
    );
    second.await_end_of_row(&db);
    assert_eq!(rescued(&mut session), 1);
}

#[test]
fn the_row_and_the_memory_tell_the_newer_of_the_two() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let mut session = db.session();
    let held = Held::claim(&mut session, 60.0);
    let mut until = Value::Null;
    let mut longer = |session: &mut Session, more: &str| {
        let told = held.beat(session, more).succeeded()["lease_expires_at"].clone();
        assert!(until.is_null() || told.as_str() >= until.as_str(), "{told} after {until}");
        assert_eq!(told.as_str(), Some(held.shown::<String>(&db, "to_jsonb(lease_expires_at) #>> '{}'").as_str()));
        until = told;
    };
    let shown = || held.shown::<String>(&db, "concat_ws(' ', progress, note)");
    for (more, is) in [
        (", progress => 10", "10"),
        (", 100, note => 'long'", "10 long"),
        (", progress => 20", "20 long"),
        (", 90, note => 'no longer'", "20 no longer"),
        (", 200, progress => 30", "30 no longer"),
        ("", "30 no longer"),
    ] {
        longer(&mut session, more);
        assert_eq!(shown(), is, "after {more}");
    }
    // By a row that somebody has locked meanwhile, too.
    let mut holder = db.session();
    holder.run("BEGIN");
    holder.call(&format!("hold_lease({}, '{}')", held.job, held.token)).succeeded();
    assert_eq!(held.beat(&mut session, ", progress => 40").succeeded()["held"], true);
    holder.run("COMMIT");
    longer(&mut session, ", 300");
    assert_eq!(shown(), "40 no longer");
}

#[test]
fn a_heartbeat_counts_whatever_becomes_of_its_transaction() {
    let cluster = Cluster::start(&[PRELOAD, ALONE]);
    let db = cluster.database();
    let mut session = db.session();
    let held = Held::claim(&mut session, 60.0);
    session.run("BEGIN");
    held.beat(&mut session, ", progress => 10").succeeded();
    session.run("ROLLBACK");
    assert_eq!(held.shown::<i32>(&db, "progress"), 10);
    // Of a claim that nobody else sees yet it is rolled back with that.
    for (end, is) in [("ROLLBACK", "pending"), ("COMMIT", "running 20")] {
        session.run("DELETE FROM foreman.live_job; SELECT foreman.create_job('q')");
        session.run("BEGIN");
        let held = Held::claim_again(&mut session, 60.0);
        held.beat(&mut session, ", progress => 20").succeeded();
        session.run(end);
        assert_eq!(held.shown::<String>(&db, "concat_ws(' ', status, progress)"), is);
    }
    session.run("SET default_transaction_read_only = on");
    held.beat(&mut session, "").failed_with("READ_ONLY");
}

#[test]
fn a_heartbeat_of_a_claim_that_is_not_committed_yet_is_not_forgotten() {
    let cluster = Cluster::start(&[PRELOAD, ALONE, "foreman.max_tracked_leases = 16"]);
    let db = cluster.database();
    let (mut session, mut other) = (db.session(), db.session());
    other.call("configure_queue('q')").succeeded();
    session.run("BEGIN");
    let held = Held::claim(&mut session, 60.0);
    held.beat(&mut session, ", progress => 20").succeeded();
    // They want all the places that there are.
    for _ in 0..100 {
        Held::claim(&mut other, 60.0).beat(&mut other, "").succeeded();
    }
    session.run("COMMIT");
    assert_eq!(held.shown::<Option<i32>>(&db, "progress"), Some(20));
}
