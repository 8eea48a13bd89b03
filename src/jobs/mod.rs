//! Jobs: creating, moving through their states, finding. Runs inside the guard; errors of the server just unwind.

pub mod create;
pub mod finish;
pub mod iso_time;
pub mod list;
pub mod new_job;
pub mod queue;
pub mod remove;
pub mod retry;
pub mod stats;
pub mod status;
pub mod transition;
pub mod upkeep;
