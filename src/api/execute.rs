//! The guard for the caller's own SQL.

use crate::execute;
use crate::guard;
use crate::guard::function::Function;
use crate::pg::datum::{Jsonb, Text};
use pgrx::prelude::*;

/// Runs one statement of the caller's under the guard: in a savepoint, retried on deadlock, bounded in time.
///
/// - `statement`: one statement, run with the caller's rights and search_path; no transaction control, no COPY.
///   `params`: a JSON array, bound to $1, $2, ... as text is by a driver; JSON arrays fit array types.
/// - `on_duplicate`: `error`, or `skip` to answer `skipped` where a unique key is violated. `max_retries`: 0 to 10;
///   NULL is `foreman.max_retries`. `timeout_seconds`: up to 86400; NULL is `foreman.query_timeout`. Inside another
///   call the outer one's retries and time limit hold.
/// - `max_rows`: 0 to 10000 rows in the reply; with more it says `truncated`. What changes rows always runs to its end.
///   Rows are JSON objects: of columns with the same name the last is kept.
/// - Replies: `success` with `rows`, `row_count`, `attempts`, `duration_ms`; `skipped` with `reason`.
/// - Errors: all of `foreman.error_codes`. What a rollback does not undo (nextval, session advisory locks, dblink)
///   a retry does again.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe)]
#[allow(clippy::too_many_arguments)]
fn execute(
    statement: Option<Text>,
    params: default!(Option<Jsonb>, "'[]'"),
    on_duplicate: default!(Option<Text>, "'error'"),
    max_retries: default!(Option<i32>, "NULL"),
    timeout_seconds: default!(Option<f64>, "NULL"),
    max_rows: default!(Option<i32>, 100),
) -> Jsonb {
    guard::run_within(
        Function::Execute,
        || execute::limits(on_duplicate, max_retries, timeout_seconds),
        || execute::run(statement, params, max_rows),
    )
}
