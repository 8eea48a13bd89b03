//! Trigger functions: called by the server for a change to one of our tables, and by nobody else.

use crate::pg::invalidation;
use pgrx::PgTriggerError;
use pgrx::prelude::*;

/// What a trigger answers after the fact: nothing.
type Nothing<'a> = Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>, PgTriggerError>;

/// Tells all sessions, when this transaction commits, that what they remember of the table may no longer hold.
#[pg_trigger(sql = false)]
fn table_changed<'a>(trigger: &'a PgTrigger<'a>) -> Nothing<'a> {
    invalidation::send(trigger.relid()?);
    Ok(None)
}
