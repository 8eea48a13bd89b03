//! Who waits is woken as soon as there may be work: preloaded by a latch that the commit sets, one waiter a job, whatever made
//! it ready, and when it is due. Nobody oversleeps, not even where the one that was chosen has gone.

use super::waiting::{Ended, PROMPT, assert_terminated, is_waiting, waiter};
use foreman_tests::{Cluster, Database, Reply, Running, Session, wait_until};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The wait ended by itself, and soon after `since`.
#[track_caller]
fn assert_woken(running: Running<Ended>, since: Instant) {
    let (_, (outcome, at)) = running.finish();
    outcome.expect("a wait that is woken ends well");
    assert!(at - since < PROMPT, "woken after {:?}", at - since);
}

/// Some of the waits have ended; gives the others, which still sleep.
#[track_caller]
fn assert_ended(db: &Database, waiters: Vec<Running<Ended>>, count: usize, since: Instant) -> Vec<Running<Ended>> {
    let left = waiters.len() - count;
    wait_until(&format!("{count} of {} to be woken", waiters.len()), || {
        waiters.iter().filter(|waiter| is_waiting(db, waiter.pid)).count() <= left
    });
    // A wait that should not have ended would be over by now: another that began later has been woken.
    let witness = waiter(db, "{witness}");
    db.session().call("create_job('witness')").succeeded();
    witness.finish().1.0.expect("the witness is woken");
    db.session().call("claim_jobs('witness')").succeeded();
    let (asleep, woken): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|waiter| is_waiting(db, waiter.pid));
    assert_eq!(woken.len(), count);
    woken.into_iter().for_each(|waiter| assert_woken(waiter, since));
    asleep
}

fn kill(signal: &str, pid: i32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill is there").success());
}

#[test]
fn a_job_wakes_one_waiter_and_each_further_one_another() {
    let db = Cluster::preloaded().database();
    db.session().call("create_jobs('[{\"queue\": \"other\"}, {\"queue\": \"witness\"}]')").succeeded();
    db.session().call("claim_jobs_from('{other,witness}', 2)").succeeded();
    db.session().call("configure_queue('mail')").succeeded();
    let waiters: Vec<_> = (0..5).map(|_| waiter(&db, "{other,mail}")).collect();
    let since = Instant::now();
    let mut session = db.session();
    session.call("create_job('mail')").succeeded();
    let waiters = assert_ended(&db, waiters, 1, since);
    session.call("claim_jobs('mail', 10)").succeeded();
    let since = Instant::now();
    session.call("create_jobs('[{\"queue\": \"mail\"}, {\"queue\": \"mail\"}]')").succeeded();
    let waiters = assert_ended(&db, waiters, 2, since);
    session.call("claim_jobs('mail', 10)").succeeded();
    let since = Instant::now();
    session.call(&format!("create_jobs('[{}]')", vec!["{\"queue\": \"other\"}"; 50].join(","))).succeeded();
    waiters.into_iter().for_each(|waiter| assert_woken(waiter, since));
}

#[test]
fn a_job_wakes_when_its_transaction_commits_and_not_before() {
    let db = Cluster::preloaded().database();
    db.session().call("configure_queue('mail')").succeeded();
    let waiting = vec![waiter(&db, "{mail}")];
    let mut session = db.session();
    session.run("BEGIN; SAVEPOINT s");
    session.call("create_job('mail')").succeeded();
    session.run("RELEASE s");
    let mut waiting = assert_ended(&db, waiting, 0, Instant::now());
    let since = Instant::now();
    session.run("COMMIT");
    assert_woken(waiting.remove(0), since);

    session.call("claim_jobs('mail')").succeeded();
    let waiting = vec![waiter(&db, "{mail}")];
    session.run("BEGIN");
    session.call("create_job('mail')").succeeded();
    session.run("ROLLBACK");
    assert_eq!(assert_ended(&db, waiting, 0, Instant::now()).len(), 1, "a rollback wakes nobody");
}

