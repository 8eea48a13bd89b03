//! Steps inside views and statements: what heartbeats have told of leases, beside what the rows say. They neither read nor
//! write tables, and can't fail, so they do without the guard; `stable`, though what they say may change under way, so that
//! a view is one with the query that reads it.

use crate::pg::datum::{Text, Timestamptz, Uuid};
use crate::shared::leases::{Entry, Lease};
use pgrx::prelude::*;

/// A step of `foreman.jobs`: until when nobody takes a lease away, as its row, its heartbeats and the grace after a crash have it.
#[pg_extern(schema = "foreman", stable, parallel_safe)]
fn lease_end(
    lease_token: Option<Uuid>,
    lease_expires_at: Option<Timestamptz>,
    lease_seconds: Option<f64>,
) -> Option<Timestamptz> {
    let end = lease(lease_token, lease_expires_at).map(|lease| lease.end(lease_seconds.unwrap_or_default()));
    end.map(Timestamptz::at).or(lease_expires_at)
}

/// A step of `foreman.jobs`: the progress that was last told by heartbeats, else what the row says.
#[pg_extern(schema = "foreman", stable, parallel_safe)]
fn lease_progress(
    lease_token: Option<Uuid>,
    lease_expires_at: Option<Timestamptz>,
    progress: Option<i32>,
) -> Option<i32> {
    lease(lease_token, lease_expires_at).and_then(|lease| lease.told(Entry::progress)).or(progress)
}

/// A step of `foreman.jobs`: the note that was last told by heartbeats, else what the row says.
#[pg_extern(schema = "foreman", stable, parallel_safe)]
fn lease_note(lease_token: Option<Uuid>, lease_expires_at: Option<Timestamptz>, note: Option<Text>) -> Option<Text> {
    let told = lease(lease_token, lease_expires_at).and_then(|lease| lease.told(|entry| Some(entry.note())));
    told.and_then(|told| told.text().map(Text::from_server)).or(note)
}

/// The lease of a row, if it has one under which heartbeats can come.
fn lease(token: Option<Uuid>, expires_at: Option<Timestamptz>) -> Option<Lease> {
    Some(Lease { token: token?.bytes(), expires_at: expires_at?.microseconds() })
}
