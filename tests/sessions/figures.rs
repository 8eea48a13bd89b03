//! Figures are exact as of a moment that they name, and cost no more with more jobs: days that are over are counted once,
//! what changes in them is added, and what is large is rolled up by upkeep.

use foreman_tests::{Cluster, Database, Random, Reply, Running, Session, Value, in_full, json, seed};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a count of all jobs gives, as `job_stats` has it.
const COUNT: &str = "
SELECT jsonb_build_object(
    'pending', count(*) FILTER (WHERE status = 'pending'), 'running', count(*) FILTER (WHERE status = 'running'),
    'completed', count(*) FILTER (WHERE status = 'completed'), 'failed', count(*) FILTER (WHERE status = 'failed'),
    'cancelled', count(*) FILTER (WHERE status = 'cancelled'), 'total', count(*))
FROM foreman.jobs";

/// More than is counted by who asks: some 5 MB.
pub const MANY: i64 = 30_000;

/// Jobs that ended at noon (UTC) of the day so many days ago.
pub fn end_jobs(session: &mut Session, days_ago: i32, jobs: i64) {
    session.run(&format!(
        "SELECT foreman.create_job('q') WHERE NOT EXISTS (SELECT FROM foreman.queue);
         SELECT foreman.make_partition((clock_timestamp() AT TIME ZONE 'UTC')::date - {days_ago});
         INSERT INTO foreman.finished_job (id, run_at, created_at, finished_at, queue_id, attempt, max_attempts, priority,
                                           status, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t.at, t.at, t.at, q.id, 1, 25, n % 10,
                ('{{completed,failed,cancelled}}'::foreman.job_status[])[1 + n % 3], to_jsonb(repeat('x', 50)), '{{}}'
           FROM generate_series(1, {jobs}) AS n, foreman.queue AS q,
                (SELECT date_trunc('day', clock_timestamp(), 'UTC') - interval '{days_ago} days'
                        + interval '12 hours' * ({days_ago} > 0)::int AS at) AS t
          WHERE q.name = 'q'"
    ));
}

/// Jobs that wait.
pub fn add_waiting(session: &mut Session, jobs: i64) {
    session.run(&format!(
        "SELECT foreman.create_job('q') WHERE NOT EXISTS (SELECT FROM foreman.queue);
         INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t.at, t.at, t.at, q.id, 25, n % 10, to_jsonb(repeat('x', 50)), '{{}}'
           FROM generate_series(1, {jobs}) AS n, foreman.queue AS q, (SELECT clock_timestamp() AS at) AS t
          WHERE q.name = 'q'"
    ));
}

/// The counts in a reply of `job_stats`.
fn counts(stats: &Value) -> Value {
    ["pending", "running", "completed", "failed", "cancelled", "total"]
        .into_iter()
        .map(|name| (name.to_owned(), stats[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The figures are those of a count in the same snapshot.
#[track_caller]
pub fn assert_exact(session: &mut Session, when: &str) {
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let told = session.call("job_stats()").succeeded();
    let counted: Value = session.one(COUNT, &[]);
    let health = session.call("db_health()")["database_stats"].clone();
    session.run("COMMIT");
    assert_eq!(counts(&told), counted, "{when}: {told:#}");
    assert_eq!(
        [&health["total_jobs"], &health["completed_jobs"], &health["failed_jobs"]],
        [&counted["total"], &counted["completed"], &counted["failed"]],
        "{when}"
    );
}

/// The counts of the roll-up as of its moment, whatever is counted by who asks.
const ROLLED_UP: &str = "
SELECT jsonb_build_object(
    'pending', l.pending, 'running', l.running, 'completed', e.completed, 'failed', e.failed, 'cancelled', e.cancelled,
    'total', l.pending + l.running + e.completed + e.failed + e.cancelled)
FROM (SELECT sum(pending)::bigint AS pending, sum(running)::bigint AS running
        FROM foreman.roll_up_live JOIN foreman.roll_up ON id = roll_up) AS l,
     (SELECT coalesce(sum(jobs) FILTER (WHERE status = 'completed'), 0)::bigint AS completed,
             coalesce(sum(jobs) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
             coalesce(sum(jobs) FILTER (WHERE status = 'cancelled'), 0)::bigint AS cancelled
        FROM foreman.roll_up_ended JOIN foreman.roll_up ON id = roll_up) AS e";

/// Closes days that are over, and then counts them.
pub fn count_days(session: &mut Session) {
    for _ in 0..2 {
        session.maintain();
    }
}

fn uncounted_days(db: &Database) -> i64 {
    db.see(
        "SELECT count(*) FROM foreman.finished_days() WHERE NOT is_counted AND day < (now() AT TIME ZONE 'UTC')::date",
    )
}

/// Counts for a roll-up, however long ago the last one is.
#[track_caller]
pub fn roll_up(session: &mut Session) {
    session.run("UPDATE foreman.roll_up SET as_of = as_of - interval '1 hour'");
    let done = session.maintain();
    assert_eq!(done["roll_ups"], 1, "{done:#}");
}

/// The id of some job of yesterday in this state.
fn of_yesterday(db: &Database, status: &str) -> i64 {
    db.see(&format!(
        "SELECT min(id) FROM foreman.finished_job
          WHERE status = '{status}' AND finished_at < date_trunc('day', clock_timestamp(), 'UTC')"
    ))
}

#[test]
fn what_changes_in_a_day_that_was_counted_is_in_the_figures_at_once() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 300);
    end_jobs(&mut session, 2, 30);
    assert_exact(&mut session, "before anything is counted");
    count_days(&mut session);
    assert_eq!(uncounted_days(&db), 0);
    assert_exact(&mut session, "counted");
    let changes = [
        format!("SELECT foreman.check(foreman.retry_job({}))", of_yesterday(&db, "failed")),
        format!("SELECT foreman.check(foreman.delete_job({}))", of_yesterday(&db, "completed")),
        "DELETE FROM foreman.finished_job WHERE id % 7 = 0".to_owned(),
        "UPDATE foreman.finished_job SET status = 'cancelled' WHERE id % 5 = 0".to_owned(),
        "UPDATE foreman.finished_job SET finished_at = finished_at - interval '1 day' WHERE id % 3 = 0
            AND finished_at > date_trunc('day', now(), 'UTC') - interval '1 day'"
            .to_owned(),
        "UPDATE foreman.finished_job SET finished_at = finished_at + interval '1 day' WHERE id % 3 = 1
            AND finished_at < date_trunc('day', now(), 'UTC') - interval '1 day'"
            .to_owned(),
        "INSERT INTO foreman.finished_job SELECT * FROM foreman.finished_job".to_owned(),
        // As subscribers apply changes
        "SET LOCAL session_replication_role = replica; DELETE FROM foreman.finished_job WHERE id % 2 = 0".to_owned(),
        "TRUNCATE foreman.finished_job".to_owned(),
    ];
    for change in changes {
        session.run(&format!("BEGIN; {change}"));
        let inside: Value = session.one(COUNT, &[]);
        assert_eq!(counts(&session.call("job_stats()")), inside, "inside the transaction: {change}");
        session.run("ROLLBACK");
        assert_exact(&mut session, &format!("undone: {change}"));
        session.run(&format!("BEGIN; SAVEPOINT s; {change}; ROLLBACK TO s; {change}; COMMIT"));
        assert_exact(&mut session, &change);
        session.run("SELECT foreman.add_changes(1)");
        assert_exact(&mut session, &format!("added up: {change}"));
        assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.finished_change"), 0, "{change}");
    }
    assert_eq!(uncounted_days(&db), 0, "none is counted again");
}

#[test]
fn a_change_under_way_while_its_day_is_closed_and_counted_is_counted_once() {
    for ends in ["COMMIT", "ROLLBACK"] {
        let db = Cluster::shared().database();
        let (mut session, mut other) = (db.session(), db.session());
        end_jobs(&mut session, 1, 300);
        other.run("BEGIN; DELETE FROM foreman.finished_job WHERE id % 3 = 0");
        count_days(&mut session);
        assert_eq!(uncounted_days(&db), 1, "not closed while it is changed");
        assert_exact(&mut session, "open");
        other.run(ends);
        session.maintain();
        assert_eq!(uncounted_days(&db), 1, "closed only");
        other.run("BEGIN; DELETE FROM foreman.finished_job WHERE id % 3 = 1");
        let third =
            db.session().background(|s| s.run("DELETE FROM foreman.finished_job WHERE id % 3 = 2 AND id % 2 = 0"));
        third.finish();
        session.maintain();
        assert_eq!(uncounted_days(&db), 0);
        assert_exact(&mut session, "counted, and one change is open");
        session.run("DELETE FROM foreman.finished_job WHERE id % 3 = 2 AND id % 5 = 0; SELECT foreman.add_changes(1)");
        assert_exact(&mut session, "others were added up, and one change is open");
        other.run(ends);
        assert_exact(&mut session, ends);
        session.run("SELECT foreman.add_changes(1)");
        assert_exact(&mut session, "added up");
    }
}

#[test]
fn a_prepared_change_of_a_day_is_counted_when_it_is_committed_and_holds_up_no_other_day() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 300);
    end_jobs(&mut session, 2, 30);
    let gid = format!("days of {}", db.name());
    let prepare = |session: &mut Session, days: i32| {
        let table: String = session.one(
            "SELECT partition_name::text FROM foreman.finished_day WHERE day = (now() AT TIME ZONE 'UTC')::date - $1::int",
            &[&days],
        );
        session.run(&format!("BEGIN; DELETE FROM foreman.{table} WHERE id % 3 = {days}; PREPARE TRANSACTION '{gid}'"));
    };
    prepare(&mut session, 2);
    count_days(&mut session);
    assert_eq!(uncounted_days(&db), 1, "the other day is counted");
    assert_exact(&mut session, "prepared");
    session.run(&format!("COMMIT PREPARED '{gid}'"));
    count_days(&mut session);
    assert_eq!(uncounted_days(&db), 0);
    assert_exact(&mut session, "committed");
    prepare(&mut session, 1);
    session.maintain();
    assert_exact(&mut session, "prepared after the count");
    session.run(&format!("COMMIT PREPARED '{gid}'"));
    assert_exact(&mut session, "committed after the count");
}

/// Creates, ends, deletes and retries jobs at random until it is told to stop.
fn work(db: &Database, stop: &Arc<AtomicBool>, mut random: Random) -> Running<()> {
    let stop = Arc::clone(stop);
    db.session().background(move |s| {
        while !stop.load(Ordering::Relaxed) {
            let mut some = |status: &str| {
                let place = random.below(40);
                format!("(SELECT job_id FROM foreman.jobs WHERE status = '{status}' OFFSET {place} LIMIT 1)")
            };
            let calls = [
                "create_job('q')".to_owned(),
                "create_job('q')".to_owned(),
                format!("update_job_success({})", some("pending")),
                format!("update_job_failure({}, 'x')", some("pending")),
                format!("delete_job({})", some("cancelled")),
                format!("retry_job({})", some("failed")),
            ];
            // Another session may have been faster, or there is none such.
            s.call(random.pick::<String>(&calls));
        }
    })
}

#[test]
fn figures_of_one_snapshot_agree_with_a_count_in_it_while_jobs_come_and_end() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 600);
    let seed = seed();
    let [stop, stop_upkeep] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..4).map(|n| work(&db, &stop, Random::new(seed + n))).collect();
    let upkeep = {
        let stop = Arc::clone(&stop_upkeep);
        db.session().background(move |s| {
            s.set("foreman.debug", "on");
            while !stop.load(Ordering::Relaxed) {
                s.maintain();
                s.run("SELECT foreman.add_changes(1)");
            }
        })
    };
    for _ in 0..if in_full() { 400 } else { 100 } {
        assert_exact(&mut session, &format!("seed {seed}"));
    }
    assert_eq!(uncounted_days(&db), 0);
    stop_upkeep.store(true, Ordering::Relaxed);
    upkeep.finish();
    // The same of roll-ups, each undone, so that the next one is due.
    add_waiting(&mut session, MANY);
    for _ in 0..if in_full() { 40 } else { 10 } {
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert_eq!(session.one::<i64>("SELECT foreman.make_roll_up()", &[]), 1);
        let [told, counted]: [Value; 2] = [ROLLED_UP, COUNT].map(|sql| session.one(sql, &[]));
        session.run("ROLLBACK");
        assert_eq!(told, counted, "seed {seed}");
    }
    stop.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|running| drop(running.finish()));
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_job_that_moves_is_in_the_figures_once() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 300);
    let stop = Arc::new(AtomicBool::new(false));
    let assert_all_there = |session: &mut Session, jobs: i64, times: usize, sql: &str| {
        for _ in 0..times {
            assert_eq!(session.one::<i64>(sql, &[]), jobs, "{sql}");
        }
    };
    let movers: Vec<_> = (0..3)
        .map(|n| {
            let (stop, mut random) = (Arc::clone(&stop), Random::new(n));
            db.session().background(move |s| {
                while !stop.load(Ordering::Relaxed) {
                    let job = random.below(301) + 1;
                    s.call(&format!("retry_job({job})"));
                    s.call(&format!("update_job_failure({job}, 'x')"));
                }
            })
        })
        .collect();
    let rolled_up = format!("SELECT (r -> 'total')::bigint FROM ({ROLLED_UP}) AS t (r)");
    for step in ["SELECT foreman.close_days()", "SELECT foreman.count_days()", "SELECT foreman.add_changes(1)"] {
        session.run(step);
        assert_all_there(&mut session, 301, 60, "SELECT (foreman.job_stats() -> 'total')::bigint");
        assert_all_there(
            &mut session,
            301,
            60,
            "SELECT (foreman.db_health() #> '{database_stats,total_jobs}')::bigint",
        );
    }
    add_waiting(&mut session, MANY);
    for _ in 0..20 {
        session.run("UPDATE foreman.roll_up SET as_of = as_of - interval '1 hour'; SELECT foreman.make_roll_up()");
        assert_all_there(&mut session, 301 + MANY, 1, &rolled_up);
        session.run("SELECT foreman.add_changes(1)");
    }
    stop.store(true, Ordering::Relaxed);
    movers.into_iter().for_each(|running| drop(running.finish()));
    roll_up(&mut session);
    assert_exact(&mut session, "at the end");
}