#[test]
fn whatever_makes_a_job_ready_wakes() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    let job = session.call("create_job('mail')").succeeded().job_id();
    let claim = |session: &mut Session| {
        let reply = session.call("claim_jobs('mail')").succeeded();
        reply["jobs"][0]["lease_token"].as_str().expect("a job is claimed").to_owned()
    };
    let mut woken_by = |call: &dyn Fn(&str) -> String| {
        let token = claim(&mut db.session());
        let waiting = waiter(&db, "{mail}");
        let since = Instant::now();
        session.call(&call(&token)).succeeded();
        assert_woken(waiting, since);
    };
    woken_by(&|token| format!("fail_job({job}, '{token}', retry_in_seconds => 0)"));
    woken_by(&|token| format!("release_job({job}, '{token}')"));
    woken_by(&|token| format!("update_job_status({job}, 'pending', lease_token => '{token}')"));
    woken_by(&|token| {
        format!(
            "finish_and_claim('[{{\"job_id\": {job}, \"lease_token\": \"{token}\", \"outcome\": \"released\"}}]', 'other')"
        )
    });
    let token = claim(&mut session);
    session.call(&format!("fail_job({job}, '{token}', final => true)")).succeeded();
    let waiting = waiter(&db, "{mail}");
    let since = Instant::now();
    session.call(&format!("retry_job({job})")).succeeded();
    assert_woken(waiting, since);
    session.call("claim_jobs('mail', lease_seconds => 0.1)").succeeded();
    let waiting = waiter(&db, "{mail}");
    sleep(Duration::from_millis(150));
    let since = Instant::now();
    session.call("rescue_expired()").succeeded();
    assert_woken(waiting, since);
}

#[test]
fn a_queue_that_is_made_later_wakes_those_who_wait_for_it() {
    let db = Cluster::preloaded().database();
    let waiting = waiter(&db, "{one,two}");
    let other = waiter(&db, "{three}");
    let since = Instant::now();
    db.session().call("create_job('two')").succeeded();
    assert_woken(waiting, since);
    let since = Instant::now();
    db.session().call("create_job('three')").succeeded();
    assert_woken(other, since);
}

#[test]
fn a_paused_queue_has_no_work_until_it_is_resumed() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    session.call("create_job('mail')").succeeded();
    session.call("pause_queue('mail')").succeeded();
    assert_eq!(session.call("ready_in('{mail}')").succeeded()["ready"], false);
    let waiting = waiter(&db, "{mail}");
    let since = Instant::now();
    session.call("resume_queue('mail')").succeeded();
    assert_woken(waiting, since);
    assert_eq!(session.call("ready_in('{mail}')").succeeded()["ready"], true);
}

#[test]
fn a_waiter_that_ends_after_it_was_chosen_passes_it_on() {
    let db = Cluster::preloaded().database();
    db.session().call("configure_queue('mail')").succeeded();
    for _ in 0..4 {
        let mut waiters = vec![waiter(&db, "{mail}"), waiter(&db, "{mail}")];
        // Neither can look, so whichever is chosen, the one that goes on must learn of it.
        waiters.iter().for_each(|waiter| kill("-STOP", waiter.pid));
        let since = Instant::now();
        db.session().call("create_job('mail')").succeeded();
        let leaver = waiters.remove(0);
        kill("-TERM", leaver.pid);
        kill("-CONT", leaver.pid);
        let (_, (outcome, _)) = leaver.finish();
        assert_terminated(outcome);
        let other = waiters.remove(0);
        kill("-CONT", other.pid);
        assert_woken(other, since);
        db.session().call("claim_jobs('mail')").succeeded();
    }
}

/// The time until the job that is due in so many seconds: its moment on the clock of the test.
fn create_delayed(session: &mut Session, seconds: f64) -> Instant {
    let since = Instant::now();
    let call = format!("create_job('mail', run_at => clock_timestamp() + interval '{seconds} s')");
    session.call(&call).succeeded();
    since + Duration::from_secs_f64(seconds)
}

