//! Random sequences of all the calls of the job functions, by several sessions, against a simple model in memory: each
//! reply and, in the end, each job are what the model says. The same seed gives the same run; a sequence that fails is
//! made as short as it can be.

mod action;
mod model;
mod server;

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Database, in_full, seed};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use super::look_back::looks_back;
use action::Step;
use model::Model;
use server::Server;

/// Most steps of a case.
const STEPS: usize = 60;

#[test]
fn every_reply_and_every_job_is_what_the_model_says() {
    is_what_the_model_says(&Cluster::shared().database());
}

#[test]
fn preloaded_it_is_so_too_and_no_claim_misses_a_job() {
    // Each case has two queues of its own.
    let lines =
        ["shared_preload_libraries = 'pg_foreman'", "foreman.max_workers = 0", "foreman.max_tracked_queues = 8192"];
    let cluster = Cluster::start(&lines);
    let db = cluster.database();
    is_what_the_model_says(&db);
    let [looks, found] = looks_back(&mut db.session());
    assert!(looks > 0);
    assert_eq!(found, 0, "jobs that no claim would have found otherwise");
}

fn is_what_the_model_says(db: &Database) {
    // On a busy machine the last cases are left out: those before are the same.
    let (cases, limit) = if in_full() { (3_000, 900) } else { (150, 15) };
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let server = RefCell::new(Server::new(db));
    let (start, done, steps) = (Instant::now(), Cell::new(0), Cell::new(0));
    let has_failed = Cell::new(false);
    let outcome = TestRunner::new(config).run(&Model::sequential_strategy(1..=STEPS), |(model, sequence, seen)| {
        // A sequence that fails has to be made shorter, however long that takes.
        if start.elapsed() > Duration::from_secs(limit) && !has_failed.get() {
            return Ok(());
        }
        done.set(done.get() + 1);
        let count = || {
            steps.set(steps.get() + 1);
            if let Some(seen) = &seen {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        };
        play(&mut server.borrow_mut(), model, &sequence, count).map_err(|why| {
            has_failed.set(true);
            TestCaseError::fail(why)
        })
    });
    println!("{} cases of {} steps in {:.1?}", done.get(), steps.get(), start.elapsed());
    match outcome {
        Ok(()) => assert!(done.get() >= 10, "too few cases to show anything"),
        Err(TestError::Fail(why, (_, sequence, _))) => {
            let steps: Vec<String> = sequence.iter().map(|step| format!("  {step:?}")).collect();
            panic!("the shortest sequence that fails:\n{}\n{why}", steps.join("\n"));
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    db.assert_no_warning_in_the_log();
}

/// Plays a sequence at the server and at the model, and says where they part.
fn play(server: &mut Server, mut model: Model, sequence: &[Step], count: impl Fn()) -> Result<(), String> {
    server.begin_anew();
    for step in sequence {
        count();
        let before = model.clone();
        model = Model::apply(model, step);
        if server.is_preloaded {
            model.keep_heartbeat(step);
        }
        server.carry_out(&before, &model, step)?;
    }
    server.compare_jobs(&model)
}
