//! Claims that are answered before they are on disk.
//!
//! A finish is flushed, and with it all that was logged before: its claim too. A claim alone may wait for that, or for the
//! server's own writer, which flushes it within three times wal_writer_delay. Whatever a crash takes away in between is a
//! claim that never was: the job is handed out again, the same attempt under another token, and its first holder's finish
//! finds the lease lost.
//!
//! A job that takes the server down each time would never use up its attempts so. Hence claims are flushed for
//! `foreman.relax_claims_after` after the server's first one, which a crash makes the first one again.

use super::First;
use crate::guc;
use crate::pg::{flush, xact};
use std::cell::Cell;

/// What lies in shared memory.
pub struct Table {
    first_claim: First,
}

thread_local! {
    /// Where the log record ends up to which this transaction has written nothing but claims; 0: it has written no claim.
    static CLAIMS_END: Cell<u64> = const { Cell::new(0) };
}

/// Runs a claim, and lets the transaction's commit go without a flush if nothing but claims is in it.
pub fn claim<T>(claim: impl FnOnce() -> T) -> T {
    // Asked in any case: it notes the first claim.
    let may_be = is_time() && [0, CLAIMS_END.get()].contains(&flush::last_record());
    let result = claim();
    if may_be {
        super::at_transaction_end();
        CLAIMS_END.set(flush::last_record());
    }
    result
}

/// Whether claims are relaxed by now.
fn is_time() -> bool {
    let (Some(area), Some(after)) = (super::area(), guc::relax_claims_after()) else { return false };
    let now = xact::clock();
    u128::try_from(now - area.relaxed.first_claim.time(now)).is_ok_and(|passed| passed >= after.as_micros())
}

/// Runs before a commit. Whatever was written after the last claim, by a deferred trigger too, has moved the log's end.
pub(super) fn about_to_commit() {
    if CLAIMS_END.get() != 0 && CLAIMS_END.get() == flush::last_record() {
        flush::skip();
    }
}

/// Runs when a transaction has ended, and must not raise.
pub(super) fn transaction_ended() {
    CLAIMS_END.set(0);
    flush::restore();
}
