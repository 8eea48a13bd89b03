//! The checks, a file each. They read shared memory, catalogs and our own tables, lock no table of a user's and wait for
//! nobody; those that would take long are slow ones, which are made in the background.
//!
//! What a session asks first it has to plan, so statements read what there is as it is, and Rust makes values and texts of it;
//! what takes joins is asked only where a look has shown that there is something to be told.
//!
//! Other statements answer one row of `value` (double precision), `meaning`, `remedy`, `subjects` (jsonb), `reason`,
//! `reveal` and, where a single one is to blame, `culprit`; columns at the end that are always NULL are left out. It reads with
//! the rights of whoever asks: our tables by way of views and functions that the level `monitor` may use. A row without a
//! value and with a meaning says that there is nothing to be measured here.

use super::check::Check;

macro_rules! checks {
    ($($module:ident,)*) => {
        $(mod $module;)*

        /// All checks, causes before their effects: of those that blame the same one, the first is the cause.
        pub static CHECKS: &[Check] = &[$($module::CHECK,)*];
    };
}

checks! {
    connections,
    connection_limits,
    idle_in_transaction,
    prepared_transactions,
    longest_transaction,
    longest_query,
    subtransaction_overflow,
    blocked_sessions,
    lost_slots,
    inactive_slots,
    slot_room,
    horizon,
    background_worker,
    overdue_leases,
    partitions_ahead,
    shared_tables,
    oldest_ready_job,
    late_queues,
    failed_jobs,
    durability,
    configuration,
    checksum_failures,
    disk_space,
    archiver,
    wraparound,
    freeze_age,
    synchronous_standbys,
    recovery_paused,
    replication_delay,
    replication_backlog,
    standby_conflicts,
    deadlocks,
    rollbacks,
    temp_files,
    cache_hits,
    wait_events,
    requested_checkpoints,
    rescued_jobs,
    unworked_jobs,
    floor_misses,
    dead_rows,
    autovacuum_off,
    stale_statistics,
    invalid_indexes,
    duplicate_indexes,
    unused_indexes,
    foreign_keys,
    sequences,
    bloat,
    growing_tables,
    missing_standbys,
}
