//! What only a look below the floors finds. In ordinary use that is nothing; what was written by hand is counted, and done
//! as all else is. No test can move the floors, which are the server's own, but it can move jobs: a floor is as wrong
//! where its job was put below it by hand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, Random, Reply, Session, seed, wait_until};

use super::floors::{PRELOADED, a_thousand, claimed, create, write_by_hand};

/// How often claims have looked below the floors of this database, and how many jobs they have found only so.
pub fn looks_back(session: &mut Session) -> [i64; 2] {
    let sum = |what: &str| format!("coalesce(sum((q ->> '{what}')::bigint), 0)::bigint");
    let (looks, found) = (sum("looks_back"), sum("found_by_look_back"));
    let sql = format!("SELECT {looks}, {found} FROM jsonb_array_elements(foreman.read_floor_stats() -> 'queues') AS q");
    let row = session.query_one(&sql, &[]).expect("the floors tell of themselves");
    [row.get(0), row.get(1)]
}

/// What jobs are made of, in all the ways that a program has.
fn create_somehow(session: &mut Session, random: &mut Random) {
    let create = format!("SELECT foreman.create_job('q', priority => {})", random.below(10));
    match random.below(8) {
        0 => {
            session.run(&format!("BEGIN; {create}"));
            thread::sleep(random.milliseconds(300));
            session.run(if random.percent(70) { "COMMIT" } else { "ROLLBACK" });
        }
        1 => session.run(&format!("BEGIN; SAVEPOINT s; {create}; ROLLBACK TO s; {create}; COMMIT")),
        2 => session.run(
            "SELECT foreman.create_jobs((SELECT jsonb_agg('{\"queue\": \"q\"}'::jsonb) FROM generate_series(1, 20)))",
        ),
        3 => session.run("SELECT foreman.create_job('q', run_at => clock_timestamp() + random() * interval '500 ms')"),
        _ => session.run(&create),
    }
    thread::sleep(random.milliseconds(10));
}

/// A transaction that is prepared, and ended a little later.
fn prepare(session: &mut Session, random: &mut Random, number: usize) {
    session.run(&format!("BEGIN; SELECT foreman.create_job('q'); PREPARE TRANSACTION 'look back {number}'"));
    thread::sleep(random.milliseconds(200));
    let end = if random.percent(70) { "COMMIT" } else { "ROLLBACK" };
    session.run(&format!("{end} PREPARED 'look back {number}'"));
}

/// Claims, and says any of what can be said of a job, or nothing at all.
fn work(session: &mut Session, random: &mut Random) {
    const CLAIM: &str = "claim_jobs('q', 5, lease_seconds => 0.2)";
    if random.percent(5) {
        session.run(&format!("BEGIN; SELECT foreman.{CLAIM}"));
        thread::sleep(random.milliseconds(200));
        session.run("ROLLBACK");
        return;
    }
    let reply = session.call(CLAIM).succeeded();
    for job in reply["jobs"].as_array().expect("a list") {
        let lease = format!("{}, {}", job["job_id"], job["lease_token"].to_string().replace('"', "'"));
        match random.below(10) {
            0 => drop(session.call(&format!("fail_job({lease}, retry_in_seconds => {})", random.below(2)))),
            1 => drop(session.call(&format!("release_job({lease})"))),
            2 => {}
            _ => drop(session.call(&format!("complete_job({lease})"))),
        }
    }
}

/// Does something to any of the jobs.
fn meddle(session: &mut Session, random: &mut Random) {
    let most: i64 = session.one("SELECT last_value FROM foreman.job_id_seq", &[]);
    let job = 1 + random.below(most as u64);
    let calls = [
        format!("cancel_job({job})"),
        format!("retry_job({job})"),
        format!("request_cancel({job})"),
        format!("update_job_status({job}, 'pending')"),
        "rescue_expired(100)".to_owned(),
    ];
    let call: &String = random.pick(&calls);
    session.call(call);
    thread::sleep(random.milliseconds(10));
}

/// What a session does over and over.
type Deed<'a> = &'a (dyn Fn(&mut Session, &mut Random) + Sync);

/// Sessions that do these things over and over, each by itself, for so long.
fn busy(db: &Database, time: Duration, deeds: &[Deed]) {
    let start = Instant::now();
    thread::scope(|scope| {
        for (number, deed) in deeds.iter().enumerate() {
            let (mut session, mut random) = (db.session(), Random::new(seed() + number as u64));
            scope.spawn(move || {
                while start.elapsed() < time {
                    deed(&mut session, &mut random);
                }
            });
        }
    });
}

/// Does what is left to do.
fn finish(db: &Database) {
    let mut session = db.session();
    wait_until("all jobs to end", || {
        a_batch(&mut session);
        session.call("rescue_expired(1000)").succeeded();
        !session.one::<bool>("SELECT EXISTS (SELECT FROM foreman.live_job)", &[])
    });
}

