//! Waiting in a backend: by its latch, so that a cancel, a terminate or a shutdown ends the wait at once.

use pgrx::pg_sys;
use std::time::{Duration, Instant};

/// Waits until the latch is set, or for `duration`; gives whether it was set. A cancel or a terminate raises the server's
/// own error from here.
pub fn sleep(duration: Duration) -> bool {
    pgrx::check_for_interrupts!();
    // Rounded up, so that the time has passed where it was not set.
    let milliseconds = duration.as_micros().div_ceil(1000).clamp(1, i32::MAX as u128) as core::ffi::c_long;
    // SAFETY: as in `wait`.
    let events = unsafe {
        let events = pg_sys::WaitLatch(
            pg_sys::MyLatch,
            (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
            milliseconds,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
        events
    };
    pgrx::check_for_interrupts!();
    events as u32 & pg_sys::WL_LATCH_SET != 0
}

/// Waits for `duration`. A cancel or a terminate raises the server's own error from here.
pub fn wait(duration: Duration) {
    let until = Instant::now() + duration;
    loop {
        pgrx::check_for_interrupts!();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let milliseconds = left.as_millis().max(1).min(i32::MAX as u128) as core::ffi::c_long;
        // SAFETY: MyLatch is this backend's own latch from its start to its end. A lost postmaster ends
        // the process from inside WaitLatch.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
                milliseconds,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
    }
}
