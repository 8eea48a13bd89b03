//! Bounds the waits for locks of one call.
//!
//! As a setting, `lock_timeout` costs a twelfth of `create_job`: on 15 the server goes through all its settings to put
//! one back. While no statement runs, nothing but we can look at it, so the server's variable is enough; it becomes a
//! setting with the first statement, since that may run somebody's SET, which has to find the session's own value.

use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::{CStr, CString};

thread_local! {
    /// The variable as it was, and the bound in force, while the bound is not a setting.
    static BARE: Cell<Option<(i32, i32)>> = const { Cell::new(None) };
}

/// The bound, for as long as this lives or, where it has become a setting, as the subtransaction does.
pub struct Bound {
    /// Made by `set` only.
    _private: (),
}

impl Bound {
    /// Bounds each wait to so many milliseconds; a smaller bound of the session's wins.
    pub fn set(milliseconds: i32) -> Bound {
        // SAFETY: the server's own variable, read when a wait begins; a backend has one thread.
        unsafe {
            let before = pg_sys::LockTimeout;
            if before == 0 || before > milliseconds {
                BARE.set(Some((before, milliseconds)));
                pg_sys::LockTimeout = milliseconds;
            }
        }
        Bound { _private: () }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        put_back();
    }
}

/// Puts the variable back, if it is not a setting by now; gives the bound that was in force.
fn put_back() -> Option<i32> {
    let (before, milliseconds) = BARE.take()?;
    // SAFETY: as in `set`; nobody has changed it since, for no statement has run.
    unsafe { pg_sys::LockTimeout = before };
    Some(milliseconds)
}

/// Makes the bound a setting: to be called before anything runs that may change settings.
pub fn become_setting() {
    if let Some(milliseconds) = put_back() {
        let value = CString::new(milliseconds.to_string()).unwrap_or_default();
        set_for_subtransaction(&value);
    }
}

/// Sets `lock_timeout` until the present subtransaction ends, either way.
fn set_for_subtransaction(value: &CStr) {
    // SAFETY: both are C strings that the server copies. GUC_ACTION_SAVE is undone at the end of the
    // subtransaction.
    unsafe {
        pg_sys::set_config_option(
            c"lock_timeout".as_ptr(),
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
