//! Heartbeats: a worker's lease goes on, and the worker learns whether a cancel was requested.

use super::transition;
use crate::error::Error;
use crate::pg::datum::{Array, Text, Timestamptz};
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;
use serde_json::{Value, json};
use std::collections::HashMap;

static EXTEND: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET lease_expires_at = GREATEST(j.lease_expires_at,
              $6 OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => COALESCE(w.seconds, j.lease_seconds))),
          progress = COALESCE(w.progress, j.progress), note = COALESCE(w.note, j.note)
      FROM ROWS FROM (
          pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
          pg_catalog.unnest($5)
      ) AS w (id, token, seconds, progress, note)
      WHERE j.id OPERATOR(pg_catalog.=) w.id AND j.status OPERATOR(pg_catalog.=) 'running'
        AND j.lease_token OPERATOR(pg_catalog.=) w.token::uuid
      RETURNING j.id, pg_catalog.to_jsonb(j.lease_expires_at) OPERATOR(pg_catalog.#>>) '{}',
                j.cancel_requested_at IS NOT NULL, j.cancel_reason",
    &[
        pg_sys::INT8ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::FLOAT8ARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::TIMESTAMPTZOID,
    ],
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
}

/// Extends the leases that are current, by job.
fn extend(connection: &Connection, beats: &[Beat]) -> HashMap<i64, Extended> {
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
    rows.iter()
        .filter_map(|row| {
            let (cancel_requested, cancel_reason) = (row.boolean(3), row.text(4));
            Some((row.bigint(1)?, Extended { lease_expires_at: row.text(2)?, cancel_requested, cancel_reason }))
        })
        .collect()
}

/// `heartbeat`.
pub fn one(beat: Beat) -> Result<Reply, Error> {
    let job_id = beat.job_id;
    spi::connect(|connection| match extend(connection, &[beat]).remove(&job_id) {
        Some(extended) => Ok(Reply::success()
            .field("job_id", job_id)
            .field("lease_expires_at", extended.lease_expires_at)
            .field("cancel_requested", extended.cancel_requested)
            .optional("cancel_reason", extended.cancel_reason)),
        None if transition::look_at(connection, job_id).is_some() => Err(Error::LeaseLost { job_id }),
        None => Err(Error::no_job(job_id)),
    })
}

/// `heartbeat_all`.
pub fn many(beats: &[Beat]) -> Reply {
    let outcomes: Value = spi::connect(|connection| {
        let mut extended = extend(connection, beats);
        beats.iter().map(|beat| outcome(connection, beat.job_id, extended.remove(&beat.job_id))).collect()
    });
    Reply::success().field("outcomes", outcomes)
}

/// What became of one heartbeat.
fn outcome(connection: &Connection, job_id: i64, extended: Option<Extended>) -> Value {
    match extended {
        Some(Extended { lease_expires_at, cancel_requested, cancel_reason }) => {
            let mut entry = json!({"job_id": job_id, "outcome": "extended", "lease_expires_at": lease_expires_at,
                                   "cancel_requested": cancel_requested});
            if let Some(reason) = cancel_reason {
                entry["cancel_reason"] = reason.into();
            }
            entry
        }
        None if transition::look_at(connection, job_id).is_some() => {
            json!({"job_id": job_id, "outcome": "lease_lost"})
        }
        None => json!({"job_id": job_id, "outcome": "not_found"}),
    }
}
