//! What lives in shared memory when the library is preloaded, and in the backend alone when it is not.

pub mod counters;
pub mod floor;
pub mod floors;
mod lease;
pub mod leases;
pub mod relaxed;
pub mod rescues;
pub mod samples;
pub mod slow_calls;
pub mod tally;
mod waiters;
pub mod wakes;
pub mod workers;

use crate::guc;
use crate::pg::shmem::{self, Request, Shareable};
use crate::pg::xact::{self, Callbacks, End};
use std::sync::atomic::{AtomicI64, Ordering};

/// All of it, in one piece; behind it lie the entries of `floors` and of `leases`.
struct Area {
    counters: counters::Table,
    floors: floors::Table,
    leases: leases::Table,
    relaxed: relaxed::Table,
    rescues: rescues::Table,
    samples: samples::Table,
    slow_calls: slow_calls::Table,
    tally: tally::Table,
    wakes: wakes::Table,
    workers: workers::Table,
}

// SAFETY: atomics, and what is guarded by the lock; zeroes are counters that counted nothing, and nobody who waits or works.
unsafe impl Shareable for Area {}

/// Asks for the shared memory; without preload there is none.
pub fn request() {
    Request::of::<Area>()
        .and(&floors::ENTRIES, guc::max_tracked_queues())
        .and(&leases::ENTRIES, guc::max_tracked_leases())
        .make();
}

/// When something happened first since this memory was made, which is since the server's start or its last crash. Not the
/// time of the start: on a standby that is long before its promotion.
struct First(AtomicI64);

impl First {
    /// It happens now, and gives when it did first.
    fn time(&self, now: i64) -> i64 {
        match self.0.load(Ordering::Relaxed) {
            0 => self.0.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).err().unwrap_or(now),
            first => first,
        }
    }
}

/// The shared memory, if there is any.
fn area() -> Option<&'static Area> {
    shmem::get()
}

/// To be called when a transaction makes something known here that others are to learn of when it ends.
fn at_transaction_end() {
    xact::at_end(Callbacks {
        before_commit: relaxed::about_to_commit,
        before_prepare: floors::about_to_prepare,
        ended: transaction_ended,
    });
}

/// Runs when a transaction has ended for everybody, and must not raise. Whoever is woken looks at the floors.
fn transaction_ended(event: End) {
    relaxed::transaction_ended();
    floors::transaction_ended(event);
    wakes::transaction_ended(event == End::Committed);
}
