//! In which order jobs are claimed: by priority, then by the time since when they are ready, then by id; exactly so with
//! one session, and with many a job is overtaken only by those that are claimed at the same moment. No job is early.

use std::collections::HashSet;
use std::thread;

use foreman_tests::{Cluster, Database, Random, Reply, Session, Value, json, seed};

/// Creates jobs of all priorities, with times that are partly the same and not in the order of the ids.
fn create_shuffled(db: &Database, queue: &str, jobs: usize, random: &mut Random) {
    let mut session = db.session();
    for _ in 0..jobs {
        let priority = random.below(10);
        let job = session.call(&format!("create_job('{queue}', priority => {priority})")).succeeded().job_id();
        let ago = random.below(jobs as u64 / 4);
        let ready_at = format!("'2026-01-01 UTC'::timestamptz + {ago} * interval '1 min'");
        session.run(&format!("UPDATE foreman.live_job SET ready_at = {ready_at} WHERE id = {job}"));
    }
}

/// The ready jobs, each after its priority, in the order in which they are to be claimed.
fn in_order(session: &mut Session, queue: &str) -> Vec<(i16, i64)> {
    let sql = "SELECT priority, job_id FROM foreman.jobs
                WHERE queue = $1 AND status = 'pending' AND ready_at <= clock_timestamp()
                ORDER BY priority, ready_at, job_id";
    let rows = session.query(sql, &[&queue]).expect("the jobs can be read");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The same without the priorities.
fn ids_in_order(session: &mut Session, queue: &str) -> Vec<i64> {
    in_order(session, queue).into_iter().map(|(_, id)| id).collect()
}

fn ids(jobs: &Value) -> Vec<i64> {
    jobs.as_array().expect("a list of jobs").iter().map(Reply::job_id).collect()
}

#[test]
fn one_session_claims_by_priority_then_by_ready_at_then_by_id() {
    let mut random = Random::new(seed());
    let db = Cluster::shared().database();
    create_shuffled(&db, "q", 200, &mut random);
    let mut session = db.session();
    let mut held: Vec<Value> = Vec::new();
    let mut rounds = 0;
    loop {
        // What fails or is given back becomes ready now, all of it at the same time, behind the others of its priority.
        let mut expected = in_order(&mut session, "q");
        let mut outcomes = Vec::new();
        held.sort_by_key(Reply::job_id);
        for job in held.drain(..) {
            let outcome = *random.pick(&["completed", "completed", "completed", "released", "failed"]);
            let mut said = json!({"job_id": job["job_id"], "lease_token": job["lease_token"], "outcome": outcome});
            if outcome == "failed" {
                said["retry_in_seconds"] = 0.into();
            }
            if outcome != "completed" {
                expected.push((job["priority"].as_i64().expect("a priority") as i16, job.job_id()));
            }
            outcomes.push(said);
        }
        expected.sort_by_key(|(priority, _)| *priority);
        if expected.is_empty() {
            break;
        }
        rounds += 1;
        let most = 1 + random.below(20) as usize;
        let finish = "SELECT foreman.finish_and_claim($1, $2, $3)";
        let mut claim = |queue: &str, outcomes: Vec<Value>| {
            let reply = session.reply(finish, &[&Value::from(outcomes), &queue, &(most as i32)]).succeeded();
            reply["jobs"].as_array().expect("a list of jobs").clone()
        };
        held = if rounds % 2 == 0 {
            claim("q", outcomes)
        } else {
            claim("another queue", outcomes);
            claim("q", Vec::new())
        };
        let expected: Vec<i64> = expected.into_iter().map(|(_, id)| id).take(most).collect();
        assert_eq!(held.iter().map(Reply::job_id).collect::<Vec<_>>(), expected, "round {rounds}");
    }
    assert!(rounds > 10, "too few rounds to show anything");
}

#[test]
fn several_queues_are_claimed_from_in_the_order_named() {
    let mut random = Random::new(seed());
    let db = Cluster::shared().database();
    create_shuffled(&db, "a", 20, &mut random);
    create_shuffled(&db, "b", 20, &mut random);
    let mut session = db.session();
    let (a, b) = (ids_in_order(&mut session, "a"), ids_in_order(&mut session, "b"));
    let jobs = session.call("claim_jobs_from('{b, a}', 25)").succeeded()["jobs"].take();
    assert_eq!(ids(&jobs), [&b[..], &a[..5]].concat());
    let jobs = session.call("claim_jobs_from('{b, a}', 25)").succeeded()["jobs"].take();
    assert_eq!(ids(&jobs), a[5..]);
}

/// A claim, and the server's clock just before and just after.
struct Claim {
    start: f64,
    end: f64,
    jobs: Vec<i64>,
}

/// Claims a few at a time until there is nothing left.
fn claim_all(session: &mut Session, most: i32) -> Vec<Claim> {
    let clock = "extract(epoch FROM clock_timestamp())::float8";
    // The columns of a row are computed from left to right.
    let sql = format!("SELECT {clock}, foreman.claim_jobs('q', $1), {clock}");
    let mut claims = Vec::new();
    loop {
        let row = session.query_one(&sql, &[&most]).expect("a claim is answered");
        let reply: Value = row.get(1);
        let jobs = ids(&reply.succeeded()["jobs"]);
        if jobs.is_empty() {
            return claims;
        }
        claims.push(Claim { start: row.get(0), end: row.get(2), jobs });
    }
}

#[test]
fn with_many_sessions_a_job_is_overtaken_only_by_those_claimed_at_the_same_moment() {
    const SESSIONS: usize = 8;
    const JOBS: usize = 2000;
    let mut random = Random::new(seed());
    let db = Cluster::shared().database();
    create_shuffled(&db, "q", JOBS, &mut random);
    let order = ids_in_order(&mut db.session(), "q");
    let mut claims: Vec<Claim> = thread::scope(|scope| {
        let all: Vec<_> = (0..SESSIONS)
            .map(|n| (db.session(), [1, 1, 2, 3, 5][n % 5]))
            .map(|(mut session, most)| scope.spawn(move || claim_all(&mut session, most)))
            .collect();
        all.into_iter().flat_map(|session| session.join().expect("a session comes to its end")).collect()
    });
    let claimed: Vec<i64> = claims.iter().flat_map(|claim| claim.jobs.iter().copied()).collect();
    assert_eq!(claimed.len(), JOBS);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), JOBS, "a job was given out twice");

    // Walks the order from its end: the earliest end of a claim of any later job must not lie before a job's own start.
    let place = |job: &i64| order.iter().position(|id| id == job).expect("a job of ours");
    let mut of_place: Vec<usize> = vec![0; JOBS];
    claims.sort_by(|a, b| a.start.total_cmp(&b.start));
    for (nth, claim) in claims.iter().enumerate() {
        assert!(claim.jobs.is_sorted_by_key(place), "in its reply, a claim has them in order");
        claim.jobs.iter().for_each(|job| of_place[place(job)] = nth);
    }
    let mut earliest_end = f64::INFINITY;
    for place in (0..JOBS).rev() {
        let claim = &claims[of_place[place]];
        assert!(
            earliest_end >= claim.start,
            "job {} was claimed {} s after one that comes later had been",
            order[place],
            claim.start - earliest_end
        );
        earliest_end = earliest_end.min(claim.end);
    }
    let at_once = claims.windows(2).filter(|pair| pair[1].start < pair[0].end).count();
    println!("{} claims, {at_once} of them while another was under way", claims.len());
    assert!(at_once > 10, "they were claimed one after the other, which shows nothing");
}

