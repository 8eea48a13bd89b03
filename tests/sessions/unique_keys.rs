//! A unique key names one job, however many sessions want to create it at the same moment. All others are told which
//! job is there.

use foreman_tests::{Cluster, Database, Reply, Session, Value, json};

const CREATE: &str = "create_job('mail', '{}', unique_key => 'welcome-7')";

#[test]
fn fifty_sessions_that_create_the_same_key_at_once_make_one_job_and_all_name_it() {
    let db = Cluster::shared().database();
    for round in 1..=5 {
        let create = format!("create_job('mail', '{{}}', unique_key => 'key-{round}')");
        let replies = db.all_at_once(vec![create; 50]);

        let created: Vec<_> = replies.iter().filter(|r| r["created"] == true).collect();
        assert_eq!(created.len(), 1, "{replies:#?}");
        assert_eq!(created[0]["status"], "success");
        let skipped = replies
            .iter()
            .filter(|r| r["status"] == "skipped" && r["reason"] == "duplicate" && r["job_id"] == created[0]["job_id"])
            .count();
        assert_eq!(skipped, 49, "{replies:#?}");
        assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs"), round);
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn who_meets_a_key_in_an_open_transaction_waits_and_is_told_of_the_job_when_that_commits() {
    let db = Cluster::shared().database();
    let mut first = db.session();
    first.run("BEGIN");
    let job = first.call(CREATE).succeeded().job_id();
    let second = db.session().background(|s| s.call(CREATE));
    db.await_blocked(second.pid);
    first.run("COMMIT");
    let (_, reply) = second.finish();
    assert_eq!((&reply["status"], reply.job_id()), (&json!("skipped"), job), "{reply:#}");
}

#[test]
fn who_meets_a_key_in_an_open_transaction_waits_and_creates_the_job_when_that_is_rolled_back() {
    let db = Cluster::shared().database();
    let mut first = db.session();
    first.run("BEGIN");
    first.call(CREATE).succeeded();
    let second = db.session().background(|s| s.call(CREATE));
    db.await_blocked(second.pid);
    first.run("ROLLBACK");
    let (_, reply) = second.finish();
    assert_eq!(reply.succeeded()["created"], true);
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs"), 1);
}

#[test]
fn who_asks_for_an_error_gets_one_and_who_asks_to_replace_replaces() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = session.call(CREATE).succeeded().job_id();
    let refused = session
        .call("create_job('mail', unique_key => 'welcome-7', on_duplicate => 'error')")
        .failed_with("DUPLICATE_ENTRY");
    assert_eq!((&refused["http_status"], &refused["sqlstate"]), (&json!(409), &json!("23505")), "{refused:#}");
    assert_eq!(refused["retryable"], false, "{refused:#}");

    let replaced = session
        .call("create_job('mail', '{\"n\": 2}', priority => 1, unique_key => 'welcome-7', on_duplicate => 'replace')")
        .succeeded();
    assert_eq!(replaced.job_id(), job, "{replaced:#}");
    let now: String =
        session.one("SELECT payload::text || ' ' || priority FROM foreman.jobs WHERE job_id = $1", &[&job]);
    assert_eq!(now, "{\"n\": 2} 1");
}

#[test]
fn two_bulk_creations_with_the_same_keys_in_opposite_order_both_get_their_answer() {
    let db = Cluster::shared().database();
    for round in 1..=20 {
        let create = |keys: [&str; 2]| {
            let jobs = keys.map(|key| json!({"queue": "mail", "unique_key": format!("{key}-{round}")}));
            format!("create_jobs('{}')", json!(jobs))
        };
        for reply in db.all_at_once([create(["a", "b"]), create(["b", "a"])]) {
            reply.succeeded();
        }
        assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs"), 2 * round);
    }
}

/// A job that holds the key and has ended.
fn ended(session: &mut Session) -> i64 {
    let job = session.call(CREATE).succeeded().job_id();
    session.call(&format!("update_job_failure({job}, 'no luck')")).succeeded();
    job
}

/// Who holds the key, as another session that wants it is told; 0 where nobody does.
fn holder(db: &Database) -> i64 {
    let mut session = db.session();
    session.run("BEGIN");
    let reply = session.call(CREATE);
    session.run("ROLLBACK");
    if reply["status"] == "skipped" { reply.job_id() } else { 0 }
}

#[test]
fn a_key_taken_since_the_snapshot_needs_a_new_transaction_and_one_freed_since_is_free() {
    let db = Cluster::shared().database();
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let [mut mine, mut other] = [db.session(), db.session()];
        mine.run(&format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"));
        let first = other.call(CREATE).succeeded().job_id();
        let refused = mine.call(CREATE).failed_with("DB_DEADLOCK");
        assert_eq!((&refused["sqlstate"], &refused["retry_scope"]), (&json!("40001"), &json!("transaction")));
        mine.run(&format!("ROLLBACK; BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM foreman.jobs"));
        assert_eq!(mine.call(CREATE).job_id(), first);
        other.call(&format!("update_job_success({first})")).succeeded();
        let second = mine.call(CREATE).succeeded();
        assert_eq!(second["created"], true, "{second:#}");
        assert_eq!(mine.call(CREATE)["status"], "skipped", "its own job holds the key");
        mine.run("COMMIT");
        assert_eq!(holder(&db), second.job_id());
        mine.call(&format!("update_job_success({})", second.job_id())).succeeded();
        assert_eq!(holder(&db), 0);
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_key_is_free_at_once_when_its_savepoint_is_rolled_back_and_held_when_that_of_its_end_is() {
    let db = Cluster::shared().database();
    let [mut first, mut second] = [db.session(), db.session()];
    first.run("BEGIN; SAVEPOINT s");
    first.call(CREATE).succeeded();
    let waiting = db.session().background(|s| s.call(CREATE));
    db.await_blocked(waiting.pid);
    first.run("ROLLBACK TO s");
    let (_, reply) = waiting.finish();
    let job = reply.succeeded().job_id();
    assert_eq!(first.call(CREATE).job_id(), job, "who rolled back is told like anybody else");
    first.run("COMMIT");

    first.run("BEGIN; SAVEPOINT s");
    first.call(&format!("update_job_success({job})")).succeeded();
    let next = first.call(CREATE).succeeded().job_id();
    assert_ne!(next, job);
    first.run("ROLLBACK TO s");
    assert_eq!((first.call(CREATE).job_id(), second.call(CREATE).job_id()), (job, job));
    first.run("COMMIT");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.job_key"), 1);
}

#[test]
fn a_prepared_transaction_takes_and_frees_a_key_when_it_is_committed() {
    let db = Cluster::shared().database();
    let name = db.name();
    let mut session = db.session();
    let mut job = 0;
    for (work, end, is_held) in [
        (CREATE.to_owned(), "ROLLBACK", false),
        (CREATE.to_owned(), "COMMIT", true),
        ("update_job_success({})".to_owned(), "ROLLBACK", true),
        ("update_job_success({})".to_owned(), "COMMIT", false),
    ] {
        session.run("BEGIN");
        let reply = session.call(&work.replace("{}", &job.to_string())).succeeded();
        session.run(&format!("PREPARE TRANSACTION '{name}'"));
        let waiting = db.session().background(|s| {
            s.run("BEGIN");
            let reply = s.call(CREATE);
            s.run("ROLLBACK");
            reply
        });
        db.await_blocked(waiting.pid);
        session.run(&format!("{end} PREPARED '{name}'"));
        let (_, told) = waiting.finish();
        if is_held {
            job = reply.job_id();
            assert_eq!((&told["status"], told.job_id()), (&json!("skipped"), job), "{work}, {end}");
        } else {
            assert_eq!(told["created"], true, "{work}, {end}: {told:#}");
        }
    }
}

#[test]
fn who_creates_waits_for_who_revives_and_the_other_way_round() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = ended(&mut session);
    let retry = format!("retry_job({job})");

    for (end, status) in [("ROLLBACK", "success"), ("COMMIT", "skipped")] {
        session.run("BEGIN");
        session.call(&retry).succeeded();
        let creating = db.session().background(|s| s.call(CREATE));
        db.await_blocked(creating.pid);
        session.run(end);
        let (mut other, reply) = creating.finish();
        assert_eq!(reply["status"], status, "{reply:#}");
        other.call(&format!("update_job_failure({}, 'no luck')", reply.job_id())).succeeded();
    }
    for end in ["ROLLBACK", "COMMIT"] {
        session.run("BEGIN");
        let new = session.call(CREATE).succeeded().job_id();
        let retry = retry.clone();
        let retrying = db.session().background(move |s| s.call(&retry));
        db.await_blocked(retrying.pid);
        session.run(end);
        let (mut other, reply) = retrying.finish();
        if end == "COMMIT" {
            let refused = reply.failed_with("DUPLICATE_ENTRY");
            assert_eq!(refused.job_id(), new, "{refused:#}");
        } else {
            assert_eq!(reply.succeeded()["to"], "pending");
            other.call(&format!("update_job_failure({job}, 'no luck')")).succeeded();
        }
    }
}

#[test]
fn of_many_who_create_and_revive_at_once_one_has_the_key() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let old: Vec<i64> = (0..5).map(|_| ended(&mut session)).collect();
    for _ in 0..5 {
        let calls = (0..30).map(|n| match old.get(n) {
            Some(job) => format!("retry_job({job})"),
            None => CREATE.to_owned(),
        });
        let replies = db.all_at_once(calls);
        let won: Vec<&Value> = replies.iter().filter(|reply| reply["status"] == "success").collect();
        assert_eq!(won.len(), 1, "{replies:#?}");
        assert_eq!(holder(&db), won[0].job_id());
        session.call(&format!("update_job_failure({}, 'no luck')", won[0].job_id())).succeeded();
    }
}

#[test]
fn a_job_that_is_deleted_before_it_could_be_revived_leaves_no_key_behind() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = ended(&mut session);
    session.run("BEGIN");
    session.call(&format!("delete_job({job})")).succeeded();
    // In bulk, where a job that is not found undoes nothing.
    let bulk = format!("bulk_update_job_status('{{{job}}}', 'pending')");
    let running = db.session().background(move |s| s.call(&bulk));
    db.await_blocked(running.pid);
    session.run("COMMIT");
    let (_, reply) = running.finish();
    assert_eq!(reply.succeeded()["not_found"], 1);
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.job_key"), 0);
}

