//! What the tests with several sessions stand on: private clusters, a fresh database for each test, sessions that can
//! be sent to the background, and ways to wait for a fact instead of for a while.
//!
//! Nothing here knows how the extension is built: it is installed before the tests run. The clusters use the server
//! that `PG_CONFIG` names (`pg_config` on the PATH otherwise), listen on a socket in a directory of their own, and go
//! away with the process that made them, however it ends.

mod cluster;
mod crossing;
mod database;
mod gate;
pub mod ledger;
mod log;
pub mod process;
mod random;
mod reply;
mod session;
mod wait;

pub use cluster::{Cluster, as_server_user, server_version};
pub use crossing::Crossing;
pub use database::Database;
pub use gate::Gate;
pub use log::LogEntry;
pub use postgres;
pub use random::{Random, in_full, seed};
pub use reply::Reply;
pub use serde_json::{Value, json};
pub use session::{Running, Session, sqlstate};
pub use wait::{LIMIT, wait_until};
