//! One timer on the server's own timeout framework, that cancels what the backend is doing.
//!
//! `SET statement_timeout` inside a statement does nothing, so a call that must end in time needs its own timer.
//! The handler runs in a signal: it sets flags and the latch, nothing else.

use super::compat::{self, bare};
use core::ffi::c_int;
use pgrx::pg_sys;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The timer went off since it was last armed.
static FIRED: AtomicBool = AtomicBool::new(false);
/// When it went off no other cancel was pending, so the pending one is ours.
static OURS: AtomicBool = AtomicBool::new(false);
/// The id that the server gave us, asked for once a backend: there are ten for all extensions together.
static ID: OnceLock<c_int> = OnceLock::new();

unsafe extern "C" fn on_timeout() {
    // SAFETY: writes to sig_atomic_t flags and SetLatch are what the server's own handlers do in a signal;
    // MyLatch is set from the backend's start to its end.
    unsafe {
        OURS.store(pg_sys::QueryCancelPending == 0, Ordering::Relaxed);
        FIRED.store(true, Ordering::Relaxed);
        pg_sys::InterruptPending = 1;
        pg_sys::QueryCancelPending = 1;
        bare::SetLatch(pg_sys::MyLatch);
    }
}

/// The armed timer. Dropped, it is disarmed, and no cancel of ours is left to hit a later statement.
pub struct Timer {
    /// Timers can't be copied or made elsewhere.
    _private: (),
}

impl Timer {
    /// Arms the timer for `at`, in microseconds since 2000-01-01 UTC; past times go off at once.
    pub fn arm(at: i64) -> Timer {
        // SAFETY: registers a handler that is signal-safe and lives as long as the library, which the
        // server never unloads.
        let id = *ID.get_or_init(|| unsafe { bare::RegisterTimeout(compat::USER_TIMEOUT, on_timeout) });
        FIRED.store(false, Ordering::Relaxed);
        OURS.store(false, Ordering::Relaxed);
        // SAFETY: the id is registered, and only armed when no `Timer` exists: the guard has one a call.
        unsafe { bare::enable_timeout_at(id, at) };
        Timer { _private: () }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(id) = ID.get() {
            // SAFETY: disarming can't raise for a registered id.
            unsafe { bare::disable_timeout(*id, false) };
        }
        absorb();
    }
}

/// Whether a cancel that was raised just now was the timer's.
pub fn fired() -> bool {
    FIRED.load(Ordering::Relaxed) && OURS.load(Ordering::Relaxed)
}

/// Takes back a cancel of ours that went off too late to be raised: it must not hit what comes after.
fn absorb() {
    if OURS.load(Ordering::Relaxed) {
        // SAFETY: the flag is this backend's own; no other cancel was pending when the timer set it.
        unsafe { pg_sys::QueryCancelPending = 0 };
    }
}

/// When the first of the session's own timers that bound this statement goes off, if one is armed.
pub fn session_deadline() -> Option<i64> {
    // SAFETY: reads the backend's table of timers, for ids that every backend has.
    let is_armed = |id: c_int| unsafe { bare::get_timeout_active(id) };
    // SAFETY: as above.
    let goes_off = |id: c_int| unsafe { bare::get_timeout_finish_time(id) };
    compat::SESSION_TIMEOUTS.iter().copied().filter(|id| is_armed(*id)).map(goes_off).min()
}
