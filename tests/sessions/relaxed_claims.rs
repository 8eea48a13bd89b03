//! A claim may be answered before it is on disk; a finish may not, and takes its claim along. The server's own writer of the
//! log is stopped here, so that only a commit that waits for the disk brings anything there.

use foreman_tests::process::{is_gone, signal, state};
use foreman_tests::{Cluster, Database, Reply, Session, Value, json, wait_until};

/// Nothing but the sessions writes.
const QUIET: &[&str] = &[
    "shared_preload_libraries = 'pg_foreman'",
    "fsync = on",
    "full_page_writes = on",
    "autovacuum = off",
    "foreman.max_workers = 0",
    "foreman.relax_claims_after = 0",
];

/// Stops the writer of the log, which goes on when it is dropped.
struct NoWriter(u32);

impl NoWriter {
    fn stop(session: &mut Session) -> Self {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
        let writer = session.one::<i32>(sql, &[]).unsigned_abs();
        signal("STOP", &[writer]);
        wait_until("the writer to stop", || state(writer) == Some('T'));
        Self(writer)
    }
}

impl Drop for NoWriter {
    fn drop(&mut self) {
        if !is_gone(self.0) {
            signal("CONT", &[self.0]);
        }
    }
}

/// Whether what is done waits for the disk.
fn is_flushed(db: &Database, work: impl FnOnce()) -> bool {
    let flushed_to = || db.see::<String>("SELECT pg_current_wal_flush_lsn()::text");
    let before = flushed_to();
    work();
    flushed_to() != before
}

/// The only job of a claim's reply.
fn only_job(reply: &Value) -> (i64, String) {
    let jobs = reply["jobs"].as_array().expect("a list");
    assert_eq!(jobs.len(), 1, "{reply:#}");
    (jobs[0]["job_id"].as_i64().expect("an id"), jobs[0]["lease_token"].as_str().expect("a token").to_owned())
}

fn claim(session: &mut Session) -> (i64, String) {
    only_job(&session.call("claim_jobs('q')").succeeded())
}

#[test]
fn only_a_commit_of_nothing_but_claims_goes_without_a_flush() {
    const CLAIM: &str = "SELECT foreman.claim_jobs('q')";
    const WRITE: &str = "INSERT INTO mine VALUES (1)";
    // What is finished was claimed and flushed before.
    const FINISH_AND_CLAIM: &str = "WITH c AS MATERIALIZED (
             SELECT foreman.claim_jobs('q', 1) -> 'jobs' -> 0 AS job
         )
         SELECT foreman.finish_and_claim(jsonb_build_array(jsonb_build_object(
             'job_id', job -> 'job_id', 'lease_token', job -> 'lease_token', 'outcome', 'completed')), 'q') FROM c";
    let cluster = Cluster::start(QUIET);
    let db = cluster.database();
    let mut session = db.session();
    session.run("CREATE TABLE mine (a int); CREATE TABLE late (a int)");
    session.run(
        "CREATE FUNCTION write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO mine VALUES (2); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON foreman.live_job DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.job_type = 'late') EXECUTE FUNCTION write()",
    );
    let _writer = NoWriter::stop(&mut session);
    let mut is_flushed_after = |what: &str, settings: &[(&str, &str)]| {
        let job_type = if what == "late" { "late" } else { "default" };
        for _ in 0..3 {
            session.call(&format!("create_job('q', job_type => '{job_type}')")).succeeded();
        }
        for (name, value) in settings {
            session.set(name, value);
        }
        let sql = if what == "late" { CLAIM } else { what };
        let is_flushed = is_flushed(&db, || session.run(sql));
        assert_eq!(session.one::<String>("SHOW synchronous_commit", &[]), "on", "after {what}");
        session.run("RESET ALL; DELETE FROM foreman.live_job");
        is_flushed
    };

    let nothing_finished = "SELECT foreman.finish_and_claim('[]', 'q')";
    for alone in [
        CLAIM,
        nothing_finished,
        &format!("BEGIN; {CLAIM}; {CLAIM}; COMMIT"),
        "SELECT foreman.claim_jobs_from('{q}', 2)",
    ] {
        // A claim that comes by a page with dead rows may tidy it up, and then waits for that.
        assert!((0..5).any(|_| !is_flushed_after(alone, &[])), "{alone}");
    }
    let more = [
        format!("BEGIN; {CLAIM}; {WRITE}; COMMIT"),
        format!("BEGIN; {WRITE}; {CLAIM}; COMMIT"),
        format!("BEGIN; {CLAIM}; {WRITE}; {CLAIM}; COMMIT"),
        format!("WITH w AS ({WRITE} RETURNING a) SELECT foreman.claim_jobs('q') FROM w"),
        format!("WITH c AS MATERIALIZED ({CLAIM}) INSERT INTO mine SELECT 1 FROM c"),
        // Its trigger writes at the commit.
        "late".to_owned(),
        FINISH_AND_CLAIM.to_owned(),
        "SELECT foreman.create_job('q')".to_owned(),
    ];
    for more in &more {
        assert!(is_flushed_after(more, &[]), "{more}");
    }
    for seconds in ["-1", "3600"] {
        assert!(is_flushed_after(CLAIM, &[("foreman.relax_claims_after", seconds)]), "{seconds} s");
    }
}

