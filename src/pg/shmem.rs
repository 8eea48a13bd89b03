//! One piece of shared memory and one lock, there only when the library is preloaded.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use pgrx::{pg_guard, pg_sys};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// What may lie in shared memory: all zeroes is a valid value, it is changed by atomics or under the lock only, and it
/// holds no pointer of one process.
///
/// # Safety
/// As said, for every field.
pub unsafe trait Shareable: Sync {}

/// Where the server put it; null in a backend of a server that did not preload us.
static AREA: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(std::ptr::null_mut());
/// Bytes asked for.
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// The lock in shared memory, there whenever the area is.
static LOCK: AtomicPtr<pg_sys::LWLock> = AtomicPtr::new(std::ptr::null_mut());
/// The area's name in the server's index of shared memory, and the lock's.
const NAME: &CStr = c"pg_foreman";

/// The hook that was there before ours; only the postmaster writes it, while it loads libraries.
static PREVIOUS_REQUEST: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
/// As above.
static PREVIOUS_STARTUP: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Asks for a `T` in shared memory. Does nothing unless the postmaster is preloading libraries.
pub fn request<T: Shareable>() {
    // SAFETY: called from _PG_init, on the postmaster's one thread. A hook that was there is called first.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress {
            return;
        }
        SIZE.store(size_of::<T>(), Ordering::Relaxed);
        store(&PREVIOUS_REQUEST, pg_sys::shmem_request_hook);
        store(&PREVIOUS_STARTUP, pg_sys::shmem_startup_hook);
        pg_sys::shmem_request_hook = Some(on_request);
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

/// The shared value, if the library was preloaded.
pub fn get<T: Shareable>() -> Option<&'static T> {
    // SAFETY: when set, it points to SIZE zeroed bytes or to what backends made of them by atomics; `request`
    // is called with one type only, and shared memory lasts as long as the process.
    unsafe { AREA.load(Ordering::Acquire).cast::<T>().as_ref() }
}

/// A part of the area that is looked at and changed under the lock only.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: the one way to the value is `with`, which holds the lock.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Works on the value under the lock. `work` must be short, and neither raise, panic, allocate nor call `with`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let lock = LOCK.load(Ordering::Acquire);
        // SAFETY: the value lies in the area, so the lock is there. Whoever holds it is alone with the value; if one
        // is killed meanwhile, the server starts anew with fresh memory. Taking the lock holds off interrupts.
        unsafe {
            pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
            let result = work(&mut *self.0.get());
            pg_sys::LWLockRelease(lock);
            result
        }
    }
}

/// Type of both hooks.
type Hook = Option<unsafe extern "C-unwind" fn()>;

/// Keeps a hook.
fn store(place: &AtomicPtr<()>, hook: Hook) {
    place.store(hook.map_or(std::ptr::null_mut(), |hook| hook as *mut ()), Ordering::Relaxed);
}

/// Calls a hook that was kept.
fn call(place: &AtomicPtr<()>) {
    let hook = place.load(Ordering::Relaxed);
    if !hook.is_null() {
        // SAFETY: `store` put a function of this type there.
        unsafe {
            let hook: unsafe extern "C-unwind" fn() = std::mem::transmute(hook);
            pg_sys::ffi::pg_guard_ffi_boundary(|| hook());
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_request() {
    call(&PREVIOUS_REQUEST);
    // SAFETY: the server calls this hook at the one time when asking is allowed.
    unsafe {
        pg_sys::RequestAddinShmemSpace(SIZE.load(Ordering::Relaxed));
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), 1);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    call(&PREVIOUS_STARTUP);
    let size = SIZE.load(Ordering::Relaxed);
    let mut found = false;
    // SAFETY: runs in the postmaster, again after a crash restart; the memory is ours and of this size.
    unsafe {
        let area = pg_sys::ShmemInitStruct(NAME.as_ptr(), size, &mut found);
        if !found {
            std::ptr::write_bytes(area.cast::<u8>(), 0, size);
        }
        LOCK.store(&raw mut (*pg_sys::GetNamedLWLockTranche(NAME.as_ptr())).lock, Ordering::Release);
        AREA.store(area, Ordering::Release);
    }
}