/// Claims and completes some.
fn a_batch(session: &mut Session) {
    let leases =
        "SELECT jsonb_agg(jsonb_build_object('job_id', j -> 'job_id', 'lease_token', j -> 'lease_token')) AS of
                  FROM jsonb_array_elements(foreman.claim_jobs('q', 20) -> 'jobs') AS j";
    session.run(&format!("SELECT foreman.complete_jobs(l.of) FROM ({leases} OFFSET 0) AS l WHERE l.of IS NOT NULL"));
}

#[test]
fn in_ordinary_use_a_look_back_finds_nothing() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let prepared = AtomicUsize::new(0);
    let prepare = |session: &mut Session, random: &mut Random| {
        prepare(session, random, prepared.fetch_add(1, Ordering::Relaxed));
    };
    create(&mut db.session());
    busy(
        &db,
        Duration::from_secs(5),
        &[&create_somehow, &create_somehow, &create_somehow, &prepare, &prepare, &work, &work, &work, &meddle],
    );
    finish(&db);
    let [looks, found] = looks_back(&mut db.session());
    let jobs: i64 = db.see("SELECT count(*) FROM foreman.jobs");
    println!("{jobs} jobs, {looks} looks back");
    assert!(looks >= 3 && jobs > 100, "{looks} looks back among {jobs} jobs show little");
    assert_eq!(found, 0, "jobs that no claim would have found otherwise");
}

#[test]
fn a_row_written_by_hand_is_found_by_the_next_look_back_and_counted_once() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    a_thousand(&mut session);
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    let by_hand = write_by_hand(&mut session);
    let [before, found] = looks_back(&mut session);
    assert_eq!(found, 0);
    // It stays pending.
    let mut held = db.session();
    let mut is_found = || {
        held.run("BEGIN");
        let found = claimed(&mut held, 1);
        held.run("ROLLBACK");
        found == [by_hand]
    };
    wait_until("a look back", || is_found() || looks_back(&mut session)[0] > before);
    assert_eq!(looks_back(&mut session), [before + 1, 1]);
    wait_until("two more", || {
        assert!(is_found(), "from now on each claim finds it");
        looks_back(&mut session)[0] > before + 2
    });
    assert_eq!(looks_back(&mut session)[1], 1);
    let shown: i64 = session.one("SELECT found_by_look_back FROM foreman.floor_stats WHERE queue = 'q'", &[]);
    assert_eq!((shown, claimed(&mut session, 1)), (1, vec![by_hand]));
}

#[test]
fn of_many_rows_written_by_hand_the_first_leads_to_the_others() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    a_thousand(&mut session);
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    let mut left: Vec<i64> = (0..200).map(|_| write_by_hand(&mut session)).collect();
    // By looks back alone, one a second, it would take 200 s.
    wait_until("all of them to be claimed", || {
        let found = claimed(&mut session, 1);
        left.retain(|job| !found.contains(job));
        left.is_empty()
    });
    let found = looks_back(&mut session)[1];
    assert!(found >= 1, "found, and not counted");
}

#[test]
fn jobs_put_below_their_floors_all_the_time_are_all_done_and_each_once() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let put_below = |session: &mut Session, _: &mut Random| {
        session.run(
            "UPDATE foreman.live_job AS j SET ready_at = j.ready_at - random() * interval '1 h'
             FROM (SELECT id FROM foreman.live_job WHERE status = 'pending' ORDER BY random() LIMIT 20
                   FOR UPDATE SKIP LOCKED) AS chosen
             WHERE j.id = chosen.id",
        );
        thread::sleep(Duration::from_millis(10));
    };
    let work = |session: &mut Session, _: &mut Random| a_batch(session);
    busy(&db, Duration::from_secs(5), &[&create_somehow, &create_somehow, &work, &work, &put_below]);
    finish(&db);
    let [looks, found] = looks_back(&mut db.session());
    let jobs: i64 = db.see("SELECT count(*) FROM foreman.jobs");
    println!("{jobs} jobs, {looks} looks back, {found} jobs found by them");
    assert!(found > 0, "nothing was put below a floor");
    let again: i64 = db.see("SELECT count(*) FROM foreman.jobs WHERE status <> 'completed' OR attempt <> 1");
    assert_eq!(again, 0, "jobs that were not done, or more than once");
}

#[test]
fn a_row_written_by_hand_is_found_beside_a_prepared_transaction_that_nobody_ends() {
    let cluster = Cluster::start(PRELOADED);
    let db = cluster.database();
    let mut session = db.session();
    a_thousand(&mut session);
    session.run("BEGIN; SELECT foreman.create_job('q'); PREPARE TRANSACTION 'forgotten'");
    // After it the transaction may have made anything ready.
    cluster.stop("fast");
    cluster.start_again();
    let mut session = db.session();
    assert_eq!(claimed(&mut session, 1), [0; 0]);
    let by_hand = write_by_hand(&mut session);
    wait_until("the job to be found", || claimed(&mut session, 1) == [by_hand]);
    session.run("ROLLBACK PREPARED 'forgotten'");
}
