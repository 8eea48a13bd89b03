//! The checks, a file each. All of them are fast: they read shared memory, catalogs and our own tables, lock no table of
//! a user's and wait for nobody.
//!
//! A check's statement answers one row of `value` (double precision), `meaning`, `remedy`, `subjects` (jsonb), `reason`
//! and `reveal`, and reads with the rights of whoever asks: our tables by way of views and functions that the level
//! `monitor` may use.

use super::check::Check;

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// All checks, in the order in which they are made.
        pub static CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    connections,
    idle_in_transaction,
    longest_transaction,
    blocked_sessions,
    failed_jobs,
    oldest_ready_job,
    partitions_ahead,
}
