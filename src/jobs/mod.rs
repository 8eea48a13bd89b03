//! Jobs: creating, claiming, moving through their states, finding. Runs inside the guard; errors of the server just unwind.

pub mod cancel;
pub mod claim;
pub mod create;
pub mod explain;
pub mod finish;
pub mod heartbeat;
pub mod hold;
pub mod iso_time;
pub mod keys;
pub mod list;
pub mod lists;
pub mod live;
pub mod new_job;
pub mod policy;
pub mod queue;
pub mod ready;
pub mod remove;
pub mod rescue;
pub mod retry;
pub mod saved_floors;
pub mod settle;
pub mod stats;
pub mod status;
pub mod transition;
pub mod upkeep;
pub mod waiting;
mod walk;
