//! Heartbeats: a worker's lease goes on, and the worker learns whether a cancel was requested.
//!
//! Where there is shared memory they are told there (src/shared/leases.rs): each written into the row would be another dead
//! version and another dead entry of the indexes for as long as an old snapshot lasts. Into the row goes what is to outlast
//! a crash, a lease that ends more than its own length from now; and all of those for which memory has no place, or whose
//! row somebody is at.

use super::live::{LIVE_JOB, column};
use super::transition;
use crate::arguments::MAX_TEXT;
use crate::error::Error;
use crate::pg::datum::{Array, Text, Timestamptz};
use crate::pg::rows::{Key, Rows, Scan};
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use crate::shared::leases::{self, Lease, Tenant, Told};
use pgrx::pg_sys;
use serde_json::{Map, Value};
use std::collections::HashMap;

// A row that is locked is held by its worker's own transaction or about to be finished: it can't be rescued, so its
// heartbeat can do without, and the leases of the same list do not wait for it. Why the ids are said
// twice is told in live.rs.
static EXTEND: Statement = Statement::by_index(
    c"WITH free AS (
          SELECT j.id, w.seconds, w.progress, w.note
          FROM ROWS FROM (
              pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
              pg_catalog.unnest($5)
          ) AS w (id, token, seconds, progress, note)
          JOIN foreman.live_job AS j ON j.id OPERATOR(pg_catalog.=) w.id
          WHERE j.id OPERATOR(pg_catalog.=) ANY ($1)
            AND j.status::text OPERATOR(pg_catalog.=) 'running' AND j.lease_token OPERATOR(pg_catalog.=) w.token::uuid
          FOR NO KEY UPDATE OF j SKIP LOCKED
      )
      UPDATE foreman.live_job AS j
      SET lease_expires_at = GREATEST(foreman.lease_end(j.lease_token, j.lease_expires_at, j.lease_seconds),
              $6 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => COALESCE(f.seconds, j.lease_seconds))),
          progress = COALESCE(f.progress, foreman.lease_progress(j.lease_token, j.lease_expires_at, j.progress)),
          note = COALESCE(f.note, foreman.lease_note(j.lease_token, j.lease_expires_at, j.note))
      FROM free AS f
      WHERE j.id OPERATOR(pg_catalog.=) ANY ($1) AND j.id OPERATOR(pg_catalog.=) f.id
      RETURNING j.id, pg_catalog.to_jsonb(j.lease_expires_at) OPERATOR(pg_catalog.#>>) '{}',
                j.cancel_requested_at IS NOT NULL, j.cancel_reason, false",
    &[
        pg_sys::INT8ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::FLOAT8ARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::TIMESTAMPTZOID,
    ],
);

static HELD: Statement = Statement::by_index(
    c"SELECT j.id, pg_catalog.to_jsonb(foreman.lease_end(j.lease_token, j.lease_expires_at, j.lease_seconds))
                 OPERATOR(pg_catalog.#>>) '{}', j.cancel_requested_at IS NOT NULL, j.cancel_reason, true
      FROM foreman.live_job AS j
      WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) 'running'
        AND j.lease_token OPERATOR(pg_catalog.=) $2::uuid",
    &[pg_sys::INT8OID, pg_sys::TEXTOID],
);

/// One heartbeat.
pub struct Beat {
    pub job_id: i64,
    pub lease_token: String,
    /// `None`: the lease's own length.
    pub extend_seconds: Option<f64>,
    pub progress: Option<i32>,
    pub note: Option<Text>,
}

/// A lease that goes on.
struct Extended {
    lease_expires_at: String,
    cancel_requested: bool,
    cancel_reason: Option<String>,
    /// Locked by another transaction, and so left as it is.
    held: bool,
}

impl Extended {
    /// The lease of a row that one of the statements gives.
    fn of(row: &Row) -> Option<Self> {
        let (cancel_requested, cancel_reason, held) = (row.boolean(3), row.text(4), row.boolean(5));
        Some(Self { lease_expires_at: row.text(2)?, cancel_requested, cancel_reason, held })
    }

    /// What is told of it, for a reply or an entry in a list.
    fn facts(self) -> Map<String, Value> {
        let mut facts = Map::new();
        facts.insert("lease_expires_at".to_owned(), self.lease_expires_at.into());
        facts.insert("cancel_requested".to_owned(), self.cancel_requested.into());
        if let Some(reason) = self.cancel_reason {
            facts.insert("cancel_reason".to_owned(), reason.into());
        }
        if self.held {
            facts.insert("held".to_owned(), true.into());
        }
        facts
    }
}

/// What became of a heartbeat.
enum Outcome {
    Extended(Extended),
    LeaseLost,
    NotFound,
}

/// Extends the leases that are current; the outcomes are in the order of the beats.
fn extend(connection: &Connection, beats: &[Beat]) -> Vec<Outcome> {
    let mut extended = in_memory(beats).unwrap_or_default();
    let others: Vec<&Beat> = beats.iter().filter(|beat| !extended.contains_key(&beat.job_id)).collect();
    // Also without any: it is refused where nothing may be written.
    if !others.is_empty() || beats.is_empty() {
        extended.extend(in_rows(connection, &others));
    }
    beats
        .iter()
        .map(|beat| match extended.remove(&beat.job_id) {
            Some(extended) => Outcome::Extended(extended),
            None => not_extended(connection, beat),
        })
        .collect()
}

