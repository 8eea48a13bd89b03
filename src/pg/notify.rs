//! NOTIFY, as part of the present transaction.

use super::datum::Text;
use pgrx::pg_sys;

/// Sends `payload` to those who listen on `channel`, when this transaction commits. Equal ones are sent once.
pub fn send(channel: &str, payload: &str) {
    let arguments = [Text::from_utf8(channel), Text::from_utf8(payload)].map(|text| Some(text.datum()));
    // SAFETY: pg_notify takes two texts and answers void; it raises where the server's queue of them is full.
    unsafe { pgrx::direct_function_call_as_datum(pg_sys::pg_notify, &arguments) };
}
