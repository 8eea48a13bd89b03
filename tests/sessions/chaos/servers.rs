//! The server is killed, every process of it, and started again, under load, and now and then a worker too: nothing that
//! was answered is lost.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use foreman_tests::ledger::{self, Entry, violations};
use foreman_tests::{Cluster, Random, Reply, Session, in_full, json, seed, wait_until};

use super::super::look_back::looks_back;
use super::fleet::{Ends, Fleet, OnTheSide, Tally, ends};

const QUEUE: &str = "chaos";
const CREATORS: usize = 2;

/// Creates jobs one by one, and asks again, with the same unique key, where the reply did not come: then the job may be
/// there, waiting or done.
fn create(cluster: &Cluster, database: &str, creator: usize, jobs: usize, aside: &OnTheSide) -> Vec<Entry> {
    let (mut entries, mut session) = (Vec::new(), None);
    for n in 0..jobs {
        let key = format!("{creator}-{n}");
        let payload = json!({"n": n});
        loop {
            if aside.is_over() {
                return entries;
            }
            session = session.or_else(|| cluster.try_session(database).ok());
            let Some(open) = session.as_mut() else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            entries.push(Entry::CreateAsked { at: ledger::now(), key: key.clone() });
            let sql = "SELECT foreman.create_job($1, $2, priority => $3, unique_key => $4)";
            let open: &mut Session = open;
            match open.query_one(sql, &[&QUEUE, &payload, &((n % 10) as i32), &key]) {
                Ok(row) => {
                    let reply: foreman_tests::Value = row.get(0);
                    assert_ne!(reply["status"], "error", "{reply:#}");
                    entries.push(Entry::Created { job: reply.job_id(), key: Some(key) });
                    break;
                }
                Err(_) => session = None,
            }
        }
        // A few thousand a second would be more than the workers do, and the kills are to meet both.
        thread::sleep(Duration::from_millis(2));
    }
    entries
}

#[test]
fn a_server_killed_under_load_loses_nothing_that_was_answered() {
    kill_servers(Claims::Flushed);
}

#[test]
fn with_relaxed_claims_it_loses_none_but_the_last_claims() {
    kill_servers(Claims::Relaxed);
}

/// Whether claims are on disk when they are answered.
#[derive(PartialEq)]
enum Claims {
    Flushed,
    Relaxed,
}

fn kill_servers(claims: Claims) {
    let (jobs, kills, limit) = if in_full() { (20_000, 10, 900) } else { (1_000, 2, 50) };
    let mut random = Random::new(seed());
    let cluster = Cluster::start(&[
        "shared_preload_libraries = 'pg_foreman'",
        "fsync = on",
        "full_page_writes = on",
        // Some seconds faster than to flush the files of all databases one by one.
        "recovery_init_sync_method = 'syncfs'",
        if claims == Claims::Relaxed { "foreman.relax_claims_after = 0" } else { "" },
    ]);
    let name = {
        let db = cluster.database();
        // As in operation: finished jobs go into partitions.
        db.session().maintain();
        db.name().to_owned()
    };
    let mut fleet = Fleet::new(&cluster, &name, QUEUE, 8, Random::new(random.number()));
    let aside = OnTheSide::default();
    let start = Instant::now();
    let mut session = cluster.try_session(&name).expect("the server is up");
    let (mut down, mut killed) = (Vec::new(), Vec::new());
    let mut entries = thread::scope(|scope| {
        let _ends = Ends(&aside);
        let creators: Vec<_> = (0..CREATORS)
            .map(|creator| {
                let (cluster, name, aside) = (&cluster, &name, &aside);
                scope.spawn(move || create(cluster, name, creator, jobs / CREATORS, aside))
            })
            .collect();
        scope.spawn(|| aside.rescue(&cluster, &name));
        fleet.start(8);
        let is_in_time = || assert!(start.elapsed() < Duration::from_secs(limit), "the jobs do not come to their end");
        for kill in 1..=kills {
            // Spread over the run, each at a moment of its own.
            let share = (jobs * kill / (kills + 1)) as i64;
            let ended = "SELECT count(*) FROM foreman.finished_job";
            while session.one::<i64>(ended, &[]) < share {
                is_in_time();
                thread::sleep(random.milliseconds(40));
                if random.percent(10) {
                    fleet.kill_one();
                }
            }
            cluster.kill();
            if claims == Claims::Relaxed {
                killed.push(Entry::Killed { at: ledger::now() });
            }
            let since = Instant::now();
            cluster.start_again();
            down.push(since.elapsed());
            session = cluster.try_session(&name).expect("the server is up again");
        }
        let created = creators.into_iter().flat_map(|creator| creator.join().expect("a creator comes to its end"));
        let created: Vec<Entry> = created.collect();
        while session.one("SELECT EXISTS (SELECT FROM foreman.live_job)", &[]) {
            is_in_time();
            thread::sleep(Duration::from_millis(20));
        }
        created
    });
    let took = start.elapsed();
    entries.extend(fleet.stop());
    entries.append(&mut killed);

    let table = ends(&mut session);
    let wrong = violations(&entries, &table);
    let Tally { leases, finishes, lost_leases, unanswered, .. } = Tally::of(&entries);
    let rescued = aside.rescued.load(Ordering::Relaxed);
    println!(
        "{} jobs in {took:.1?}: the server killed {kills} times (back in {down:.1?}), {leases} leases, {finishes} finishes, \
         {rescued} rescued, {lost_leases} leases lost, {unanswered} finishes without an answer",
        table.len()
    );
    assert!(wrong.is_empty(), "{} wrong, among them {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    // Claims rescue on the side, too: which of the three a kill leaves behind is a matter of the moment.
    assert!(table.len() >= jobs && (rescued > 0 || lost_leases > 0 || unanswered > 0), "little has happened");
    let keys = || session.one::<i64>("SELECT count(*) FROM foreman.job_key", &[]) == 0;
    wait_until("all keys to be free", keys);
    assert_eq!(looks_back(&mut session)[1], 0, "jobs that no claim would have found otherwise");
}
