//! Lines for the server's log and messages for the client. Nothing here ever ends a call.
//!
//! Written through the server's own functions and not pgrx's report: only they can leave out the statement, which
//! the server otherwise adds with all its values.

use super::compat::bare;
use pgrx::{PgLogLevel, pg_sys};
use std::ffi::CString;

/// Writes `message` to the server's log and never to the client.
pub fn to_server(message: String) {
    message_at(PgLogLevel::LOG_SERVER_ONLY, message);
}

/// Reports `message` at a level below ERROR, without the statement and the context that led to it.
pub fn message_at(level: PgLogLevel, message: String) {
    debug_assert!((level as isize) < PgLogLevel::ERROR as isize);
    let message = CString::new(message).unwrap_or_default();
    // SAFETY: below ERROR errfinish returns. The message is copied; it is passed through a format of its own.
    unsafe {
        if bare::errstart(level as i32, std::ptr::null()) {
            pg_sys::errmsg_internal(c"%s".as_ptr(), message.as_ptr());
            pg_sys::errhidestmt(true);
            pg_sys::errhidecontext(true);
            bare::errfinish(c"log.rs".as_ptr(), 0, c"pg_foreman".as_ptr());
        }
    }
}
