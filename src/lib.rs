//! pg_foreman: job logic inside PostgreSQL. A call's way: `api` → `guard` → the domain → `reply`.

mod access;
mod api;
mod arguments;
mod cursor;
mod diagnostics;
mod error;
mod execute;
mod guard;
mod guc;
mod health;
mod jobs;
mod metrics;
mod pg;
mod reply;
mod settings;
mod shared;
mod worker;

#[cfg(any(test, feature = "pg_test"))]
mod tests;
#[cfg(test)]
pub use tests::pg_test;

pgrx::pg_module_magic!(name, version);

/// Defines the settings and, when the server preloads us, asks for shared memory.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    guc::register();
    shared::request();
    worker::register();
}
