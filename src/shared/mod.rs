//! What lives in shared memory when the library is preloaded, and in the backend alone when it is not.

pub mod counters;
mod waiters;
pub mod wakes;
pub mod workers;

use crate::pg::shmem::{self, Shareable};

/// All of it, in one piece.
struct Area {
    counters: counters::Table,
    wakes: wakes::Table,
    workers: workers::Table,
}

// SAFETY: atomics, and what is guarded by the lock; zeroes are counters that counted nothing, and nobody who waits or works.
unsafe impl Shareable for Area {}

/// Asks for the shared memory; without preload there is none.
pub fn request() {
    shmem::request::<Area>();
}

/// The shared memory, if there is any.
fn area() -> Option<&'static Area> {
    shmem::get()
}