#[test]
fn eight_sessions_with_a_thousand_keys_each_need_no_more_room_for_locks_than_with_one() {
    // Room for some 300 locks in all.
    let cluster = Cluster::start(&["max_connections = 20", "max_locks_per_transaction = 10"]);
    let db = cluster.database();
    let create = |prefix: &str| {
        let jobs: Vec<Value> =
            (0..1000).map(|n| json!({"queue": "mail", "unique_key": format!("{prefix}-{n}")})).collect();
        format!("create_jobs('{}')", json!(jobs))
    };
    db.session().call("create_job('mail')").succeeded();
    let mut open: Vec<Session> = (0..8).map(|_| db.session()).collect();
    for (n, session) in open.iter_mut().enumerate() {
        session.run("BEGIN");
        assert_eq!(session.call(&create(&format!("own-{n}"))).succeeded()["created"], 1000);
    }
    open.iter_mut().for_each(|session| session.run("COMMIT"));

    let replies = db.all_at_once((0..8).map(|_| create("shared")));
    let created: i64 = replies.into_iter().map(|reply| reply.succeeded()["created"].as_i64().unwrap_or_default()).sum();
    assert_eq!(created, 1000);
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.job_key"), 9000);
}

#[test]
fn a_key_that_is_entered_by_hand_is_held_like_any_other() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let by_hand = "INSERT INTO foreman.job_key (queue_id, key, job_id)
        SELECT id, 'welcome-7', 77 FROM foreman.queue WHERE name = 'mail'";
    // An old snapshot keeps all that was there.
    let mut old = db.session();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    session.call("create_job('mail')").succeeded();
    session.run(by_hand);
    assert_eq!(holder(&db), 77);
    session.run("UPDATE foreman.job_key SET taken_at = taken_at - interval '1 h'");
    assert_eq!(holder(&db), 77);
    session.run("DELETE FROM foreman.job_key");
    assert_eq!(holder(&db), 0);

    ended(&mut session);
    session.run(by_hand);
    assert_eq!(holder(&db), 77);
    session.run("UPDATE foreman.job_key SET job_id = 78");
    assert_eq!(holder(&db), 78);
    session.run("UPDATE foreman.job_key SET key = 'other'; UPDATE foreman.job_key SET key = 'welcome-7', job_id = 79");
    assert_eq!(holder(&db), 79);
    session.run("DELETE FROM foreman.job_key");
    assert_eq!(holder(&db), 0);
}

