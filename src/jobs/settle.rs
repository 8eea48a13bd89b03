//! What a worker says of jobs that it holds: completed, failed, given back. One routine for one job and for many.
//!
//! Each is tried by a statement that names the lease; what it did not reach is looked at, to say why.

use super::finish::{self, End, Ending, Rule, When};
use super::ready;
use super::status::Status;
use super::transition::{self, LOCK_IN_ORDER, Seen};
use crate::error::Error;
use crate::pg::datum::{Array, Text, Timestamptz};
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use crate::shared::tally::{self, Event};
use pgrx::pg_sys;
use serde_json::{Value, json};
use std::collections::HashMap;

// One that a cancel was requested of is not given back: it ends.
//
// Why the ids are said twice is told in live.rs.
//
// The pause is the worker's, or that of the queue's backoff: base, base * attempt or base * factor ^ (attempt - 1), up to
// the cap, less a random part of it. The power is bounded so that it can't overflow; the cap is lower by far.
static BACK: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET status = 'pending',
          ready_at = GREATEST(w.run_at, $5 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => COALESCE(w.pause, (
              SELECT LEAST(q.backoff_cap_seconds, q.backoff_base_seconds OPERATOR(pg_catalog.*) CASE q.backoff
                         WHEN 'fixed' THEN 1
                         WHEN 'linear' THEN j.attempt
                         ELSE pg_catalog.power(q.backoff_factor, LEAST(j.attempt OPERATOR(pg_catalog.-) 1, 100)) END)
                     OPERATOR(pg_catalog.*) (1 OPERATOR(pg_catalog.-)
                         (q.backoff_jitter OPERATOR(pg_catalog.*) pg_catalog.random()))
              FROM foreman.queue AS q WHERE q.id OPERATOR(pg_catalog.=) j.queue_id)))),
          attempt = GREATEST(j.attempt OPERATOR(pg_catalog.-) w.given_back, 0),
          lease_token = NULL, lease_expires_at = NULL, lease_seconds = NULL, worker = NULL, progress = NULL,
          note = NULL, last_error = COALESCE(w.error, j.last_error)
      FROM ROWS FROM (
          pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
          pg_catalog.unnest($6), pg_catalog.unnest($7)
      ) AS w (id, token, error, pause, run_at, given_back)
      WHERE j.id OPERATOR(pg_catalog.=) ANY ($1)
        AND j.id OPERATOR(pg_catalog.=) w.id
        AND j.status::text OPERATOR(pg_catalog.=) 'running' AND j.cancel_requested_at IS NULL
        AND ($8 OR j.lease_token OPERATOR(pg_catalog.=) w.token::uuid)
      RETURNING j.id, pg_catalog.to_jsonb(j.ready_at) OPERATOR(pg_catalog.#>>) '{}', j.attempt, j.max_attempts,
                j.queue_id, j.priority::integer, j.ready_at, j.id,
                (SELECT q.name FROM foreman.queue AS q WHERE q.id OPERATOR(pg_catalog.=) j.queue_id AND q.notify)",
    &[
        pg_sys::INT8ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::FLOAT8ARRAYOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::BOOLOID,
    ],
);

/// What a worker says of a job.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    Completed,
    /// Tried again after a pause, by default the queue's, unless this is final or the attempts are used up.
    Failed {
        retry_in: Option<f64>,
        is_final: bool,
    },
    /// Given back, without an attempt used up.
    Released {
        run_at: Option<Timestamptz>,
    },
}

/// A job that a worker holds, and what it says of it.
pub struct Settlement {
    pub job_id: i64,
    pub lease_token: String,
    pub verdict: Verdict,
    pub ending: Ending,
}

/// What became of a job.
pub enum Outcome {
    Ended(Status),
    Back(Back),
    /// Said before, under the same lease: the reply was lost.
    Unchanged(Status),
    LeaseLost,
    NotFound,
}

/// A job that is pending again.
pub struct Back {
    pub job_id: i64,
    pub ready_at: String,
    pub attempt: i32,
    pub max_attempts: i32,
}

