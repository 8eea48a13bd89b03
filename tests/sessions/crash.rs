//! A backend that is killed takes the server through crash recovery, as any does. What was answered with `success` in a
//! transaction of its own is there afterwards, once, in tables and indexes alike.

use foreman_tests::{Cluster, Reply, Session, json, wait_until};
use std::process::Command;

/// What a session was told before the server went down under it.
#[derive(Default)]
struct Told {
    created: Vec<i64>,
    completed: Vec<i64>,
}

/// Creates jobs, completes every second one, and notes the answers until the connection breaks.
fn work(session: &mut Session, name: usize) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        let Ok(reply) = session.try_call(&format!("create_job('crash', unique_key => 'key {name} {n}')")) else {
            break;
        };
        let job = reply.succeeded().job_id();
        told.created.push(job);
        if n % 2 == 0 {
            let Ok(reply) = session.try_call(&format!("update_job_success({job}, to_jsonb({n}))")) else { break };
            reply.succeeded();
            told.completed.push(job);
        }
    }
    told
}

#[test]
fn what_was_answered_survives_a_killed_backend() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "fsync = on", "full_page_writes = on"]);
    let db = cluster.database();
    let name = db.name().to_owned();
    db.session().maintain();
    let running: Vec<_> = (0..4).map(|name| db.session().background(move |s| work(s, name))).collect();
    wait_until("jobs to be created", || db.see::<i64>("SELECT count(*) FROM foreman.jobs") > 500);
    let killed = Command::new("kill").args(["-9", &running[0].pid.to_string()]).status().expect("kill is there");
    assert!(killed.success());
    let told: Vec<Told> = running.into_iter().map(|running| running.finish().1).collect();
    drop(db);
    let is_up =
        || cluster.program("pg_isready").args(["-q", "-h", cluster.socket()]).status().is_ok_and(|s| s.success());
    wait_until("the server to be back", is_up);

    let db = cluster.existing_database(&name);
    let mut session = db.session();
    let ids = |of: fn(&Told) -> &Vec<i64>| told.iter().flat_map(of).copied().collect::<Vec<i64>>();
    let (created, completed) = (ids(|told| &told.created), ids(|told| &told.completed));
    assert!(created.len() >= 400, "{} jobs", created.len());
    let lost = "SELECT count(*) FROM unnest($1::bigint[]) AS t (id)
                WHERE (SELECT count(*) FROM foreman.jobs AS j WHERE j.job_id = t.id) <> 1";
    assert_eq!(session.one::<i64>(lost, &[&created]), 0, "created, and not there once");
    let undone = "SELECT count(*) FROM foreman.jobs WHERE job_id = ANY ($1) AND status <> 'completed'";
    assert_eq!(session.one::<i64>(undone, &[&completed]), 0, "completed, and not so afterwards");

    // Tables and indexes agree: a scan of the one and of the other count the same.
    for (table, column) in [("live_job", "id"), ("job_key", "queue_id"), ("finished_job", "id")] {
        let mut count = |by: &str, condition: &str| {
            session.run(&format!("SET enable_seqscan = {by}; SET enable_indexscan = on; SET enable_bitmapscan = {by}"));
            session.one::<i64>(&format!("SELECT count(*) FROM foreman.{table} WHERE {condition}"), &[])
        };
        assert_eq!(count("on", "true"), count("off", &format!("{column} > 0")), "{table}");
    }
    let held = "SELECT count(*) FROM foreman.job_key AS k FULL JOIN foreman.live_job AS j ON j.id = k.job_id
                WHERE k.job_id IS NULL OR j.id IS NULL";
    assert_eq!(session.one::<i64>(held, &[]), 0, "each live job holds its key, and nobody else holds one");

    let next = session.call("create_job('crash')").succeeded().job_id();
    assert!(created.iter().all(|id| *id < next), "{next} was given out before");
    let stats = session.call("read_call_stats()").succeeded();
    assert_eq!(stats["functions"][0]["calls"], json!(1), "the counters began anew: {stats:#}");
}
