//! What the sessions may do, and how a random next step is chosen.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use super::model::{Job, Model, Status};

/// A job of the test, whatever id the server gives it.
pub type Name = u32;

/// One call of one session.
#[derive(Clone, Debug)]
pub struct Step {
    pub session: usize,
    /// In a transaction that is rolled back.
    pub undone: bool,
    pub action: Action,
}

/// Calls of the public functions; `Expire` and `BecomeDue` stand for time that passes.
#[derive(Clone, Debug)]
pub enum Action {
    Create(NewJob),
    CreateMany(Vec<NewJob>),
    Claim { queues: Vec<usize>, max_jobs: usize },
    Heartbeat { lease: Lease, progress: Option<i32> },
    HeartbeatAll(Vec<Lease>),
    Settle(Lease, Verdict),
    CompleteMany(Vec<Lease>),
    FailMany(Vec<(Lease, Verdict)>),
    FinishAndClaim { outcomes: Vec<(Lease, Verdict)>, queue: usize, max_jobs: usize },
    Hold(Lease),
    RequestCancel { job: Name, reason: Option<&'static str> },
    Cancel { job: Name, reason: Option<&'static str> },
    SetStatus { job: Name, to: Status, token: Option<Token> },
    SetStatusMany { jobs: Vec<Name>, to: Status },
    Retry(Name),
    Delete(Name),
    Explain(Name),
    Rescue { max_jobs: usize },
    Pause(usize),
    Resume(usize),
    Expire(Name),
    BecomeDue(Name),
}

#[derive(Clone, Debug)]
pub struct NewJob {
    pub name: Name,
    pub payload: u32,
    pub queue: usize,
    pub key: Option<u8>,
    pub on_duplicate: &'static str,
    pub priority: Option<i64>,
    pub tomorrow: bool,
    pub max_attempts: Option<i64>,
}

/// A job, and the token that the caller shows for it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub job: Name,
    pub token: Token,
}

/// A token by what it is to the job.
#[derive(Clone, Debug)]
pub enum Token {
    /// The last that was given out for it, be it in a transaction that was rolled back.
    Latest,
    /// The one before.
    Earlier,
    /// The latest of another job.
    Of(Name),
    /// One that was never given out.
    Stranger,
}

/// What a worker says of its job.
#[derive(Clone, Debug)]
pub enum Verdict {
    Complete,
    Fail { error: Option<&'static str>, pause: Pause, is_final: bool },
    Release { later: bool },
}

/// How long before another attempt.
#[derive(Clone, Copy, Debug)]
pub enum Pause {
    None,
    Hour,
    /// As the queue's backoff has it.
    Queues,
}

impl Action {
    /// The jobs that it names.
    pub fn names(&self) -> Vec<Name> {
        fn of(lease: &Lease) -> Vec<Name> {
            match lease.token {
                Token::Of(other) => vec![lease.job, other],
                _ => vec![lease.job],
            }
        }
        match self {
            Action::Heartbeat { lease, .. } | Action::Settle(lease, _) | Action::Hold(lease) => of(lease),
            Action::HeartbeatAll(leases) | Action::CompleteMany(leases) => leases.iter().flat_map(of).collect(),
            Action::FailMany(list) | Action::FinishAndClaim { outcomes: list, .. } => {
                list.iter().flat_map(|(lease, _)| of(lease)).collect()
            }
            Action::SetStatus { job, token: Some(Token::Of(other)), .. } => vec![*job, *other],
            Action::RequestCancel { job, .. }
            | Action::Cancel { job, .. }
            | Action::SetStatus { job, .. }
            | Action::Retry(job)
            | Action::Delete(job)
            | Action::Explain(job)
            | Action::Expire(job)
            | Action::BecomeDue(job) => vec![*job],
            Action::SetStatusMany { jobs, .. } => jobs.clone(),
            Action::Create(_)
            | Action::CreateMany(_)
            | Action::Claim { .. }
            | Action::Rescue { .. }
            | Action::Pause(_)
            | Action::Resume(_) => Vec::new(),
        }
    }
}

/// Sessions that take turns.
pub const SESSIONS: usize = 3;

/// A next step that makes sense as things are.
pub fn step(model: &Model) -> BoxedStrategy<Step> {
    (0..SESSIONS, prop::bool::weighted(0.1), action(model))
        .prop_map(|(session, undone, action)| Step { session, undone, action })
        .boxed()
}

fn action(model: &Model) -> BoxedStrategy<Action> {
    let next = model.next_name();
    let (a_few, many) = (model.jobs.len() < 3, model.jobs.len() > 12);
    let mut choices: Vec<(u32, BoxedStrategy<Action>)> = vec![
        (if many { 1 } else { 12 }, new_job(next).prop_map(Action::Create).boxed()),
        (
            if many { 1 } else { 4 },
            (1..5u32)
                .prop_flat_map(move |count| (next..next + count).map(new_job).collect::<Vec<_>>())
                .prop_map(Action::CreateMany)
                .boxed(),
        ),
    ];
    if a_few {
        return Union::new_weighted(choices).boxed();
    }
    let reason = || prop::option::of(Just("obsolete"));
    let any = |preferred: fn(&Job) -> bool| job(model, preferred);
    let is_running = |job: &Job| job.status == Status::Running;
    let is_pending = |job: &Job| job.status == Status::Pending;
    let has_ended = |job: &Job| job.status.has_ended();
    let queues = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![1, 0])];
    choices.extend([
        (14, (queues, 1..6usize).prop_map(|(queues, max_jobs)| Action::Claim { queues, max_jobs }).boxed()),
        (
            5,
            (lease(model), prop::option::of(0..=100))
                .prop_map(|(lease, progress)| Action::Heartbeat { lease, progress })
                .boxed(),
        ),
        (2, some(lease(model)).prop_map(Action::HeartbeatAll).boxed()),
        (16, (lease(model), verdict()).prop_map(|(lease, verdict)| Action::Settle(lease, verdict)).boxed()),
        (2, some(lease(model)).prop_map(Action::CompleteMany).boxed()),
        (2, some((lease(model), failure())).prop_map(Action::FailMany).boxed()),
        (
            5,
            (prop::collection::vec((lease(model), verdict()), 0..4), 0..2usize, 1..4usize)
                .prop_map(|(outcomes, queue, max_jobs)| Action::FinishAndClaim { outcomes, queue, max_jobs })
                .boxed(),
        ),
        (2, lease(model).prop_map(Action::Hold).boxed()),
        (6, (any(is_running), reason()).prop_map(|(job, reason)| Action::RequestCancel { job, reason }).boxed()),
        (2, (any(is_running), reason()).prop_map(|(job, reason)| Action::Cancel { job, reason }).boxed()),
        (
            8,
            (any(|_| false), select(&Status::ALL[..]), prop::option::weighted(0.4, token(model)))
                .prop_map(|(job, to, token)| Action::SetStatus { job, to, token })
                .boxed(),
        ),
        (
            2,
            (some(any(|_| false)), select(&Status::ALL[..]))
                .prop_map(|(jobs, to)| Action::SetStatusMany { jobs, to })
                .boxed(),
        ),
        (5, any(has_ended).prop_map(Action::Retry).boxed()),
        (2, any(is_pending).prop_map(Action::Delete).boxed()),
        (2, any(is_pending).prop_map(Action::Explain).boxed()),
        (6, (1..4usize).prop_map(|max_jobs| Action::Rescue { max_jobs }).boxed()),
        (1, (0..2usize).prop_map(Action::Pause).boxed()),
        (2, (0..2usize).prop_map(Action::Resume).boxed()),
    ]);
    let of_those = |are: fn(&Job) -> bool| -> Vec<Name> {
        model.jobs.iter().filter(|(_, job)| are(job)).map(|(name, _)| *name).collect()
    };
    let (expirable, future) = (of_those(Job::may_expire), of_those(Job::may_become_due));
    if !expirable.is_empty() {
        choices.push((7, select(expirable).prop_map(Action::Expire).boxed()));
    }
    if !future.is_empty() {
        choices.push((4, select(future).prop_map(Action::BecomeDue).boxed()));
    }
    Union::new_weighted(choices).boxed()
}