/// When jobs were claimed that are due at different times, each as far behind its due time as the polling makes it.
#[track_caller]
fn assert_on_time(jobs: &Value, session: &mut Session) {
    for job in jobs.as_array().expect("a list of jobs") {
        let sql = "SELECT started_at >= ready_at AND started_at < ready_at + interval '1 s'
                      AND ready_at >= run_at AND clock_timestamp() >= started_at
                     FROM foreman.jobs WHERE job_id = $1";
        assert!(session.one::<bool>(sql, &[&job.job_id()]), "early or late: {job:#}");
    }
}

#[test]
fn a_delayed_job_is_never_early_however_old_the_transaction() {
    let db = Cluster::shared().database();
    let (mut session, mut old) = (db.session(), db.session());
    old.run("BEGIN; SELECT 1");
    session.call("create_job('later', run_at => clock_timestamp() + interval '1 hour')").succeeded();
    for n in 1..=25 {
        let run_at = format!("clock_timestamp() + {n} * interval '20 ms'");
        session.call(&format!("create_job('q', run_at => {run_at})")).succeeded();
    }
    assert_eq!(old.call("claim_jobs('later')").succeeded()["jobs"], Value::Array(Vec::new()));

    // The old one claims by the clock, though its now() lies before each job's time.
    let mut claimed = 0;
    while claimed < 25 {
        let jobs = old.call("claim_jobs('q', 3)").succeeded()["jobs"].take();
        claimed += jobs.as_array().map_or(0, Vec::len);
        assert_on_time(&jobs, &mut old);
    }
    let early = "SELECT count(*) FROM foreman.jobs WHERE queue = 'q' AND started_at < run_at";
    assert_eq!(old.one::<i64>(early, &[]), 0);
    let after = "SELECT count(*) FROM foreman.jobs WHERE run_at > now()";
    assert_eq!(old.one::<i64>(after, &[]), 26, "all were due after this transaction began");
    old.run("ROLLBACK");

    // In a transaction begun since: all are given out again, in their order, and the one that is not due is not.
    let waiting = ids_in_order(&mut session, "q");
    assert_eq!(waiting.len(), 25);
    session.run("BEGIN");
    let jobs = session.call("claim_jobs('q', 100)").succeeded()["jobs"].take();
    assert_eq!(ids(&jobs), waiting);
    session.run("COMMIT");
    assert_eq!(session.call("claim_jobs('later')").succeeded()["jobs"], Value::Array(Vec::new()));
}

#[test]
fn what_failed_or_was_given_back_is_no_earlier_than_was_asked_for() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("create_job('q')").succeeded();
    session.call("create_job('q')").succeeded();
    let jobs = session.call("claim_jobs('q', 2)").succeeded()["jobs"].take();
    let token = |n: usize| jobs[n]["lease_token"].as_str().expect("a token").to_owned();
    let (failed, released) = (jobs[0].job_id(), jobs[1].job_id());
    session.call(&format!("fail_job({failed}, '{}', retry_in_seconds => 0.15)", token(0))).succeeded();
    let later = "clock_timestamp() + interval '250 ms'";
    session.call(&format!("release_job({released}, '{}', {later})", token(1))).succeeded();
    let mut claimed = Vec::new();
    while claimed.len() < 2 {
        let jobs = session.call("claim_jobs('q')").succeeded()["jobs"].take();
        assert_on_time(&jobs, &mut session);
        claimed.extend(ids(&jobs));
    }
    assert_eq!(claimed, [failed, released]);
    let attempts = "SELECT array_agg(attempt ORDER BY job_id) FROM foreman.jobs";
    assert_eq!(session.one::<Vec<i32>>(attempts, &[]), [2, 1], "giving back uses up no attempt");
}
