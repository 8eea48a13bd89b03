//! Names of what the server knows by numbers, and names as SQL has them.

use super::datum::{server_text, to_server_encoding};
use core::ffi::{CStr, c_char};
use pgrx::pg_sys;
use std::ffi::CString;

/// Bytes of the longest name, in any encoding, with room for quotes.
const LENGTH: usize = 1024;

/// The name of the database of this number, if there is one. In a transaction.
pub fn database(oid: u32) -> Option<String> {
    // SAFETY: a catalog look-up; it answers NULL or a copy of the name in the current memory context.
    unsafe { text(pg_sys::get_database_name(oid.into())) }
}

/// The name of the role of this number, if there is one. In a transaction.
pub fn role(oid: u32) -> Option<String> {
    // SAFETY: as in `database`.
    unsafe { text(pg_sys::GetUserNameFromId(oid.into(), true)) }
}

/// The name of the role with whose rights this runs. In a transaction.
pub fn own_role() -> String {
    // SAFETY: reads a variable of this backend's.
    role(unsafe { pg_sys::GetUserId() }.to_u32()).unwrap_or_default()
}

/// A name as SQL has it: in quotes where it takes them.
pub fn identifier(name: &str) -> String {
    let name = CString::new(to_server_encoding(name)).unwrap_or_default();
    // SAFETY: takes a C string, and answers it or another one in the current memory context.
    unsafe { text(pg_sys::quote_identifier(name.as_ptr())) }.unwrap_or_default()
}

/// A copy of a text of the server's.
///
/// # Safety
/// `text` is NULL or a C string.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as the caller says.
    (!text.is_null()).then(|| server_text(unsafe { CStr::from_ptr(text) }.to_bytes(), LENGTH))
}
