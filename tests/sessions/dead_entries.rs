//! A hundred thousand dead entries and more below the floors delay nobody: neither a claim in which it is looked back, nor the
//! first one after a crash. And what lies between them is found nevertheless.

use super::floors::{PRELOADED, a_thousand, claimed, create, write_by_hand};
use super::look_back::looks_back;
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Session, Value, wait_until};

/// As many as it is worth to save floors for, and more.
const DEAD: usize = 200_000;

/// The pages that one claim reads.
pub fn pages(session: &mut Session) -> i64 {
    let plan: Value = session.one("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT foreman.claim_jobs('q', 1)", &[]);
    let of = |what: &str| plan[0]["Plan"][what].as_i64().expect("a number of pages");
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

/// A session whose transaction keeps vacuum from its work, and dead entries of jobs that were ready hours ago, below the
/// floor; how many pages they take.
fn bury(session: &mut Session, old: &mut Session) -> i64 {
    bury_but(session, old, 0, "1 ms")
}

/// The same but for the last jobs, which stay; each became ready so long after the one before.
fn bury_but(session: &mut Session, old: &mut Session, last: usize, apart: &str) -> i64 {
    a_thousand(session);
    assert_eq!(claimed(session, 1), [0; 0]);
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM foreman.live_job");
    let size = "SELECT pg_relation_size('foreman.live_job') / 8192";
    let before: i64 = session.one(size, &[]);
    session.run(&format!(
        "INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
         SELECT nextval('foreman.job_id_seq'), t, t, t, q.id, 25, 5, '{{}}', '{{}}'
         FROM foreman.queue AS q, generate_series(1, {DEAD}) AS n,
              LATERAL (SELECT clock_timestamp() - interval '2 h' + n * interval '{apart}' AS t) AS c
         WHERE q.name = 'q';
         DELETE FROM foreman.live_job WHERE id <= (SELECT max(id) - {last} FROM foreman.live_job)"
    ));
    session.one::<i64>(size, &[]) - before
}

/// Claims until everything was looked through another time, and gives the pages that each has read.
fn until_a_look_back_is_over(session: &mut Session) -> Vec<i64> {
    let mut all = Vec::new();
    let [before, _] = looks_back(session);
    wait_until("a look back", || {
        all.push(pages(session));
        looks_back(session)[0] > before
    });
    all
}

#[test]
fn a_look_back_takes_a_moment_of_many_claims_and_not_long_of_one() {
    let db = Cluster::preloaded().database();
    let (mut session, mut old) = (db.session(), db.session());
    let dead = bury(&mut session, &mut old);
    until_a_look_back_is_over(&mut session);
    let by_hand = write_by_hand(&mut session);
    let read = until_a_look_back_is_over(&mut session);
    let (all, most) = (read.iter().sum::<i64>(), read.iter().max().expect("some"));
    println!("{} claims read {all} pages, one of them {most}; {dead} hold what is dead", read.len());
    assert!(all >= dead, "{all} pages were read, and not all {dead} that hold what is dead");
    assert!(*most < dead / 2, "one claim read {most} pages, where {dead} hold what is dead");
    let is_taken = format!("SELECT status = 'running' FROM foreman.live_job WHERE id = {by_hand}");
    assert!(session.one::<bool>(&is_taken, &[]) || claimed(&mut session, 1) == [by_hand]);
    assert_eq!(looks_back(&mut session)[1], 1);
}

/// The pages that the first claim after a crash reads, before which something was done.
fn first_claim(cluster: &Cluster, db: &Database, before: impl FnOnce(&mut Session)) -> (Session, i64) {
    db.session().maintain();
    cluster.kill();
    cluster.start_again();
    let mut session = db.session();
    before(&mut session);
    let read = pages(&mut session);
    (session, read)
}

#[test]
fn the_first_claim_after_a_crash_begins_where_the_floors_were_saved() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let (mut session, mut old) = (db.session(), db.session());
    let dead = bury(&mut session, &mut old);
    until_a_look_back_is_over(&mut session);
    let by_hand = write_by_hand(&mut session);
    let (mut session, read) = first_claim(&cluster, &db, |_| {});
    println!("the first claim read {read} pages; {dead} hold what is dead");
    assert!(read < dead / 2, "the first claim read {read} pages, where {dead} hold what is dead");
    wait_until("the job that nobody told of", || claimed(&mut session, 1) == [by_hand]);
}

#[test]
fn a_saved_floor_hides_nothing_that_is_made_ready_before_the_first_claim() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let (mut session, mut old) = (db.session(), db.session());
    bury(&mut session, &mut old);
    until_a_look_back_is_over(&mut session);
    let (waits, mut made) = (create(&mut session), 0);
    let (mut session, _) = first_claim(&cluster, &db, |session| {
        // As if the clock had been put back by two hours.
        session.run("UPDATE foreman.saved_floor SET ready_at = clock_timestamp() + interval '2 h'");
        made = create(session);
    });
    assert_eq!(session.one::<i64>("SELECT id FROM foreman.live_job WHERE status = 'running'", &[]), made);
    wait_until("the job of before", || claimed(&mut session, 1) == [waits]);
    assert_eq!(looks_back(&mut session)[1], 1);
}

