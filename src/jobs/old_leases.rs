//! The way through leases that expired longer ago, by their index, for as long as there is time.

use super::live::column;
use crate::pg::rows::{Key, Rows, Scan, Step};
use crate::shared::leases::Lease;
use crate::shared::rescues::Range;
use std::time::Instant;

/// Entries after which a walk asks for the time.
const MOMENT: u32 = 256;

/// What a walk has come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// A lease that is over; its row has it expire then.
    Expired(i64),
    /// Here the time ran out.
    Late(i64),
    /// None in the rest.
    End,
}

/// Walks through a range until a lease is met that is over at `now`; `None` where it takes a statement.
pub fn walk(rows: &Rows, range: Range, now: i64, until: Instant) -> Option<Met> {
    let mut scan = rows.scan(c"live_job_lease", &[column::LEASE_EXPIRES_AT])?;
    scan.start(&[Key::time_from(range.from)]);
    let mut entries = 0_u32;
    loop {
        let step = scan.step();
        let at = match step {
            Step::End => return Some(Met::End),
            Step::Row => scan.bigint(column::LEASE_EXPIRES_AT),
            Step::Unseen => scan.entry(0),
        };
        if at >= range.before {
            return Some(Met::End);
        }
        if step == Step::Row && is_over(&mut scan, at, now) {
            return Some(Met::Expired(at));
        }
        entries += 1;
        if entries.is_multiple_of(MOMENT) {
            pgrx::check_for_interrupts!();
            if Instant::now() >= until {
                // The entries of one moment may be more than there is time for.
                return Some(Met::Late(at.max(range.from.saturating_add(1))));
            }
        }
    }
}

/// Whether the lease of the row that a walk stands at is over, heartbeats included.
fn is_over(scan: &mut Scan, expires_at: i64, now: i64) -> bool {
    let lease = scan.uuid(column::LEASE_TOKEN).map(|token| Lease { token: token.bytes(), expires_at });
    let end = lease.map_or(expires_at, |lease| lease.end(scan.double(column::LEASE_SECONDS)));
    end <= now && scan.is_label(column::STATUS, c"running")
}
