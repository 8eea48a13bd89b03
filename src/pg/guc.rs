//! Settings of the server's, changed for the length of the guard's subtransaction.

use core::ffi::CStr;
use pgrx::pg_sys;

/// Sets a setting until the present subtransaction ends, either way.
pub fn set_for_subtransaction(name: &CStr, value: &CStr) {
    // SAFETY: name and value are C strings that the server copies. GUC_ACTION_SAVE is undone at the end of the
    // subtransaction.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}