#[test]
fn preloaded_a_delayed_job_wakes_one_waiter_when_it_is_due() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    session.call("configure_queue('mail')").succeeded();
    let waiters: Vec<_> = (0..5).map(|_| waiter(&db, "{mail}")).collect();
    let due = create_delayed(&mut session, 0.7);
    let waiters = assert_ended(&db, waiters, 1, due);
    session.call("claim_jobs('mail')").succeeded();
    // Many that are due at one moment wake as many as there are.
    let jobs = vec!["{\"queue\": \"mail\", \"run_at\": \"AT\"}"; 50].join(",");
    let at: String = session.one("SELECT to_json(clock_timestamp() + interval '0.7 s') #>> '{}'", &[]);
    session.call(&format!("create_jobs('[{}]')", jobs.replace("AT", &at))).succeeded();
    let due = Instant::now() + Duration::from_millis(700);
    waiters.into_iter().for_each(|waiter| assert_woken(waiter, due));
}

#[test]
fn a_delayed_job_is_neither_early_nor_late() {
    for cluster in [Cluster::shared(), Cluster::preloaded()] {
        let db = cluster.database();
        let mut session = db.session();
        session.call("configure_queue('mail')").succeeded();
        for (seconds, leaves) in [(0.4, false), (1.5, true)] {
            let leaver = leaves.then(|| waiter(&db, "{mail}"));
            let stays = waiter(&db, "{mail}");
            let due = create_delayed(&mut session, seconds);
            if let Some(leaver) = leaver {
                // Perhaps the one that knows when the job is due.
                leaver.interrupt();
                drop(leaver.finish());
            }
            let (_, (outcome, at)) = stays.finish();
            outcome.expect("the wait ends well");
            assert!(at >= due, "{:?} early", due - at);
            assert!(at < due + PROMPT, "{:?} late", at - due);
            let reply = session.call("claim_jobs('mail')").succeeded();
            assert_eq!(reply["jobs"].as_array().map(Vec::len), Some(1), "it is there to be claimed: {reply:#}");
        }
    }
}

/// Claims, completes and waits until it gets a job of the queue `stop`.
fn consume(session: &mut Session) {
    loop {
        let claimed = session.call("claim_jobs_from('{mail,print,stop}')").succeeded();
        let job = &claimed["jobs"][0];
        if job.is_null() {
            session.run("CALL foreman.wait_for_jobs('{mail,print,stop}', 60)");
            continue;
        }
        let token = job["lease_token"].as_str().expect("a claimed job has a lease");
        session.call(&format!("complete_job({}, '{token}')", job["job_id"])).succeeded();
        if job["queue"] == "stop" {
            return;
        }
    }
}

#[test]
fn of_many_jobs_at_many_moments_none_is_overslept() {
    let db = Cluster::preloaded().database();
    let consumers: Vec<_> = (0..6).map(|_| db.session().background(consume)).collect();
    let producers: Vec<_> = (0..3)
        .map(|producer: u64| {
            db.session().background(move |s| {
                for n in 0..150 {
                    let queue = if n % 3 == 0 { "print" } else { "mail" };
                    let delay = if n % 5 == 0 { 0.1 } else { 0.0 };
                    s.call(&format!("create_job('{queue}', run_at => clock_timestamp() + interval '{delay} s')"))
                        .succeeded();
                    // Now the consumers keep up and sleep, now they don't.
                    sleep(Duration::from_millis((n * 7 + producer * 3) % 23));
                }
            })
        })
        .collect();
    producers.into_iter().for_each(|producer| drop(producer.finish()));
    let left = "SELECT count(*) FROM foreman.live_job";
    wait_until("all jobs to be taken", || db.see::<i64>(left) == 0);
    for _ in 0..6 {
        db.session().call("create_job('stop')").succeeded();
    }
    consumers.into_iter().for_each(|consumer| drop(consumer.finish()));
    let worst = "SELECT extract(epoch FROM max(started_at - greatest(run_at, created_at)))::float8 FROM foreman.jobs";
    let worst: f64 = db.see(worst);
    // Far below the ten seconds after which a sleeper looks in any case.
    assert!(worst < 3.0, "a job waited for {worst} s");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE status = 'completed'"), 456);
}
