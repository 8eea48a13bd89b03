//! Lines for the server's log and messages for the client. Nothing here ever ends a call.

use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};

/// Writes `message` to the server's log and never to the client.
pub fn to_server(message: String) {
    message_at(PgLogLevel::LOG_SERVER_ONLY, message);
}

/// Reports `message` at a level below ERROR.
pub fn message_at(level: PgLogLevel, message: String) {
    debug_assert!((level as isize) < PgLogLevel::ERROR as isize);
    // Checked first, because building a report allocates and most of these are below the threshold.
    // SAFETY: only reads the session's log settings.
    if unsafe { pg_sys::message_level_is_interesting(level as i32) } {
        pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "pg_foreman")
            .report(level);
    }
}
