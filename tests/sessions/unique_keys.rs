//! A unique key names one job, however many sessions want to create it at the same moment. All others are told which
//! job is there.

use foreman_tests::{Cluster, Reply, json};

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