fn new_job(name: Name) -> impl Strategy<Value = NewJob> {
    let on_duplicate = select(&["skip", "error", "replace"][..]);
    let (priority, max_attempts) = (prop::option::of(4..7i64), prop::option::of(1..4i64));
    let tomorrow = prop::bool::weighted(0.15);
    (0..2usize, prop::option::weighted(0.5, 0..3u8), on_duplicate, priority, tomorrow, max_attempts).prop_map(
        move |(queue, key, on_duplicate, priority, tomorrow, max_attempts)| NewJob {
            name,
            payload: name,
            queue,
            key,
            on_duplicate,
            priority,
            tomorrow,
            max_attempts,
        },
    )
}

/// Any of the jobs, those that are preferred more often.
fn job(model: &Model, preferred: fn(&Job) -> bool) -> impl Strategy<Value = Name> + use<> {
    let often = |job: &Job| if preferred(job) { 6 } else { 1 };
    let names = model.jobs.iter().flat_map(|(name, job)| vec![*name; often(job)]);
    select(names.collect::<Vec<_>>())
}

fn token(model: &Model) -> impl Strategy<Value = Token> + use<> {
    prop_oneof![
        12 => Just(Token::Latest),
        2 => Just(Token::Earlier),
        1 => job(model, |_| false).prop_map(Token::Of),
        1 => Just(Token::Stranger),
    ]
}

fn lease(model: &Model) -> impl Strategy<Value = Lease> + use<> {
    (job(model, |job| job.status == Status::Running), token(model)).prop_map(|(job, token)| Lease { job, token })
}

fn failure() -> impl Strategy<Value = Verdict> {
    let pause = prop_oneof![3 => Just(Pause::None), 1 => Just(Pause::Hour), 2 => Just(Pause::Queues)];
    (prop::option::of(Just("it broke")), pause, prop::bool::weighted(0.2))
        .prop_map(|(error, pause, is_final)| Verdict::Fail { error, pause, is_final })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Complete),
        3 => failure(),
        2 => prop::bool::weighted(0.2).prop_map(|later| Verdict::Release { later }),
    ]
}

/// A list, in which the same job may come twice.
fn some<S: Strategy>(of: S) -> impl Strategy<Value = Vec<S::Value>> {
    prop::collection::vec(of, 1..4)
}