/// A job that is to become pending again.
pub struct Return<'a> {
    pub job_id: i64,
    pub lease_token: Option<&'a str>,
    pub error: Option<Text>,
    /// Seconds; `None` is the queue's backoff.
    pub pause: Option<f64>,
    pub run_at: Option<Timestamptz>,
    /// Attempts that count as not made.
    pub given_back: i32,
}

impl Settlement {
    /// As what the job ends, if it does, and when it does.
    fn end(&self) -> (Status, When) {
        match self.verdict {
            Verdict::Completed => (Status::Completed, When::Always),
            Verdict::Failed { is_final: true, .. } => (Status::Failed, When::Always),
            Verdict::Failed { .. } => (Status::Failed, When::NoAttemptLeft),
            Verdict::Released { .. } => (Status::Cancelled, When::CancelRequested),
        }
    }

    /// Whether a job that has ended may have done so by this: where a cancel was requested, a failed or released one is
    /// cancelled.
    fn may_have_led_to(&self, status: Status) -> bool {
        let (to, when) = self.end();
        status == to || (status == Status::Cancelled && when != When::Always)
    }

    /// Counts a job that is pending again.
    fn tell(&self, outcome: &Outcome) {
        if let Outcome::Back(_) = outcome {
            let is_released = matches!(self.verdict, Verdict::Released { .. });
            tally::count(if is_released { Event::Released } else { Event::Retried }, 1);
        }
    }

    /// How the job becomes pending again, if it does.
    fn way_back(&self) -> Option<Return<'_>> {
        let (pause, run_at, given_back) = match self.verdict {
            Verdict::Completed | Verdict::Failed { is_final: true, .. } => return None,
            Verdict::Failed { retry_in, .. } => (retry_in, None, 0),
            Verdict::Released { run_at } => (Some(0.0), run_at, 1),
        };
        let (job_id, lease_token) = (self.job_id, Some(self.lease_token.as_str()));
        Some(Return { job_id, lease_token, error: self.ending.error, pause, run_at, given_back })
    }
}

/// Carries out what was said; the outcomes are in the order of the list, which is that of the ids.
pub fn settle(list: &[Settlement]) -> Vec<Outcome> {
    // Several statements follow, each for some of the rows: all are locked before, in the order that everybody keeps.
    if list.iter().any(|settlement| settlement.end().0 != list[0].end().0 || settlement.way_back().is_some()) {
        lock(list);
    }
    let mut outcomes = HashMap::new();
    // A cancel that is requested between the two is met by the second round.
    for _ in 0..2 {
        end(list, &mut outcomes);
        if outcomes.len() == list.len() || !return_others(list, &mut outcomes) {
            break;
        }
    }
    let outcome = |settlement: &Settlement| outcomes.remove(&settlement.job_id).unwrap_or_else(|| why_not(settlement));
    let outcomes: Vec<Outcome> = list.iter().map(outcome).collect();
    list.iter().zip(&outcomes).for_each(|(settlement, outcome)| settlement.tell(outcome));
    outcomes
}

/// Ends those that are to end.
fn end(list: &[Settlement], outcomes: &mut HashMap<i64, Outcome>) {
    for to in Status::ENDS {
        let ends: Vec<End> = list
            .iter()
            .filter(|settlement| settlement.end().0 == *to && !outcomes.contains_key(&settlement.job_id))
            .map(|settlement| End {
                job_id: settlement.job_id,
                lease_token: Some(&settlement.lease_token),
                ending: settlement.ending,
                when: settlement.end().1,
            })
            .collect();
        if !ends.is_empty() {
            let ended = finish::finish(&ends, &Rule { to: *to, from: &[Status::Running], forced: false });
            outcomes.extend(ended.into_iter().map(|ended| (ended.job_id, Outcome::Ended(ended.to))));
        }
    }
}

/// Gives back those that have not ended; whether some could not be given back.
fn return_others(list: &[Settlement], outcomes: &mut HashMap<i64, Outcome>) -> bool {
    let returns: Vec<Return> = list
        .iter()
        .filter(|settlement| !outcomes.contains_key(&settlement.job_id))
        .filter_map(Settlement::way_back)
        .collect();
    let back =
        if returns.is_empty() { Vec::new() } else { spi::connect(|connection| give_back(connection, &returns, false)) };
    let is_some_left = back.len() < returns.len();
    outcomes.extend(back.into_iter().map(|back| (back.job_id, Outcome::Back(back))));
    is_some_left
}

