//! The settings `foreman.*`: one private static each, one accessor that returns the type callers want.

use crate::pg::shmem;
use crate::shared::workers::MAX_VISITS;
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use pgrx::{PgLogLevel, pg_sys};
use std::time::Duration;

/// 30 s: longer than any call of ours should take, shorter than the minute after which most proxies hang up.
static QUERY_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
/// 5 s: five times the server's default deadlock_timeout, so that a deadlock is found and told as one.
static LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5_000);
/// Three retries wait 0.7 s in all: enough for a partner of a deadlock to finish.
static MAX_RETRIES: GucSetting<i32> = GucSetting::<i32>::new(3);
/// 100 ms: an immediate retry meets the same partner again.
static RETRY_BASE_DELAY: GucSetting<i32> = GucSetting::<i32>::new(100);
/// A reply leaves the caller's transaction usable, so that is the default.
static ON_ERROR: GucSetting<OnError> = GucSetting::<OnError>::new(OnError::Return);
/// Off: with it on, replies carry the server's own messages, which may hold other people's values.
static DEBUG: GucSetting<bool> = GucSetting::<bool>::new(false);
/// What a DBA would want to know even though the caller was answered politely.
static LOG_ERRORS: GucSetting<LogErrors> = GucSetting::<LogErrors>::new(LogErrors::Serious);
/// 1 s: a call that takes longer has waited for something.
static SLOW_CALL_THRESHOLD: GucSetting<i32> = GucSetting::<i32>::new(1_000);
/// A skipped duplicate is everyday work.
static DUPLICATE_LOG_LEVEL: GucSetting<MessageLevel> = GucSetting::<MessageLevel>::new(MessageLevel::Debug1);
/// 1 MiB: beyond it a payload belongs elsewhere and the job should hold a reference.
static MAX_PAYLOAD_BYTES: GucSetting<i32> = GucSetting::<i32>::new(1024 * 1024);

/// 10 s: an expired lease is rescued that late, and a visit takes some 20 ms.
static UPKEEP_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(10_000);
/// Two: so that one long visit does not hold up all other databases.
static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);
/// 50 ms: less than anybody notices, and 20 of the cluster's NOTIFY locks a second at most.
static NOTIFY_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(50);
/// A minute: 120 of them are kept, and nobody is told of a trouble much sooner.
static SAMPLE_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(60_000);
/// Ten minutes: what they look at changes slowly, and with ten thousand tables they take a second.
static SLOW_CHECK_INTERVAL: GucSetting<i32> = GucSetting::<i32>::new(600);
/// Ten minutes: a job that takes the server down has used up its attempts by then.
static RELAX_CLAIMS_AFTER: GucSetting<i32> = GucSetting::<i32>::new(600);
/// 256: 2 MB.
static MAX_TRACKED_QUEUES: GucSetting<i32> = GucSetting::<i32>::new(256);
/// 4096: 0.7 MB, and more jobs than most servers work on at one time.
static MAX_TRACKED_LEASES: GucSetting<i32> = GucSetting::<i32>::new(4_096);

/// What becomes of an error that is left after the retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum OnError {
    #[name = c"return"]
    Return,
    #[name = c"raise"]
    Raise,
}

/// Which swallowed errors are written to the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum LogErrors {
    #[name = c"off"]
    Off,
    #[name = c"serious"]
    Serious,
    #[name = c"all"]
    All,
}

/// Levels below ERROR, with the names that `client_min_messages` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum MessageLevel {
    #[name = c"debug5"]
    Debug5,
    #[name = c"debug4"]
    Debug4,
    #[name = c"debug3"]
    Debug3,
    #[name = c"debug2"]
    Debug2,
    #[name = c"debug1"]
    Debug1,
    #[name = c"log"]
    Log,
    #[name = c"info"]
    Info,
    #[name = c"notice"]
    Notice,
    #[name = c"warning"]
    Warning,
}

/// Bounds a whole call, its waits and retries included; `None` is no bound.
pub fn query_timeout() -> Option<Duration> {
    positive(QUERY_TIMEOUT.get())
}