#[test]
fn floors_are_saved_as_long_as_much_is_dead_below_them() {
    // A background worker's snapshot would now and then keep VACUUM from its work.
    let cluster = Cluster::start(&[PRELOADED, &["foreman.max_workers = 0"]].concat());
    let db = cluster.database();
    let (mut session, mut old) = (db.session(), db.session());
    let saved = |session: &mut Session| {
        // The first may have been under way before.
        (0..2).for_each(|_| drop(until_a_look_back_is_over(session)));
        session.maintain();
        session.one::<i64>("SELECT count(*) FROM foreman.saved_floor", &[])
    };
    a_thousand(&mut session);
    assert_eq!(saved(&mut session), 0);
    bury(&mut session, &mut old);
    assert_ne!(saved(&mut session), 0);
    old.run("COMMIT");
    session.run("VACUUM foreman.live_job");
    assert_eq!(saved(&mut session), 0);
}

#[test]
fn without_preload_a_session_looks_back_in_moments_too() {
    let db = Cluster::shared().database();
    let (mut session, mut old) = (db.session(), db.session());
    let dead = bury(&mut session, &mut old);
    let first = pages(&mut session);
    let by_hand = write_by_hand(&mut session);
    let is_taken = format!("SELECT status = 'running' FROM foreman.live_job WHERE id = {by_hand}");
    let mut read = Vec::new();
    wait_until("the job that nobody has told of", || {
        read.push(pages(&mut session));
        session.one::<bool>(&is_taken, &[])
    });
    read_some_each(dead, first, &read);
}

#[test]
fn without_preload_what_became_ready_at_one_moment_is_looked_through_in_moments_too() {
    let db = Cluster::shared().database();
    let (mut session, mut old) = (db.session(), db.session());
    let dead = bury_but(&mut session, &mut old, 10_000, "0");
    // Whose floor is not ahead of them already.
    let mut session = db.session();
    let began = Instant::now();
    let first = pages(&mut session);
    // For so long looks wait after such a walk.
    let enough = Instant::now() + 25 * began.elapsed();
    let mut read = Vec::new();
    while Instant::now() < enough {
        read.push(pages(&mut session));
        thread::sleep(Duration::from_millis(10));
    }
    read_some_each(dead, first, &read);
}

/// Entries that the index knows to be dead it does not show, so that nothing but their pages tells of them.
#[test]
fn without_preload_what_was_done_since_the_last_vacuum_is_walked_through_now_and_then() {
    let cluster = Cluster::start(&["autovacuum = off"]);
    let db = cluster.database();
    let (mut session, mut old) = (db.session(), db.session());
    bury_but(&mut session, &mut old, 200, "1 ms");
    old.run("COMMIT");
    // The index learns that they are dead for all; this session knows already that they are many.
    pages(&mut session);
    let mut session = db.session();
    let read: Vec<i64> = (0..100).map(|_| pages(&mut session)).collect();
    let walk: i64 = session.one("SELECT pg_relation_size('foreman.live_job_ready') / 8192", &[]);
    let (all, most) = (read.iter().sum::<i64>(), read.iter().max().expect("some"));
    println!("100 claims read {all} pages, one of them {most}; the index has {walk}");
    assert!(all < 100 * walk / 4, "100 claims read {all} pages, where each could walk through the {walk} of the index");
}

/// What waits since the same moment behind the floor is read by no claim, in whatever look below it.
#[test]
fn jobs_that_wait_since_one_moment_cost_a_claim_nothing() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        let mut session = db.session();
        create(&mut session);
        session.run(&format!(
            "INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
             SELECT nextval('foreman.job_id_seq'), t, t, t, q.id, 25, 5, '{{}}', '{{}}'
             FROM foreman.queue AS q, generate_series(1, {DEAD}) AS n, (SELECT now() - interval '2 h' AS t) AS c
             WHERE q.name = 'q'"
        ));
        session.run("VACUUM ANALYZE foreman.live_job");
        pages(&mut session);
        let read: Vec<i64> = (0..200)
            .map(|_| {
                thread::sleep(Duration::from_millis(10));
                pages(&mut session)
            })
            .collect();
        let most = read.into_iter().max().expect("some");
        // Plans are made anew now and then, which reads some of the catalogs.
        let all: i64 = session.one("SELECT pg_relation_size('foreman.live_job_ready') / 8192", &[]);
        assert!(most < all / 2, "one claim read {most} pages, where {all} hold what waits");
    }
}

/// No claim but the first has read most of the pages that hold what is dead.
fn read_some_each(dead: i64, first: i64, read: &[i64]) {
    let (all, most) = (read.iter().sum::<i64>(), read.iter().max().expect("some"));
    println!(
        "the first claim read {first} pages, {} others {all}, one of them {most}; {dead} hold what is dead",
        read.len()
    );
    assert!(*most < dead / 2, "one claim read {most} pages, where {dead} hold what is dead");
}