#[test]
fn a_key_whose_entry_is_removed_and_put_back_as_it_was_is_held() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let mut old = db.session();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    session.call("create_job('mail')").succeeded();
    // A creation that is rolled back leaves room before the entry, where the one that is put back goes.
    session.run("BEGIN");
    session.call(CREATE).succeeded();
    session.run("ROLLBACK");
    let job = session.call(CREATE).succeeded().job_id();
    session.run("VACUUM foreman.job_key");
    for _ in 0..3 {
        session.run(
            "BEGIN; CREATE TEMP TABLE saved ON COMMIT DROP AS TABLE foreman.job_key;
             DELETE FROM foreman.job_key; INSERT INTO foreman.job_key TABLE saved; COMMIT",
        );
        assert_eq!(holder(&db), job);
    }
}

#[test]
fn a_key_is_taken_and_freed_whatever_a_dba_has_added_to_the_table_of_keys() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(NEW, OLD); END'");
    for addition in [
        "ADD COLUMN region text NOT NULL DEFAULT 'here'",
        "ENABLE ROW LEVEL SECURITY",
        "ADD COLUMN number int; CREATE TRIGGER nothing BEFORE INSERT OR DELETE ON foreman.job_key
             FOR EACH ROW EXECUTE FUNCTION nothing()",
    ] {
        // By another session than the one that knows the table.
        db.session().run(&format!("ALTER TABLE foreman.job_key {addition}"));
        for end in ["update_job_success({})", "delete_job({})"] {
            let job = session.call(CREATE).succeeded().job_id();
            let duplicate = session.call(CREATE);
            assert_eq!((&duplicate["status"], duplicate.job_id()), (&json!("skipped"), job), "{addition}");
            session.call(&end.replace("{}", &job.to_string())).succeeded();
            assert_eq!(holder(&db), 0, "{addition}, {end}");
        }
    }
}

#[test]
fn without_its_index_no_key_is_taken() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = session.call(CREATE).succeeded().job_id();
    db.session().run(
        "ALTER TABLE foreman.job_key DROP CONSTRAINT job_key_is_held_once_at_a_time;
         CREATE INDEX job_key_is_held_once_at_a_time ON foreman.job_key (taken_at, queue_id, key)",
    );
    assert_eq!(session.call(CREATE).failed_with("DB_QUERY_ERROR")["sqlstate"], "55000");
    session.call("create_job('mail')").succeeded();
    // What is held is freed none the less.
    session.call(&format!("update_job_success({job})")).succeeded();
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.job_key"), 0);
}
