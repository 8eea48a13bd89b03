//! What figures cost does not grow with the number of jobs.

use crate::figures::{MANY, add_waiting, count_days, end_jobs, roll_up};
use foreman_tests::{Cluster, Reply, Session, Value, json};

#[test]
fn explain_job_counts_no_more_than_a_thousand_jobs_ahead() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let job = session.call("create_job('q', priority => 9)").succeeded().job_id();
    let ahead = |session: &mut Session, more: i64| {
        add_waiting(session, more);
        let told = session.call(&format!("explain_job({job})")).succeeded();
        (told["jobs_ahead"].clone(), told["jobs_ahead_is_at_least"].clone())
    };
    session.run("UPDATE foreman.live_job SET ready_at = ready_at + interval '1 microsecond'");
    assert_eq!(ahead(&mut session, 1_000), (json!(900), Value::Null), "those of its own priority came later");
    assert_eq!(ahead(&mut session, 1_000), (json!(1_000), json!(true)));
}

/// Pages that a call reads, its own statements included: the least of several, since the first ones read the catalog.
fn pages(session: &mut Session, call: &str) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT foreman.{call}");
    let once = |session: &mut Session| {
        let plan: Value = session.one(&explain, &[]);
        let of = |what: &str| plan[0]["Plan"][what].as_i64().unwrap_or_else(|| panic!("{what} in {plan:#}"));
        of("Shared Hit Blocks") + of("Shared Read Blocks")
    };
    (0..8).map(|_| once(session)).min().expect("there are several")
}

#[test]
fn ten_times_the_jobs_cost_no_page_more() {
    /// An index may be a level higher, and a few more tuples of ours dead.
    const MOST_MORE: i64 = 20;
    let db = Cluster::shared().database();
    let (mut session, mut old) = (db.session(), db.session());
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM foreman.live_job");
    let cost = |session: &mut Session, jobs: i64| {
        end_jobs(session, 0, jobs);
        end_jobs(session, 1, jobs);
        add_waiting(session, jobs);
        count_days(session);
        // Its changes beyond the thousandth were added, and their rows are kept by the old snapshot.
        session
            .run("DELETE FROM foreman.finished_job WHERE id % 2 = 0 AND finished_at < date_trunc('day', now(), 'UTC')");
        session.maintain();
        roll_up(session);
        ["job_stats()", "job_stats('q', 86400)", "db_health()", "metrics()"].map(|call| pages(session, call))
    };
    let (few, many) = (cost(&mut session, MANY), cost(&mut session, 10 * MANY));
    println!(
        "pages read by job_stats, of a day, by db_health and by metrics: {few:?}, with eleven times the jobs {many:?}"
    );
    old.run("COMMIT");
    assert!(few.iter().zip(&many).all(|(few, many)| *many <= few + MOST_MORE), "{few:?} {many:?}");
}

#[test]
fn no_other_process_is_asked_to_help_with_figures() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 10);
    add_waiting(&mut session, MANY);
    count_days(&mut session);
    roll_up(&mut session);
    session.run("LOAD 'auto_explain'");
    for name in ["log_nested_statements", "log_min_duration"] {
        session.set(&format!("auto_explain.{name}"), if name == "log_min_duration" { "0" } else { "on" });
    }
    // What statistics may lead the planner to, it does wherever it may. The setting's name changed with PostgreSQL 16.
    session.run(
        "SELECT set_config(name, 'on', false) FROM pg_settings
         WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
    );
    for call in ["job_stats()", "job_stats('q', 86400)", "db_health()"] {
        session.call(call);
    }
    let log = db.log();
    let plans: Vec<&str> = log.iter().filter(|entry| entry.pid == session.pid()).map(|entry| &*entry.text).collect();
    assert!(plans.iter().any(|plan| plan.contains("foreman.finished_change")), "{plans:#?}");
    let asking: Vec<&&str> = plans.iter().filter(|plan| plan.contains("Gather")).collect();
    assert!(asking.is_empty(), "{asking:#?}");
}
