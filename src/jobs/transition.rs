//! Moving jobs from state to state: one routine, for each job by itself. A statement for many at once would have a
//! plan that depends on how many, and be planned for each call, or be planned once for the wrong number.
//!
//! The change is tried first, by a statement that names what it needs. Only what it did not reach is looked at, to
//! say why: already there, not allowed, another's lease, not found.

use super::finish::{self, End, Ending, Rule, When};
use super::ready;
use super::retry;
use super::status::Status;
use crate::error::Error;
use crate::pg::datum::{Array, Timestamptz};
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;
use std::collections::BTreeMap;

pub static LOCK_IN_ORDER: Statement = Statement::by_index(
    c"SELECT j.id FROM foreman.live_job AS j WHERE j.id OPERATOR(pg_catalog.=) ANY ($1) ORDER BY j.id FOR UPDATE",
    &[pg_sys::INT8ARRAYOID],
);

static RUN: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET status = 'running', started_at = $2, attempt = j.attempt OPERATOR(pg_catalog.+) 1,
          (lease_seconds, lease_expires_at) = (
              SELECT q.max_run_seconds,
                     $2 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => q.max_run_seconds)
              FROM foreman.queue AS q WHERE q.id OPERATOR(pg_catalog.=) j.queue_id)
      WHERE j.id OPERATOR(pg_catalog.=) $1
        AND j.status::text OPERATOR(pg_catalog.=) 'pending' AND $3::uuid IS NULL
      RETURNING j.id",
    &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID],
);

static RELEASE: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET status = 'pending', ready_at = GREATEST(j.run_at, $2), lease_token = NULL, lease_expires_at = NULL,
          lease_seconds = NULL, worker = NULL, progress = NULL, note = NULL, cancel_requested_at = NULL,
          cancel_reason = NULL
      WHERE j.id OPERATOR(pg_catalog.=) $1
        AND j.status::text OPERATOR(pg_catalog.=) 'running' AND j.lease_token IS NOT DISTINCT FROM $3::uuid
      RETURNING j.queue_id, j.priority::integer, j.ready_at, j.id,
                (SELECT q.name FROM foreman.queue AS q WHERE q.id OPERATOR(pg_catalog.=) j.queue_id AND q.notify)",
    &[pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID],
);

static LOOK: Statement = Statement::by_index(
    c"SELECT j.status::text, j.lease_token::text
      FROM foreman.any_job AS j
      WHERE j.id OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT8OID],
);

/// A change that somebody asks for.
pub struct Change {
    pub to: Status,
    pub ending: Ending,
    pub lease_token: Option<String>,
    /// Whether a lease of somebody else's is no obstacle.
    pub forced: bool,
    /// Whether only jobs that have ended are meant, so that one that runs is left alone.
    pub only_ended: bool,
}

/// What became of one job.
pub enum Outcome {
    Changed { from: Status },
    Unchanged,
    Refused(Error),
}

/// Times that a job may change under our eyes before we call it a refusal.
const MAX_LOOKS: usize = 10;

/// Changes one job.
pub fn one(job_id: i64, change: &Change) -> Result<Reply, Error> {
    let (from, changed) = match spi::connect(|connection| carry_out(connection, job_id, change)) {
        Outcome::Changed { from } => (from, true),
        Outcome::Unchanged => (change.to, false),
        Outcome::Refused(error) => return Err(error),
    };
    Ok(Reply::success()
        .field("job_id", job_id)
        .field("from", from.name())
        .field("to", change.to.name())
        .field("changed", changed))
}

