//! A background process of the server's: how one is started, what it does before anything else, its transactions.

use crate::pg::compat::{self, bare};
use crate::pg::process;
use core::ffi::CStr;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;
use std::time::Duration;

/// The library's name, as the server loads it.
const LIBRARY: &str = "pg_foreman";
/// The pause before the server starts the launcher again after it has failed.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// Has the server start the launcher: on a standby not before its promotion, and again whenever it has ended.
pub fn register_launcher(function: &str) {
    BackgroundWorkerBuilder::new("pg_foreman launcher")
        .set_library(LIBRARY)
        .set_function(function)
        .enable_spi_access()
        .set_restart_time(Some(RESTART_PAUSE))
        .load();
}

/// A process that was started.
pub struct Started {
    handle: *mut pg_sys::BackgroundWorkerHandle,
}

impl Started {
    /// Starts a process; `None` where the server has no room for one more (max_worker_processes). This process's latch
    /// is set when it ends.
    pub fn start(function: &str, argument: usize) -> Option<Started> {
        let builder = BackgroundWorkerBuilder::new("pg_foreman worker")
            .set_library(LIBRARY)
            .set_function(function)
            .set_argument(Some(argument.into()))
            .set_notify_pid(process::own_pid())
            .enable_spi_access();
        let mut worker = pg_sys::BackgroundWorker::from(&builder);
        let mut handle = std::ptr::null_mut();
        // SAFETY: the server copies the description, and makes a handle in the current memory context, which outside of
        // a transaction is one that stays.
        let started = unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) };
        started.then_some(Started { handle })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut pid = 0;
        // SAFETY: the handle is the one that the server made, and is freed with us.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.handle, &mut pid) };
        status == pg_sys::BgwHandleStatus::BGWH_STOPPED
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: made by the server with palloc, and used no more.
        unsafe { pg_sys::pfree(self.handle.cast()) };
    }
}

/// Takes signals as a session does: SIGTERM ends what it does at once, SIGHUP has it read the settings anew.
fn take_signals() {
    // SAFETY: the handlers are the server's own, made for this; signals are blocked until the last line.
    unsafe {
        bare::pqsignal(compat::SIGTERM, bare::die);
        bare::pqsignal(compat::SIGHUP, bare::SignalHandlerForConfigReload);
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Settings that a database or the server's configuration may have for its sessions, and that are not meant for us.
const SETTINGS: [(&CStr, &CStr); 8] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    // Shorter than a step's wait for a lock and than anybody else's: in a deadlock it is the worker that gives way.
    (c"deadlock_timeout", c"10ms"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"default_transaction_isolation", c"read committed"),
    // What it does is over before a statement is compiled or another process has started.
    (c"jit", c"off"),
    (c"max_parallel_workers_per_gather", c"0"),
];

/// Connects to a database, or with `None` to what all databases share. Ends the process where that can't be.
pub fn connect(database: Option<u32>) {
    take_signals();
    // SAFETY: the first thing that this process does. Names and values are C strings, which the server copies.
    unsafe {
        for (name, value) in SETTINGS {
            let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
            pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source);
        }
        match database {
            Some(oid) => pg_sys::BackgroundWorkerInitializeConnectionByOid(oid.into(), pg_sys::InvalidOid, 0),
            None => pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0),
        }
    }
}

/// Reads the settings anew if SIGHUP asked for it.
pub fn reload_settings() {
    // SAFETY: a flag of this process's, set by the signal's handler.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Runs `work` in a transaction of its own, which pg_stat_activity shows as `what`. An error ends the process.
pub fn transaction<R>(what: &CStr, work: impl FnOnce() -> R) -> R {
    // SAFETY: no transaction is open; what `work` begins it also ends.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, what.as_ptr());
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let result = work();
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
        result
    }
}
