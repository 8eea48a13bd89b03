//! Checks that look at the same thing from several sides share a statement, which a session plans once; a file of `checks/`
//! says which side is its own.

pub mod horizon;
pub mod jobs;
pub mod sessions;
pub mod slots;
pub mod standbys;
pub mod transaction_ages;
