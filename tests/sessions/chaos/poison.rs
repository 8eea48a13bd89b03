//! A job that brings down whoever takes it: it ends as failed after its attempts, and the others are done meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::ledger::{Entry, violations};
use foreman_tests::{Cluster, Random, Reply, Session, json, seed};

use super::fleet::{Ends, Fleet, OnTheSide, ends};

const QUEUE: &str = "poison";
const ATTEMPTS: i32 = 3;

/// Lets workers loose on a poisonous job, the first in its queue, and 50 others; gives the times that the server said
/// that it had crashed.
fn take_poison(cluster: &Cluster, what: &str) -> usize {
    let name = cluster.database().name().to_owned();
    let mut session = cluster.try_session(&name).expect("the server is up");
    let poison = format!("create_job('{QUEUE}', '{{\"do\": \"{what}\"}}', priority => 0, max_attempts => {ATTEMPTS})");
    let poison = session.call(&poison).succeeded().job_id();
    let mut entries = vec![Entry::Created { job: poison, key: None }];
    for n in 0..50 {
        let job = session.reply("SELECT foreman.create_job($1, $2)", &[&QUEUE, &json!({"n": n})]).succeeded().job_id();
        entries.push(Entry::Created { job, key: None });
    }

    let mut fleet = Fleet::new(cluster, &name, QUEUE, 5, Random::new(seed()));
    let aside = OnTheSide::default();
    let (mut deaths, start) = (0, Instant::now());
    thread::scope(|scope| {
        let _ends = Ends(&aside);
        scope.spawn(|| aside.rescue(cluster, &name));
        fleet.start(2);
        let mut look: Option<Session> = Some(session);
        loop {
            assert!(start.elapsed() < Duration::from_secs(60), "the poisonous job does not come to its end");
            deaths += fleet.tend();
            look = look.or_else(|| cluster.try_session(&name).ok());
            let live = look.as_mut().map(|session| session.query_one("SELECT count(*) FROM foreman.live_job", &[]));
            match live {
                Some(Ok(row)) if row.get::<_, i64>(0) == 0 => break,
                Some(Err(_)) => look = None,
                _ => {}
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    entries.extend(fleet.stop());

    let table = ends(&mut cluster.try_session(&name).expect("the server is up"));
    let end = &table[&poison];
    assert_eq!((end.status.as_str(), end.attempt), ("failed", ATTEMPTS), "{end:?}");
    assert_eq!(end.error.as_deref(), Some("The lease expired; the attempts are used up."));
    let wrong = violations(&entries, &table);
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{what}: over in {:.1?}, {deaths} workers dead", start.elapsed());
    assert_eq!(deaths, if what == "die" { ATTEMPTS as usize } else { 0 });
    let crashed = |entry: &foreman_tests::LogEntry| entry.text.contains("all server processes terminated");
    cluster.log().iter().filter(|entry| crashed(entry)).count()
}

#[test]
fn a_job_that_kills_its_worker_each_time_ends_as_failed() {
    assert_eq!(take_poison(&Cluster::start(&[]), "die"), 0);
}

#[test]
fn a_job_that_takes_the_server_down_each_time_ends_as_failed() {
    let lines = ["shared_preload_libraries = 'pg_foreman'", "fsync = on", "recovery_init_sync_method = 'syncfs'"];
    assert_eq!(take_poison(&Cluster::start(&lines), "crash"), ATTEMPTS as usize);
}