/// Changes many jobs, whose ids are sorted; each has an outcome of its own.
pub fn many(ids: &[i64], change: &Change) -> Reply {
    let outcomes: Vec<(i64, Outcome)> = spi::connect(|connection| {
        connection.run(&LOCK_IN_ORDER, &[&Array::of(ids.iter().copied().map(Some))]);
        ids.iter().map(|id| (*id, carry_out(connection, *id, change))).collect()
    });
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let list: serde_json::Value = outcomes
        .iter()
        .map(|(job_id, outcome)| {
            let (word, error) = match outcome {
                Outcome::Changed { .. } => ("updated", None),
                Outcome::Unchanged => ("unchanged", None),
                Outcome::Refused(Error::NotFound { .. }) => ("not_found", None),
                Outcome::Refused(error) => ("refused", Some(error)),
            };
            *counts.entry(word).or_default() += 1;
            let mut entry = serde_json::json!({"job_id": job_id, "outcome": word});
            if let Some(error) = error {
                entry["error_code"] = error.code().name().into();
                entry["message"] = error.to_string().into();
            }
            entry
        })
        .collect();
    let count = |word: &str| counts.get(word).copied().unwrap_or_default();
    Reply::success()
        .field("updated", count("updated"))
        .field("unchanged", count("unchanged"))
        .field("not_found", count("not_found"))
        .field("refused", count("refused"))
        .field("outcomes", list)
}

/// Tries, looks why it did not do, and tries again if it has become possible meanwhile.
fn carry_out(connection: &Connection, job_id: i64, change: &Change) -> Outcome {
    for look in 1.. {
        if let Some(from) = apply(connection, job_id, change) {
            return Outcome::Changed { from };
        }
        let seen = look_at(connection, job_id);
        if let Some(outcome) = judge(connection, job_id, seen.as_ref(), change, look == MAX_LOOKS) {
            return outcome;
        }
    }
    unreachable!("the last look has an outcome")
}

/// Changes a live job, if its state and its lease allow it; gives the state that it was in.
fn apply(connection: &Connection, job_id: i64, change: &Change) -> Option<Status> {
    if change.only_ended {
        return None;
    }
    let token = change.lease_token.as_deref();
    let update = |statement| connection.run(statement, &[&job_id, &Timestamptz::at(xact::clock()), &token]);
    match change.to {
        Status::Running => update(&RUN).first().map(|_| Status::Pending),
        Status::Pending => update(&RELEASE).first().map(|row| {
            ready::announce_row(&row, 1);
            Status::Running
        }),
        Status::Completed | Status::Failed | Status::Cancelled => {
            let from: Vec<Status> = change.to.previous().collect();
            let end = End { job_id, lease_token: token, ending: change.ending, when: When::Always };
            let rule = Rule { to: change.to, from: &from, forced: change.forced };
            finish::finish(&[end], &rule).first().map(|ended| ended.from)
        }
    }
}

/// A job's state and lease as they are now; of a finished one the lease under which it ended.
pub struct Seen {
    pub status: Status,
    pub lease_token: Option<String>,
}

/// Looks at a job, live or finished.
pub fn look_at(connection: &Connection, job_id: i64) -> Option<Seen> {
    let rows = connection.run(&LOOK, &[&job_id]);
    let row = rows.first()?;
    Some(Seen { status: Status::of_name(&row.text(1)?)?, lease_token: row.text(2) })
}

/// Why a job was not changed; `None` if it can be by now.
fn judge(connection: &Connection, job_id: i64, seen: Option<&Seen>, change: &Change, last: bool) -> Option<Outcome> {
    let Some(seen) = seen else { return Some(Outcome::Refused(Error::no_job(job_id))) };
    let refused = |error| Some(Outcome::Refused(error));
    if seen.status.is_final() && seen.status == change.to {
        return Some(Outcome::Unchanged);
    }
    if change.only_ended && seen.status == Status::Running {
        let (to, allowed) = ("pending by a retry", Status::ENDS);
        return refused(Error::Transition { job_id, from: seen.status, to, allowed });
    }
    let same_lease = seen.lease_token == change.lease_token;
    if !seen.status.is_final() && !same_lease && !change.forced {
        return refused(Error::LeaseLost { job_id });
    }
    if seen.status == change.to {
        return Some(Outcome::Unchanged);
    }
    let allowed = seen.status.next();
    if !allowed.contains(&change.to) || last {
        return refused(Error::Transition { job_id, from: seen.status, to: change.to.name(), allowed });
    }
    if seen.status.is_final() {
        return match retry::revive(connection, job_id) {
            Ok(Some(from)) => Some(Outcome::Changed { from }),
            Ok(None) => None,
            Err(error) => refused(error),
        };
    }
    None
}
