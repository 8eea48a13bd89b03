//! What is large is rolled up by upkeep: when, of which moment the figures then are, and what is told where nobody does it.

use crate::figures::{MANY, add_waiting, assert_exact, end_jobs, roll_up};
use foreman_tests::{Cluster, Reply, Value, json, wait_until};

#[test]
fn who_has_just_created_jobs_sees_them_where_few_wait() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 0, MANY);
    session.call("claim_jobs('q')").succeeded();
    let before = session.call("job_stats()").succeeded();
    assert_eq!(before["as_of"], before["live_as_of"], "nobody has done upkeep: {before:#}");
    roll_up(&mut session);
    session.run("SELECT foreman.create_job('q') FROM generate_series(1, 3)");
    let done = session.call("create_job('q')").succeeded().job_id();
    session.call(&format!("update_job_success({done})")).succeeded();
    let told = session.call("job_stats()").succeeded();
    assert_eq!((&told["pending"], &told["running"]), (&json!(3), &json!(1)), "{told:#}");
    assert_eq!(told["completed"], before["completed"], "{told:#}");
    let is_before: bool = session
        .one("SELECT ($1::jsonb ->> 'as_of')::timestamptz < ($1::jsonb ->> 'live_as_of')::timestamptz", &[&told]);
    assert!(is_before, "{told:#}");
    roll_up(&mut session);
    assert_exact(&mut session, "rolled up");
    // Where many wait, all figures are of one moment.
    add_waiting(&mut session, MANY);
    roll_up(&mut session);
    session.call("create_job('q')").succeeded();
    let told = session.call("job_stats()").succeeded();
    assert_eq!(told["pending"], 3 + MANY, "{told:#}");
    assert_eq!(told["as_of"], told["live_as_of"], "{told:#}");
}

#[test]
fn a_job_that_ends_after_the_live_ones_were_rolled_up_is_not_counted_twice() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    add_waiting(&mut session, MANY);
    roll_up(&mut session);
    let jobs = db.see::<i64>("SELECT count(*) FROM foreman.live_job");
    let job: i64 = session.one("SELECT min(id) FROM foreman.live_job", &[]);
    session.call(&format!("update_job_success({job})")).succeeded();
    let told = session.call("job_stats()").succeeded();
    assert_eq!((&told["pending"], &told["completed"]), (&json!(jobs), &json!(0)), "as of then: {told:#}");
    assert_eq!(session.call("db_health()")["database_stats"]["total_jobs"], jobs);
    roll_up(&mut session);
    assert_exact(&mut session, "rolled up");
}

#[test]
fn without_a_roll_up_of_late_jobs_are_counted() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    add_waiting(&mut session, MANY);
    assert_exact(&mut session, "none yet");
    roll_up(&mut session);
    session.call("create_job('q')").succeeded();
    assert_eq!(session.call("job_stats('q')")["pending"], MANY + 1, "the one that made the queue among them");
    session.run("UPDATE foreman.roll_up SET as_of = as_of - interval '2 hours'");
    assert_exact(&mut session, "too old");
    roll_up(&mut session);
    session.run("TRUNCATE foreman.roll_up");
    assert_exact(&mut session, "emptied by hand");
}

#[test]
fn upkeep_counts_no_more_often_than_a_twentieth_of_the_time() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    add_waiting(&mut session, MANY);
    roll_up(&mut session);
    session.run(
        "UPDATE foreman.roll_up SET took = interval '1 minute', as_of = clock_timestamp() - interval '19 minutes'",
    );
    assert_eq!(session.maintain()["roll_ups"], 0);
    session.run("UPDATE foreman.roll_up SET as_of = clock_timestamp() - interval '21 minutes'");
    assert_eq!(session.maintain()["roll_ups"], 1);
    // A clock that was set back stops nothing.
    session.run("UPDATE foreman.roll_up SET as_of = clock_timestamp() + interval '1 hour'");
    assert_eq!(session.maintain()["roll_ups"], 1);
    let rows = "SELECT count(*) FROM foreman.roll_up_live UNION ALL SELECT count(*) FROM foreman.roll_up";
    let rows: Vec<i64> = session.query(rows, &[]).expect("they can be read").iter().map(|row| row.get(0)).collect();
    assert_eq!(rows, [1, 1], "the last one is kept, and no other");
}

#[test]
fn without_upkeep_health_does_not_count_jobs_that_are_many_and_says_what_would() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("create_job('q')").succeeded();
    session.run(
        "INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t, t, t, q.id, 25, 5, '{}', '{}'
         FROM foreman.queue AS q, generate_series(1, 300000), (SELECT clock_timestamp() AS t) AS c WHERE q.name = 'q'",
    );
    wait_until("the statistics", || db.see("SELECT pg_stat_get_live_tuples('foreman.live_job'::regclass) > 300000"));
    let health = session.call("db_health()");
    assert_eq!((&health["complete"], &health["database_stats"]), (&false.into(), &Value::Null), "{health:#}");
    let checks = health["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "oldest_ready_job").expect("the check");
    assert_eq!(check["status"], "unknown", "{check:#}");
    assert_eq!(check["remedy"], "SELECT foreman.maintain();");
    // Where those that ended can't be read either, live ones are still not counted.
    let mut locker = db.session();
    locker.run("BEGIN; LOCK TABLE foreman.finished_day IN ACCESS EXCLUSIVE MODE");
    let health = session.call("db_health()");
    let checks = health["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "oldest_ready_job").expect("the check");
    assert_eq!(
        (&check["status"], &check["remedy"]),
        (&"unknown".into(), &"SELECT foreman.maintain();".into()),
        "{check:#}"
    );
    locker.run("ROLLBACK");
    let told = "SELECT count(*) FROM foreman.metric_samples WHERE name ~ '^foreman_(queue_jobs|live_figures)'";
    assert_eq!(session.one::<i64>(told, &[]), 0);
    session.maintain();
    assert_eq!(session.one::<i64>(told, &[]), 4);
    let health = session.call("db_health()");
    assert_eq!(
        (&health["complete"], &health["database_stats"]["total_jobs"]),
        (&true.into(), &300_001.into()),
        "{health:#}"
    );
}