/// Extends leases in their rows.
fn in_rows(connection: &Connection, beats: &[&Beat]) -> HashMap<i64, Extended> {
    let each = || beats.iter();
    let rows = connection.run(
        &EXTEND,
        &[
            &Array::of(each().map(|beat| Some(beat.job_id))),
            &Array::of(each().map(|beat| Some(Text::from_utf8(&beat.lease_token)))),
            &Array::of(each().map(|beat| beat.extend_seconds)),
            &Array::of(each().map(|beat| beat.progress)),
            &Array::of(each().map(|beat| beat.note)),
            &Timestamptz::at(xact::clock()),
        ],
    );
    rows.iter().filter_map(|row| Some((row.bigint(1)?, Extended::of(&row)?))).collect()
}

/// Extends leases in shared memory, as far as that can be done; `None` where there is none, or nothing may be written.
fn in_memory(beats: &[Beat]) -> Option<HashMap<i64, Extended>> {
    if !leases::are_tracked() || !xact::may_write() {
        return None;
    }
    let rows = Rows::to_read(&LIVE_JOB)?;
    let mut scan = by_id(&rows)?;
    let mut may_tidy = true;
    let extended = |beat: &Beat| Some((beat.job_id, tell(&rows, &mut scan, beat, &mut may_tidy)?));
    Some(beats.iter().filter_map(extended).collect())
}

/// A walk over the rows as they are now, job by job.
fn by_id(rows: &Rows) -> Option<Scan<'_>> {
    rows.scan(c"live_job_has_an_id", &[column::ID])
}

/// The lease of a job that runs, at whose row the walk then stands.
fn lease_of(scan: &mut Scan, job_id: i64) -> Option<Lease> {
    scan.start(&[Key::bigint(job_id)]);
    let is_running = scan.next() && scan.is_label(column::STATUS, c"running");
    let token = scan.uuid(column::LEASE_TOKEN).filter(|_| is_running)?.bytes();
    Some(Lease { token, expires_at: scan.bigint(column::LEASE_EXPIRES_AT) })
}

/// Extends a lease in shared memory; `None` where it takes the row, or is not the job's.
fn tell(rows: &Rows, scan: &mut Scan, beat: &Beat, may_tidy: &mut bool) -> Option<Extended> {
    let lease = lease_of(scan, beat.job_id)?;
    if scan.uuid(column::LEASE_TOKEN)?.to_text() != beat.lease_token {
        return None;
    }
    let (now, length) = (xact::clock(), scan.double(column::LEASE_SECONDS));
    let expires_at = xact::after(now, beat.extend_seconds.unwrap_or(length));
    if expires_at > lease.expires_at.max(xact::after(now, length)) {
        return None;
    }
    let note = beat.note.as_ref().map(Text::bytes);
    let told = Told { expires_at, progress: beat.progress, note };
    let mut is_told = lease.tell(beat.job_id, &told);
    if !is_told && std::mem::take(may_tidy) {
        tidy(rows, &lease.tenants());
        is_told = lease.tell(beat.job_id, &told);
    }
    (is_told && scan.is_settled()).then(|| Extended {
        lease_expires_at: Timestamptz::at(lease.end(length)).to_json(),
        cancel_requested: scan.column(column::CANCEL_REQUESTED_AT).is_some(),
        cancel_reason: scan.text(column::CANCEL_REASON).map(|reason| reason.to_utf8(MAX_TEXT)),
        held: false,
    })
}

/// Frees the places of leases that are no longer their job's. They were told of before this walk's snapshot, and of rows
/// that others saw: so what it does not see is over.
fn tidy(rows: &Rows, tenants: &[Tenant]) {
    let Some(mut scan) = by_id(rows) else { return };
    for tenant in tenants {
        let is_current = lease_of(&mut scan, tenant.job_id).is_some_and(|lease| lease.has(tenant));
        if !is_current {
            leases::forget(tenant);
        }
    }
}

/// A heartbeat whose row was locked, or whose lease is no longer the job's.
fn not_extended(connection: &Connection, beat: &Beat) -> Outcome {
    let rows = connection.run(&HELD, &[&beat.job_id, &beat.lease_token.as_str()]);
    match rows.first().and_then(|row| Extended::of(&row)) {
        Some(held) => Outcome::Extended(held),
        None if transition::look_at(connection, beat.job_id).is_some() => Outcome::LeaseLost,
        None => Outcome::NotFound,
    }
}

/// `heartbeat`.
pub fn one(beat: Beat) -> Result<Reply, Error> {
    let job_id = beat.job_id;
    match spi::connect(|connection| extend(connection, &[beat])).pop() {
        Some(Outcome::Extended(extended)) => Ok(Reply::success()
            .field("job_id", job_id)
            .field("lease_expires_at", extended.lease_expires_at)
            .field("cancel_requested", extended.cancel_requested)
            .optional("cancel_reason", extended.cancel_reason)
            .optional("held", extended.held.then_some(true))),
        Some(Outcome::LeaseLost) => Err(Error::LeaseLost { job_id }),
        Some(Outcome::NotFound) | None => Err(Error::no_job(job_id)),
    }
}

/// `heartbeat_all`.
pub fn many(beats: &[Beat]) -> Reply {
    let outcomes = spi::connect(|connection| extend(connection, beats));
    let entry = |(beat, outcome): (&Beat, Outcome)| {
        let (word, facts) = match outcome {
            Outcome::Extended(extended) => ("extended", extended.facts()),
            Outcome::LeaseLost => ("lease_lost", Map::new()),
            Outcome::NotFound => ("not_found", Map::new()),
        };
        let mut entry = facts;
        entry.insert("job_id".to_owned(), beat.job_id.into());
        entry.insert("outcome".to_owned(), word.into());
        Value::Object(entry)
    };
    Reply::success().field("outcomes", beats.iter().zip(outcomes).map(entry).collect::<Value>())
}
