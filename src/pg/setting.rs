//! The server's settings, as this session has them.

use core::ffi::CStr;
use pgrx::pg_sys;

/// A setting as text, without its unit; empty where this server has none of that name.
pub fn value(name: &CStr) -> String {
    // SAFETY: the name is a C string; what is answered is NULL or a C string that stays until the next call, and is copied.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() { String::new() } else { CStr::from_ptr(value).to_string_lossy().into_owned() }
    }
}

/// A number, in the setting's own unit; 0 where this server has none of that name.
pub fn number(name: &CStr) -> i64 {
    value(name).parse().unwrap_or_default()
}

/// Whether one that is on or off is on.
pub fn is_on(name: &CStr) -> bool {
    value(name) == "on"
}

/// Whether the server's configuration has been read again since the server started.
pub fn were_read_again() -> bool {
    // SAFETY: both are set by the postmaster, or by this process when it reads the configuration.
    unsafe { pg_sys::PgReloadTime > pg_sys::PgStartTime }
}