/// Bounds one wait for a lock, in milliseconds; `None` is no bound.
pub fn lock_timeout() -> Option<i32> {
    let milliseconds = LOCK_TIMEOUT.get();
    (milliseconds > 0).then_some(milliseconds)
}

/// How often a call is tried again after a deadlock or a lock timeout.
pub fn max_retries() -> u32 {
    MAX_RETRIES.get().unsigned_abs()
}

/// The wait before the first retry; it doubles for each further one.
pub fn retry_base_delay() -> Duration {
    Duration::from_millis(u64::from(RETRY_BASE_DELAY.get().unsigned_abs()))
}

/// For how long after the server's first claim claims are flushed; `None` is for ever.
pub fn relax_claims_after() -> Option<Duration> {
    u64::try_from(RELAX_CLAIMS_AFTER.get()).ok().map(Duration::from_secs)
}

/// How many queues have a floor in shared memory.
pub fn max_tracked_queues() -> usize {
    MAX_TRACKED_QUEUES.get().unsigned_abs() as usize
}

/// How many leases have a place for their heartbeats in shared memory.
pub fn max_tracked_leases() -> usize {
    MAX_TRACKED_LEASES.get().unsigned_abs() as usize
}

/// Whether errors are answered or raised.
pub fn on_error() -> OnError {
    ON_ERROR.get()
}

/// Whether replies carry the server's own words.
pub fn debug() -> bool {
    DEBUG.get()
}

/// Which swallowed errors the server's log gets.
pub fn log_errors() -> LogErrors {
    LOG_ERRORS.get()
}

