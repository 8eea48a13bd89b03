//! Jobs that may not run cost nothing: a claim reads as many pages with a hundred thousand of them around as without.

use foreman_tests::{Cluster, Database, Reply, Session, Value, wait_until};

/// Ready jobs, enough for all that is measured.
const READY: usize = 200;
/// Pages that a claim may read more: each of the ten priorities is looked up in an index, which is one or two levels
/// higher for a hundred thousand jobs than for a few, and so are those that the update enters the job in.
const MOST_MORE: i64 = 60;

/// The pages that a claim reads, those of its own statements among them: the least of several, since the first ones
/// read the catalog as well and meet what the former left behind.
pub fn pages(session: &mut Session, most: usize) -> i64 {
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT foreman.claim_jobs('q', {most})");
    let once = |session: &mut Session| {
        let plan: Value = session.one(&explain, &[]);
        let of = |what: &str| plan[0]["Plan"][what].as_i64().unwrap_or_else(|| panic!("{what} in {plan:#}"));
        of("Shared Hit Blocks") + of("Shared Read Blocks")
    };
    (0..8).map(|_| once(session)).min().expect("there are several")
}

/// What a claim of one and of ten costs now. `VACUUM` first, so that neither measurement pays for the loading. It removes
/// nothing that an autovacuum of another table may still see: then each claim looks below its floor until the next `VACUUM`,
/// a second descent for each priority.
fn cost(db: &Database) -> [i64; 2] {
    let mut session = db.session();
    wait_until("VACUUM to remove all dead rows", || {
        session.run("VACUUM (ANALYZE, INDEX_CLEANUP ON) foreman.live_job");
        session.one::<i64>("SELECT pg_stat_get_dead_tuples('foreman.live_job'::regclass)", &[]) == 0
    });
    session.run("VACUUM (ANALYZE) foreman.finished_job");
    [1, 10].map(|most| pages(&mut session, most))
}

fn create_ready(session: &mut Session) {
    for n in 0..READY {
        session.call(&format!("create_job('q', priority => {})", n % 10)).succeeded();
    }
}

/// Rows as the functions leave them, by the thousand.
const FAILED: &str = "
INSERT INTO foreman.finished_job
    (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts, priority, status, payload, metadata, error)
SELECT nextval('foreman.job_id_seq'), c.at, c.at, c.at, c.at, q.id, 25, 25, n % 10, 'failed', '{}', '{}', 'no'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, 100000) AS n WHERE q.name = 'q'";
const TOMORROW: &str = "
INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
SELECT nextval('foreman.job_id_seq'), c.at + interval '1 day', c.at + interval '1 day', c.at, q.id, 25, n % 10, '{}', '{}'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, 100000) AS n WHERE q.name = 'q'";
const RUNNING: &str = "
INSERT INTO foreman.live_job
    (id, run_at, ready_at, created_at, started_at, lease_expires_at, lease_seconds, lease_token, queue_id, attempt,
     max_attempts, priority, status, payload, metadata)
SELECT nextval('foreman.job_id_seq'), c.at, c.at, c.at, c.at, c.at + interval '1 h', 3600, gen_random_uuid(), q.id, 1,
       25, n % 10, 'running', '{}', '{}'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, 5000) AS n WHERE q.name = 'q'";

#[test]
fn jobs_that_may_not_run_cost_a_claim_nothing() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        they_cost_nothing(&cluster.database());
    }
}

fn they_cost_nothing(db: &Database) {
    let mut session = db.session();
    // Its own dead rows are not what is measured, nor is who cleans up after them and when.
    session.run("ALTER TABLE foreman.live_job SET (autovacuum_enabled = false)");
    session.maintain();
    create_ready(&mut session);
    let without = cost(db);
    for rows in [FAILED, TOMORROW, RUNNING] {
        session.run(rows);
    }
    create_ready(&mut session);
    let with = cost(db);
    println!("pages read by a claim of 1 and of 10: {without:?} without, {with:?} with those that may not run");
    for (without, with) in without.into_iter().zip(with) {
        assert!(with <= without + MOST_MORE, "{with} pages with them, {without} without");
    }
    // Nor does it where none is ready, which is known only after a look at each priority.
    while !session.call("claim_jobs('q', 1000)").succeeded()["jobs"].as_array().expect("a list").is_empty() {}
    let nothing = cost(db);
    println!("and {nothing:?} where none is ready");
    assert!(nothing.into_iter().all(|pages| pages <= MOST_MORE), "{nothing:?} pages");
}
