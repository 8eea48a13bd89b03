//! Each variant of the protocol breaks a promise, and the checker finds out. The steps are the shortest that do.

use foreman_model::promises::{FINISHED_ONCE, IN_TIME, IS_THERE, ONE_TOKEN, UNDER_ITS_LEASE};
use foreman_model::{Bounds, Protocol, Step, Twist, Variant, Verdict};
use stateright::{Checker, Model};

const CREATE: Step = Step::Create { job: 0 };

fn claim(worker: usize) -> Step {
    Step::Claim { worker, job: 0 }
}

fn finish(worker: usize, verdict: Verdict) -> Step {
    Step::Finish { worker, verdict }
}

fn protocol(variant: Variant, of: &'static [Twist]) -> Protocol {
    Protocol { bounds: Bounds { workers: 2, jobs: 1, max_attempts: 2, twists: 1, of }, variant }
}

/// These steps break the promise, fewer don't, and where nothing is wrong no steps do.
fn breaks(variant: Variant, of: &'static [Twist], promise: &'static str, steps: &[Step]) {
    // The checker's depth counts states, so that of the last step's is one more; it looks at what is above its limit.
    let up_to = |steps: usize| protocol(variant, of).checker().target_max_depth(steps + 2).spawn_bfs().join();
    up_to(steps.len()).assert_discovery(promise, steps.to_vec());
    if let Some(path) = up_to(steps.len() - 1).discovery(promise) {
        panic!("shorter: {:?}", path.into_actions());
    }
    protocol(Variant::Sound, of).checker().spawn_bfs().join().assert_no_discovery(promise);
}

#[test]
fn a_counter_is_no_fencing_token() {
    let same_again = [CREATE, claim(0), Step::Crash, claim(1)];
    breaks(Variant::CounterAsToken, &[Twist::Crash], ONE_TOKEN, &same_again);
    // The first worker ends the second one's attempt.
    let finished = [CREATE, claim(0), Step::Crash, claim(1), finish(0, Verdict::Complete)];
    breaks(Variant::CounterAsToken, &[Twist::Crash], UNDER_ITS_LEASE, &finished);
}

#[test]
fn a_counter_is_no_fencing_token_after_a_failover_either() {
    let same_again = [CREATE, Step::Replicate, claim(0), Step::FailOver, claim(1)];
    breaks(Variant::CounterAsToken, &[Twist::FailOver], ONE_TOKEN, &same_again);
}

#[test]
fn a_counter_is_a_fencing_token_as_long_as_nothing_is_lost() {
    let of = &[Twist::LostReply, Twist::Death, Twist::StepBack, Twist::Heartbeat, Twist::Release];
    let checker = protocol(Variant::CounterAsToken, of).checker().spawn_bfs().join();
    checker.assert_no_discovery(ONE_TOKEN);
    checker.assert_no_discovery(UNDER_ITS_LEASE);
}

#[test]
fn elapsed_time_alone_is_no_reason_to_rescue() {
    let steps = [CREATE, claim(0), Step::Tick, Step::Heartbeat { worker: 0 }, Step::Look, Step::Rescue];
    breaks(Variant::ElapsedTime, &[Twist::Heartbeat], IN_TIME, &steps);
}

#[test]
fn a_lease_is_looked_at_again_under_the_lock() {
    let extended = [CREATE, claim(0), Step::Tick, Step::Look, Step::Heartbeat { worker: 0 }, Step::Rescue];
    breaks(Variant::StaleReading, &[Twist::Heartbeat], IN_TIME, &extended);
    // Given to another meanwhile, or to the same one.
    let failed = finish(0, Verdict::Fail);
    let claimed_anew = [CREATE, claim(0), Step::Tick, Step::Look, failed, claim(1), Step::Rescue];
    breaks(Variant::StaleReading, &[], IN_TIME, &claimed_anew);
}

#[test]
fn a_finish_goes_by_more_than_the_id() {
    let steps = [CREATE, claim(0), Step::Tick, Step::Look, Step::Rescue, claim(1), finish(0, Verdict::Complete)];
    breaks(Variant::OnlyTheId, &[], UNDER_ITS_LEASE, &steps);
}

#[test]
fn a_finish_that_is_asked_again_by_the_id_alone_ends_the_next_attempt() {
    let (failed, lost, again) = (finish(0, Verdict::Fail), Step::LoseReply { worker: 0 }, Step::AskAgain { worker: 0 });
    let steps = [CREATE, claim(0), failed, lost, claim(1), again];
    breaks(Variant::OnlyTheId, &[Twist::LostReply], FINISHED_ONCE, &steps);
}

#[test]
fn a_job_that_a_rescue_ended_has_no_token() {
    let rescued = [claim(0), Step::Tick, Step::Look, Step::Rescue];
    let told = [finish(0, Verdict::Fail), Step::Hear { worker: 0 }];
    let steps = [&[CREATE, claim(1), finish(1, Verdict::Fail)], &rescued[..], &told].concat();
    breaks(Variant::TokenLeftBehind, &[], IS_THERE, &steps);
}
