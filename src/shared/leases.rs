//! Heartbeats in shared memory: they extend leases without writing rows.
//!
//! It is not transactional: a heartbeat whose transaction is rolled back has extended the lease all the same. The row stays
//! what decides who has a job, and its lock who may change that. A heartbeat is good without a new version of the row if,
//! *after* it was told here, the row is still as everybody sees it and nobody has it locked; whoever takes leases away asks
//! here *after* he has locked the row. One of the two sees the other.
//!
//! A crash or a failover loses what was told. So no lease is over before one length of it has passed since somebody first
//! claimed or asked: nothing told before can have made it longer than that, and a lease of a later claim is so long anyhow.

use super::First;
use super::lease::{self, Key};
pub use super::lease::{Entry, Tenant, Told};
use crate::pg::shmem::{Array, Shareable};
use crate::pg::{process, xact};

// SAFETY: plain values, changed under the lock; zeroes are a free entry.
unsafe impl Shareable for Entry {}

/// The entries of all leases.
pub static ENTRIES: Array<Entry> = Array::new();

/// What lies in shared memory beside the entries.
pub struct Table {
    first_asked: First,
}

/// A lease as a version of its job's row has it.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub token: [u8; 16],
    pub expires_at: i64,
}

impl Lease {
    /// The name of its entry.
    fn key(&self) -> Key {
        Key { database: process::database(), token: self.token, row_expires_at: self.expires_at }
    }

    /// Whether an entry is this lease's.
    pub fn has(&self, tenant: &Tenant) -> bool {
        self.key() == tenant.key
    }

    /// What its heartbeats have told since the row was written.
    pub fn told<R>(&self, read: impl FnOnce(&Entry) -> Option<R>) -> Option<R> {
        let key = self.key();
        ENTRIES.with_part(key.hash(), |part| lease::find(part, &key).and_then(read)).flatten()
    }

    /// Until when nobody may take it away, which is no earlier than the row says; a lease of this length gets as much after
    /// a crash. On a standby, where nothing is told and nothing taken away, it is what the row says.
    pub fn end(&self, seconds: f64) -> i64 {
        let Some(area) = super::area().filter(|_| !xact::in_recovery()) else { return self.expires_at };
        let grace = xact::after(area.leases.first_asked.time(xact::clock()), seconds);
        let told = self.told(|entry| Some(entry.expires_at())).unwrap_or(i64::MIN);
        self.expires_at.max(told).max(grace)
    }

    /// Notes a heartbeat; false where no place is to be had.
    pub fn tell(&self, job_id: i64, told: &Told) -> bool {
        let (key, now) = (self.key(), xact::clock());
        ENTRIES.with_part(key.hash(), |part| lease::tell(part, key, job_id, told, now)).unwrap_or_default()
    }

    /// The leases of this database that have the places in which its entry may be.
    pub fn tenants(&self) -> Vec<Tenant> {
        let key = self.key();
        let tenants = ENTRIES.with_part(key.hash(), |part| lease::tenants(part, &key));
        let is_here = |tenant: &Tenant| tenant.key.database == key.database;
        tenants.into_iter().flatten().flatten().filter(is_here).collect()
    }
}

/// Somebody claims, or rescues: the grace of those that hold leases already begins.
pub fn asked(now: i64) {
    if let Some(area) = super::area().filter(|_| !xact::in_recovery()) {
        area.leases.first_asked.time(now);
    }
}

/// Whether heartbeats are kept here at all.
pub fn are_tracked() -> bool {
    super::area().is_some()
}

/// How many entries are those of leases that are not over, and how many places there are; `None` without preload.
pub fn used() -> Option<(usize, usize)> {
    let now = xact::clock();
    let mut used = 0;
    ENTRIES.with_all(|entries| used += entries.iter().filter(|entry| entry.is_in_use(now)).count());
    are_tracked().then(|| (used, ENTRIES.length()))
}

/// Frees the place of a lease that is over.
pub fn forget(tenant: &Tenant) {
    ENTRIES.with_part(tenant.key.hash(), |part| lease::forget(part, &tenant.key));
}