#[test]
fn health_counts_what_the_same_statement_has_created() {
    let db = Cluster::shared().database();
    let both = "SELECT jsonb_build_array(foreman.create_job('q') -> 'status',
                                         foreman.db_health() #> '{database_stats,total_jobs}')";
    let told: Value = db.session().one(both, &[]);
    assert_eq!(told, json!(["success", 1]));
}

#[test]
fn a_window_begins_at_the_moment_that_the_reply_names() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 0, 30);
    end_jobs(&mut session, 1, 300);
    end_jobs(&mut session, 2, 30);
    session.run("UPDATE foreman.finished_job SET finished_at = date_trunc('day', finished_at, 'UTC') + interval '1 h' * (id % 24)
                  WHERE finished_at < date_trunc('day', now(), 'UTC')");
    let assert_windows = |session: &mut Session, what: &str, longest: i64| {
        for hours in [0.01, 1.0, 13.3, 20.0, 24.0, 30.5, 48.0, 60.0, 100.0] {
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
            let told = session.call(&format!("job_stats(since_seconds => {hours} * 3600)")).succeeded();
            let (counted, early): (i64, f64) = {
                let row = session
                    .query_one(
                        "SELECT count(*) FILTER (WHERE finished_at >= $1::text::timestamptz),
                                extract(epoch FROM clock_timestamp() - $1::text::timestamptz)::float8
                           FROM foreman.jobs WHERE finished_at IS NOT NULL",
                        &[&told["since"].as_str()],
                    )
                    .expect("it can be counted");
                (row.get(0), row.get(1))
            };
            session.run("COMMIT");
            let ended: i64 = ["completed", "failed", "cancelled"].iter().filter_map(|name| told[name].as_i64()).sum();
            assert_eq!(ended, counted, "{what}, {hours} h: {told:#}");
            let early = early - hours * 3600.0;
            assert!((0.0..longest as f64 + 5.0).contains(&early), "{what}: {early} s before {hours} h: {told:#}");
        }
    };
    assert_windows(&mut session, "counted now", 0);
    count_days(&mut session);
    assert_windows(&mut session, "days counted", 3600);
    session.run("DELETE FROM foreman.finished_job WHERE id % 5 = 0");
    assert_windows(&mut session, "changed", 3600);
    end_jobs(&mut session, 0, MANY);
    roll_up(&mut session);
    assert_windows(&mut session, "rolled up", 3600);
}