#[test]
fn without_preload_claims_are_flushed() {
    let cluster = Cluster::start(&["fsync = on", "autovacuum = off"]);
    let db = cluster.database();
    let mut session = db.session();
    session.set("foreman.relax_claims_after", "0");
    session.call("create_job('q')").succeeded();
    let _writer = NoWriter::stop(&mut session);
    assert!(is_flushed(&db, || _ = claim(&mut session)));
}

#[test]
fn a_crash_takes_a_claim_away_that_nobody_finished_and_no_finish() {
    let cluster = Cluster::start(QUIET);
    let (name, finished, open, lost) = {
        let db = cluster.database();
        let mut session = db.session();
        session.maintain();
        let ids = [(); 3].map(|()| session.call("create_job('q')").succeeded().job_id());
        let _writer = NoWriter::stop(&mut session);
        // The flush of the second one's finish takes the first one's claim along.
        let open = claim(&mut session);
        let finished = claim(&mut session);
        session.call(&format!("complete_job({}, '{}')", finished.0, finished.1)).succeeded();
        let lost = claim(&mut session);
        assert_eq!([open.0, finished.0, lost.0], ids);
        cluster.kill();
        (db.name().to_owned(), finished, open, lost)
    };
    cluster.start_again();

    let db = cluster.existing_database(&name);
    let mut session = db.session();
    let mut state = |id: i64| {
        let job = session.call(&format!("get_job({id})"))["job"].clone();
        (job["status"].clone(), job["attempt"].clone())
    };
    assert_eq!(state(finished.0), (json!("completed"), json!(1)));
    assert_eq!(state(open.0), (json!("running"), json!(1)));
    assert_eq!(state(lost.0), (json!("pending"), json!(0)));
    let reply = session.call(&format!("complete_job({}, '{}')", lost.0, lost.1));
    assert_eq!(reply["error_code"], "LEASE_LOST", "{reply:#}");
    session.call(&format!("complete_job({}, '{}')", open.0, open.1)).succeeded();
    let again = claim(&mut session);
    assert!(again.0 == lost.0 && again.1 != lost.1, "the same job under another token");
    session.call(&format!("complete_job({}, '{}')", again.0, again.1)).succeeded();
}

#[test]
fn after_a_crash_claims_are_flushed_until_the_time_has_passed_again() {
    let cluster = Cluster::start(&QUIET[..QUIET.len() - 1]);
    let db = cluster.database();
    let name = db.name().to_owned();
    let mut session = db.session();
    session.set("foreman.relax_claims_after", "1");
    let is_relaxed = |session: &mut Session, db: &Database| {
        session.call("create_job('q')").succeeded();
        !is_flushed(db, || _ = claim(session))
    };
    assert!(!is_relaxed(&mut session, &db), "the first claim");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let writer = NoWriter::stop(&mut session);
    // As above: not each of them.
    assert!((0..5).any(|_| is_relaxed(&mut session, &db)), "more than a second later");
    cluster.kill();
    drop((writer, session, db));
    cluster.start_again();
    let db = cluster.existing_database(&name);
    let mut session = db.session();
    session.set("foreman.relax_claims_after", "1");
    let _writer = NoWriter::stop(&mut session);
    assert!(!is_relaxed(&mut session, &db), "the first claim after a crash");
}
