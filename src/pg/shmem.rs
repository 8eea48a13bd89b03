//! One piece of shared memory and its locks, there only when the library is preloaded: a value, and behind it arrays
//! whose lengths are settings', each in parts with a lock each.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::marker::PhantomData;
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
/// Locks asked for.
static LOCK_COUNT: AtomicUsize = AtomicUsize::new(0);
/// The locks in shared memory, there whenever the area is: the first is the value's, the others are the arrays' parts'.
static LOCKS: AtomicPtr<pg_sys::LWLockPadded> = AtomicPtr::new(std::ptr::null_mut());
/// Parts of an array: more than there are processors, so that sessions at different entries seldom meet.
const PARTS: usize = 16;
/// The area's name in the server's index of shared memory, and the lock's.
const NAME: &CStr = c"pg_foreman";

/// The hook that was there before ours; only the postmaster writes it, while it loads libraries.
static PREVIOUS_REQUEST: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
/// As above.
static PREVIOUS_STARTUP: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the postmaster is preloading libraries.
pub fn is_preloading() -> bool {
    // SAFETY: reads a flag of this process.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// What the library wants of shared memory.
pub struct Request {
    size: usize,
    locks: usize,
}

impl Request {
    /// A `T`.
    pub fn of<T: Shareable>() -> Self {
        Self { size: size_of::<T>(), locks: 1 }
    }

    /// So many entries of an array behind it.
    pub fn and<E: Shareable>(self, array: &Array<E>, entries: usize) -> Self {
        let begins = self.size.next_multiple_of(align_of::<E>());
        let part = entries.div_ceil(PARTS);
        array.begins.store(begins, Ordering::Relaxed);
        array.part.store(part, Ordering::Relaxed);
        array.first_lock.store(self.locks, Ordering::Relaxed);
        Self { size: begins + part * PARTS * size_of::<E>(), locks: self.locks + PARTS }
    }

    /// Asks for all of it. Does nothing unless the postmaster is preloading libraries.
    pub fn make(self) {
        if !is_preloading() {
            return;
        }
        SIZE.store(self.size, Ordering::Relaxed);
        LOCK_COUNT.store(self.locks, Ordering::Relaxed);
        // SAFETY: called from _PG_init, on the postmaster's one thread. A hook that was there is called first.
        unsafe {
            store(&PREVIOUS_REQUEST, pg_sys::shmem_request_hook);
            store(&PREVIOUS_STARTUP, pg_sys::shmem_startup_hook);
            pg_sys::shmem_request_hook = Some(on_request);
            pg_sys::shmem_startup_hook = Some(on_startup);
        }
    }
}

/// The shared value, if the library was preloaded.
pub fn get<T: Shareable>() -> Option<&'static T> {
    // SAFETY: when set, it points to SIZE zeroed bytes or to what backends made of them by atomics; one
    // type only is asked for, and shared memory lasts as long as the process.
    unsafe { AREA.load(Ordering::Acquire).cast::<T>().as_ref() }
}

/// An array in shared memory.
pub struct Array<E> {
    /// Where it begins, in bytes from the area's beginning.
    begins: AtomicUsize,
    /// Entries of a part.
    part: AtomicUsize,
    /// The number of the first part's lock.
    first_lock: AtomicUsize,
    entries: PhantomData<fn() -> E>,
}

impl<E: Shareable> Array<E> {
    /// One that nothing was asked for yet.
    pub const fn new() -> Self {
        let [begins, part, first_lock] = [const { AtomicUsize::new(0) }; 3];
        Self { begins, part, first_lock, entries: PhantomData }
    }

    /// How many entries it has.
    pub fn length(&self) -> usize {
        self.part.load(Ordering::Relaxed) * PARTS
    }

    /// Works on one part after the other; not at all without preload. As for `with_part`.
    pub fn with_all(&self, mut work: impl FnMut(&mut [E])) {
        for number in 0..PARTS as u32 {
            self.with_part(number, &mut work);
        }
    }

    /// Works on the part for this number, under its lock; `None` without preload. `work` must be short, and neither raise,
    /// panic, allocate nor come here.
    pub fn with_part<R>(&self, number: u32, work: impl FnOnce(&mut [E]) -> R) -> Option<R> {
        let area = AREA.load(Ordering::Acquire);
        if area.is_null() {
            return None;
        }
        let (part, length) = (number as usize % PARTS, self.part.load(Ordering::Relaxed));
        let _held = Held::take(self.first_lock.load(Ordering::Relaxed) + part);
        // SAFETY: so many entries lie there, asked for by `Request::and` before the area was made; nobody comes to a part
        // without its lock.
        Some(work(unsafe {
            let first = area.byte_add(self.begins.load(Ordering::Relaxed)).cast::<E>().add(part * length);
            std::slice::from_raw_parts_mut(first, length)
        }))
    }
}

/// A lock that is held. Taking it holds off interrupts. If whoever holds it is killed, the server starts anew with fresh
/// memory.
struct Held(*mut pg_sys::LWLock);

impl Held {
    /// Takes a lock by its number; the area is there.
    fn take(number: usize) -> Held {
        // SAFETY: so many were asked for; they are there whenever the area is.
        unsafe {
            let lock = &raw mut (*LOCKS.load(Ordering::Acquire).add(number)).lock;
            pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
            Held(lock)
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: taken by `take`, given back once.
        unsafe { pg_sys::LWLockRelease(self.0) };
    }
}

/// A part of the area that is looked at and changed under the lock only.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: the one way to the value is `with`, which holds the lock.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Works on the value under the lock. `work` must be short, and neither raise, panic, allocate nor call `with`.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _held = Held::take(0);
        // SAFETY: the value lies in the area, so the lock is there. Whoever holds it is alone with the value.
        work(unsafe { &mut *self.0.get() })
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
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), LOCK_COUNT.load(Ordering::Relaxed) as core::ffi::c_int);
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
        LOCKS.store(pg_sys::GetNamedLWLockTranche(NAME.as_ptr()), Ordering::Release);
        AREA.store(area, Ordering::Release);
    }
}
