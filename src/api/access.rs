//! Who may do what.

use crate::access;
use crate::arguments;
use crate::guard;
use crate::guard::function::Function;
use crate::pg::datum::{Jsonb, Text};
use pgrx::prelude::*;

/// Gives a role what a level may do; nothing is granted to PUBLIC.
///
/// - `level`: `producer` (creates and looks), `worker` (moves jobs on, too), `monitor` (health and counters),
///   `admin` (everything). `foreman.access_levels` says what that is; REVOKE takes it back.
/// - Replies: `success` with `role`, `level` and `granted`, the number of functions and views.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such role), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn grant_access(role: Option<Text>, level: Option<Text>) -> Jsonb {
    guard::run(Function::GrantAccess, || {
        access::grant(&arguments::name("role", role)?, arguments::word("level", level, &access::LEVELS)?)
    })
}