/// Locks the rows of several jobs in the order of their ids.
fn lock(list: &[Settlement]) {
    if list.len() > 1 {
        let ids = Array::of(list.iter().map(|settlement| Some(settlement.job_id)));
        spi::connect(|connection| {
            connection.run(&LOCK_IN_ORDER, &[&ids]);
        });
    }
}

/// Makes running jobs pending again, whatever their lease if `forced`.
pub fn give_back(connection: &Connection, returns: &[Return], forced: bool) -> Vec<Back> {
    if returns.is_empty() {
        return Vec::new();
    }
    let each = || returns.iter();
    let rows = connection.run(
        &BACK,
        &[
            &Array::of(each().map(|job| Some(job.job_id))),
            &Array::of(each().map(|job| job.lease_token.map(Text::from_utf8))),
            &Array::of(each().map(|job| job.error)),
            &Array::of(each().map(|job| job.pause)),
            &Timestamptz::at(xact::clock()),
            &Array::of(each().map(|job| job.run_at)),
            &Array::of(each().map(|job| Some(job.given_back))),
            &forced,
        ],
    );
    rows.iter()
        .filter_map(|row| {
            ready::announce_row(&row, 5);
            let (attempt, max_attempts) = (row.integer(3)?, row.integer(4)?);
            Some(Back { job_id: row.bigint(1)?, ready_at: row.text(2)?, attempt, max_attempts })
        })
        .collect()
}

/// Why nothing was done about a job.
fn why_not(settlement: &Settlement) -> Outcome {
    match spi::connect(|connection| transition::look_at(connection, settlement.job_id)) {
        None => Outcome::NotFound,
        Some(Seen { status, lease_token })
            if settlement.may_have_led_to(status)
                && lease_token.as_deref() == Some(settlement.lease_token.as_str()) =>
        {
            Outcome::Unchanged(status)
        }
        Some(_) => Outcome::LeaseLost,
    }
}

/// `complete_job`, `fail_job`, `release_job`.
pub fn one(settlement: Settlement) -> Result<Reply, Error> {
    let list = [settlement];
    let outcome = settle(&list).pop();
    let [Settlement { job_id, .. }] = list;
    let reply = |from: Status, to: Status, changed: bool| {
        let reply = Reply::success().field("job_id", job_id).field("from", from.name());
        reply.field("to", to.name()).field("changed", changed)
    };
    match outcome {
        Some(Outcome::Ended(to)) => Ok(reply(Status::Running, to, true)),
        Some(Outcome::Unchanged(status)) => Ok(reply(status, status, false)),
        Some(Outcome::Back(back)) => Ok(reply(Status::Running, Status::Pending, true)
            .field("ready_at", back.ready_at)
            .field("attempt", back.attempt)
            .field("max_attempts", back.max_attempts)),
        Some(Outcome::LeaseLost) => Err(Error::LeaseLost { job_id }),
        Some(Outcome::NotFound) | None => Err(Error::no_job(job_id)),
    }
}

/// `complete_jobs`, `fail_jobs`.
pub fn many(list: &[Settlement]) -> Reply {
    Reply::success().field("outcomes", told(list, &settle(list)))
}

/// The outcomes as a list for a reply.
pub fn told(list: &[Settlement], outcomes: &[Outcome]) -> Value {
    let entry = |(settlement, outcome): (&Settlement, &Outcome)| {
        let word = match outcome {
            Outcome::Ended(status) => status.name(),
            Outcome::Back(_) => Status::Pending.name(),
            Outcome::Unchanged(_) => "unchanged",
            Outcome::LeaseLost => "lease_lost",
            Outcome::NotFound => "not_found",
        };
        let mut entry = json!({"job_id": settlement.job_id, "outcome": word});
        if let Outcome::Back(back) = outcome {
            entry["ready_at"] = back.ready_at.as_str().into();
        }
        entry
    };
    list.iter().zip(outcomes).map(entry).collect()
}
