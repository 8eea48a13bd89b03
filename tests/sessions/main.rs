//! What takes several sessions to show, on private clusters of their own. One file a family of promises; the names of
//! the tests are the promises.

mod cancel;
mod chaos;
mod claim_cost;
mod claim_order;
mod crash;
mod deadlock;
mod dump_restore;
mod execute;
mod failures;
mod figure_cost;
mod figures;
mod floors;
mod health;
mod isolation;
mod lists;
mod look_back;
mod memory;
mod nesting;
mod on_error;
mod partitions;
mod payloads;
mod protocol_model;
mod queues;
mod relaxed_claims;
mod reused_keys;
mod server_log;
mod settings;
mod side_rescue;
mod space;
mod standby;
mod statistics;
mod timeouts;
mod unique_keys;
mod waiting;
mod worker;