/// From which duration on a call is written to the server's log; `None` is never.
pub fn slow_call_threshold() -> Option<Duration> {
    let milliseconds = SLOW_CALL_THRESHOLD.get();
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// The level at which a skipped duplicate is reported.
pub fn duplicate_log_level() -> PgLogLevel {
    match DUPLICATE_LOG_LEVEL.get() {
        MessageLevel::Debug5 => PgLogLevel::DEBUG5,
        MessageLevel::Debug4 => PgLogLevel::DEBUG4,
        MessageLevel::Debug3 => PgLogLevel::DEBUG3,
        MessageLevel::Debug2 => PgLogLevel::DEBUG2,
        MessageLevel::Debug1 => PgLogLevel::DEBUG1,
        MessageLevel::Log => PgLogLevel::LOG,
        MessageLevel::Info => PgLogLevel::INFO,
        MessageLevel::Notice => PgLogLevel::NOTICE,
        MessageLevel::Warning => PgLogLevel::WARNING,
    }
}

/// The largest payload, result, metadata or setting, in bytes of jsonb.
pub fn max_payload_bytes() -> usize {
    MAX_PAYLOAD_BYTES.get().unsigned_abs() as usize
}

/// Between two visits of the background worker to a database.
pub fn upkeep_interval() -> Duration {
    Duration::from_millis(u64::from(UPKEEP_INTERVAL.get().unsigned_abs()))
}

/// How many processes of the background worker visit databases at one time; 0 turns it off.
pub fn max_workers() -> usize {
    MAX_WORKERS.get().unsigned_abs() as usize
}

/// Between two times that a slow check of health is made; `None` is never.
pub fn slow_check_interval() -> Option<Duration> {
    u64::try_from(SLOW_CHECK_INTERVAL.get()).ok().map(Duration::from_secs)
}

/// Between two NOTIFYs of the background worker.
pub fn notify_interval() -> Duration {
    Duration::from_millis(u64::from(NOTIFY_INTERVAL.get().unsigned_abs()))
}

/// Between two readings of the counters that rates are told of.
pub fn sample_interval() -> Duration {
    Duration::from_millis(u64::from(SAMPLE_INTERVAL.get().unsigned_abs()))
}

/// Milliseconds as a duration; 0 is none.
fn positive(milliseconds: i32) -> Option<Duration> {
    u64::try_from(milliseconds).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// Defines the settings and reserves their prefix, so that a misspelt one is refused.
pub fn register() {
    GucRegistry::define_int_guc(
        c"foreman.query_timeout",
        c"Bounds a whole call, its waits and retries included; 0 turns it off.",
        c"The call ends earlier where the session's statement_timeout or transaction_timeout would.",
        &QUERY_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"foreman.lock_timeout",
        c"Bounds one wait for a lock inside a call; 0 turns it off.",
        c"A smaller lock_timeout of the session wins.",
        &LOCK_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"foreman.max_retries",
        c"How often a call is tried again after a deadlock or a lock timeout.",
        c"",
        &MAX_RETRIES,
        0,
        10,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"foreman.retry_base_delay",
        c"The wait before the first retry; it doubles for each further one.",
        c"",
        &RETRY_BASE_DELAY,
        0,
        60_000,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_enum_guc(
        c"foreman.on_error",
        c"Whether a call that fails answers with an error reply or raises an error.",
        c"",
        &ON_ERROR,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"foreman.debug",
        c"Puts the server's own messages into error replies.",
        c"They may hold values of other people's rows.",
        &DEBUG,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"foreman.log_errors",
        c"Which errors that a call answered are written to the server's log.",
        c"serious: deadlocks and the classes XX, 53 and 58.",
        &LOG_ERRORS,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"foreman.slow_call_threshold",
        c"Calls that take longer are written to the server's log; 0 logs all, -1 none.",
        c"",
        &SLOW_CALL_THRESHOLD,
        -1,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_enum_guc(
        c"foreman.duplicate_log_level",
        c"The level at which a skipped duplicate is reported.",
        c"",
        &DUPLICATE_LOG_LEVEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"foreman.max_payload_bytes",
        c"The largest payload, result, metadata or setting, in bytes of jsonb.",
        c"",
        &MAX_PAYLOAD_BYTES,
        1024,
        256 * 1024 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"foreman.upkeep_interval",
        c"The time between two visits of the background worker to a database.",
        c"Takes preloading.",
        &UPKEEP_INTERVAL,
        100,
        86_400_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"foreman.max_workers",
        c"How many processes of the background worker visit databases at one time; 0 turns it off.",
        c"Takes preloading. They are among max_worker_processes.",
        &MAX_WORKERS,
        0,
        MAX_VISITS as i32,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"foreman.notify_interval",
        c"The time between two NOTIFYs of the background worker to a database.",
        c"Takes preloading.",
        &NOTIFY_INTERVAL,
        1,
        60_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"foreman.sample_interval",
        c"The time between two readings of the counters that health tells as rates; the last 120 are kept.",
        c"Takes preloading.",
        &SAMPLE_INTERVAL,
        100,
        3_600_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"foreman.slow_check_interval",
        c"The time between two times that the background worker makes a slow check of health; -1 is never.",
        c"Takes preloading. What was measured longer ago than three times this is told as unknown.",
        &SLOW_CHECK_INTERVAL,
        -1,
        86_400,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"foreman.relax_claims_after",
        c"How long after the server's first claim claims are flushed to disk before they are answered; -1 is for ever.",
        c"Takes preloading. Finishes are always flushed, as synchronous_commit says.",
        &RELAX_CLAIMS_AFTER,
        -1,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
    // Elsewhere the server refuses to define a setting that takes a restart.
    if shmem::is_preloading() {
        GucRegistry::define_int_guc(
            c"foreman.max_tracked_queues",
            c"Queues, in all databases, that are claimed from at one time without a longer search.",
            c"Takes preloading. Each takes 8 kB of shared memory.",
            &MAX_TRACKED_QUEUES,
            16,
            65_536,
            GucContext::Postmaster,
            GucFlags::default(),
        );
        GucRegistry::define_int_guc(
            c"foreman.max_tracked_leases",
            c"Leases, in all databases, whose heartbeats write no rows at one time.",
            c"Takes preloading. Each takes 176 bytes of shared memory.",
            &MAX_TRACKED_LEASES,
            16,
            1_048_576,
            GucContext::Postmaster,
            GucFlags::default(),
        );
    }
    // SAFETY: called once, from _PG_init, after the settings are defined; the name is static.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"foreman".as_ptr()) };
}
