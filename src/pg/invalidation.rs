//! Tells when something read of a table may have changed since: by the messages with which the server keeps what its
//! sessions remember of tables up to date. A transaction sends them when it commits, after the change can be seen.

use pgrx::{pg_guard, pg_sys};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages received, about whatever table: they are rare, and what is forgotten too much is only read again.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// A count that is another one after a change. To be read before what is remembered is read, and that by a snapshot
/// taken afterwards: then it is remembered under a count that the change has left behind.
pub fn count() -> u64 {
    static REGISTERED: Once = Once::new();
    // SAFETY: the callback lives as long as the library, which the server never unloads. There is room for ten of all
    // extensions together; the server ends the session where there is none left.
    REGISTERED.call_once(|| unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(received), 0.into()) });
    RECEIVED.load(Ordering::Relaxed)
}

/// Called by the server, in the backend, for each message.
#[pg_guard]
unsafe extern "C-unwind" fn received(_argument: pg_sys::Datum, _table: pg_sys::Oid) {
    RECEIVED.fetch_add(1, Ordering::Relaxed);
}

/// Sends such a message about a table when this transaction commits.
pub fn send(table: pg_sys::Oid) {
    // SAFETY: looks the table up and raises if there is none.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}
