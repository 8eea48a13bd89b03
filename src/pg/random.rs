//! Random bytes, for what nobody may guess.

use pgrx::{PgSqlErrorCode, ereport, pg_sys};
use std::cell::RefCell;

/// Bytes drawn at a time: each draw from the system's generator costs as much as a kilobyte does.
const DRAWN: usize = 1_024;

thread_local! {
    /// What was drawn and not used yet.
    static POOL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// So many of them.
pub fn bytes<const COUNT: usize>() -> [u8; COUNT] {
    const { assert!(COUNT <= DRAWN) };
    POOL.with_borrow_mut(|pool| {
        if pool.len() < COUNT {
            draw(pool);
        }
        let rest = pool.len() - COUNT;
        let mut bytes = [0; COUNT];
        bytes.copy_from_slice(&pool[rest..]);
        // Nobody who reads this session's memory finds what was given out.
        pool[rest..].fill(0);
        pool.truncate(rest);
        bytes
    })
}

/// Fills the pool, or raises as the server does where there is no randomness to be had.
fn draw(pool: &mut Vec<u8>) {
    pool.resize(DRAWN, 0);
    // SAFETY: the buffer has room for as many bytes.
    if !unsafe { pg_sys::pg_strong_random(pool.as_mut_ptr().cast(), DRAWN) } {
        pool.clear();
        ereport!(ERROR, PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "could not generate random values");
    }
}
