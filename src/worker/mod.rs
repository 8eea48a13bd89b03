//! The background worker, when the library is preloaded: a launcher, and up to `foreman.max_workers` processes that visit
//! the databases in turn. None holds a transaction while it is idle, nor stays in a database without need: DROP DATABASE
//! and CREATE DATABASE … TEMPLATE wait no longer than for the step under way.

mod launcher;
mod process;
mod visit;

pub use visit::step_name;

use crate::shared::workers::{self, Outcome};
use pgrx::{pg_guard, pg_sys};

/// The names of the two functions below.
const LAUNCHER: &str = "pg_foreman_launcher";
/// As above.
const WORKER: &str = "pg_foreman_worker";

/// Has the server start the launcher, if it preloads us.
pub fn register() {
    // SAFETY: a flag of the postmaster's.
    if unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        process::register_launcher(LAUNCHER);
    }
}

/// Where the launcher's process begins.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_foreman_launcher(_argument: pg_sys::Datum) {
    process::connect(None);
    launcher::run();
}

/// Where a worker's process begins; the argument is the place of its visit.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_foreman_worker(argument: pg_sys::Datum) {
    let place = argument.value();
    if let Some((database, with_upkeep)) = workers::planned_visit(place) {
        process::connect(Some(database));
        let outcome = visit::run(place, database, with_upkeep);
        if outcome == Outcome::NoExtension {
            workers::keep(|oid| oid != database);
        }
        workers::end_visit(place, outcome);
    }
}
