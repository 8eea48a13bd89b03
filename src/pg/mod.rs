//! Newtypes over the server's API, one subject a file. Outside of here, `guard/` and `shared/`, nothing is unsafe.

pub mod activity;
pub mod brief_lock;
pub mod compat;
pub mod databases;
pub mod datum;
pub mod document;
pub mod error_context;
pub mod identity;
pub mod invalidation;
pub mod jsonb;
pub mod latch;
pub mod lock_timeout;
pub mod log;
pub mod notify;
pub mod planner;
pub mod procedure;
pub mod process;
pub mod raise;
pub mod rows;
pub mod shmem;
pub mod spi;
pub mod statement;
pub mod table;
pub mod timeout;
pub mod versions;
pub mod xact;