#[test]
fn what_no_queue_keeps_is_in_no_figure() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for days in 1..=4 {
        end_jobs(&mut session, days, 300);
    }
    count_days(&mut session);
    session.call("configure_queue('q', completed_retention_seconds => 86400)").succeeded();
    session.maintain();
    assert_exact(&mut session, "swept");
    session.run("SELECT foreman.add_changes(1)");
    assert_exact(&mut session, "swept and added up");
    session.call("configure_queue('q', failed_retention_seconds => 86400)").succeeded();
    let gone = session.maintain();
    assert_eq!(gone["partitions_dropped"], 3, "{gone:#}");
    assert_exact(&mut session, "dropped");
    let left =
        "SELECT count(DISTINCT day) FROM foreman.finished_count WHERE day < (now() AT TIME ZONE 'UTC')::date - 1";
    assert_eq!(db.see::<i64>(left), 0);
    // A table that was taken away by hand is no part of them either.
    session.run(
        "DO $$BEGIN EXECUTE (SELECT 'ALTER TABLE foreman.finished_job DETACH PARTITION foreman.' || partition_name
                   FROM foreman.finished_day WHERE day = (now() AT TIME ZONE 'UTC')::date - 1); END$$",
    );
    assert_exact(&mut session, "detached");
}

#[test]
fn the_extension_can_be_dropped_where_days_were_counted() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 3);
    count_days(&mut session);
    assert_eq!(uncounted_days(&db), 0);
    session.run("DROP EXTENSION pg_foreman; CREATE EXTENSION pg_foreman");
    assert_eq!(session.call("job_stats()").succeeded()["total"], 0);
}
