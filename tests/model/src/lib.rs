//! A model of how jobs are claimed, leased, finished and rescued, small enough that a checker visits each of its states.
//!
//! # What is in it
//!
//! Jobs, workers, one rescuer, and a server whose tables are kept three times: as sessions see them, as they are on the
//! server's disk, and as they are on a standby ([`State`]). Work goes on in single steps ([`Step`]), in any order.
//! A bounded number of them are [`Twist`]s:
//!
//! - the clock steps forward and back;
//! - the server crashes, and what was not flushed is lost;
//! - the standby takes over, and what was flushed but not replicated is lost;
//! - a reply is lost, and the worker asks again with the same token;
//! - a worker dies, or waits for ever; one whose claim's reply was lost is no different, since it does not know its job;
//! - a heartbeat extends a lease, a job is given back: no faults, but they too could go on for ever.
//!
//! A claim, and a rescue, may be on disk later than seen: a claim need not be flushed. What is answered to a finish, a
//! heartbeat or a create was flushed before. The server shows a commit to others only after its flush, so these three
//! are one step: a crash before the flush is the same as one before the call.
//!
//! A random token is the least number that nobody knows, whether in a table, on a disk or in a worker's memory. Beside
//! the token each claim has the number of its attempt, by which the promises are judged; the protocol never reads it.
//!
//! # What is promised
//!
//! [`promises`] has the list. All of them hold in all runs, but *what was answered is there* says less after a failover:
//! then it is said of what was replicated, since the rest of the answers went with the old primary's disk. *At last each
//! job ends* is said of the states in which nothing can happen any more; no run comes by the same state twice
//! (`checks/runs.rs`), so each run gets there.
//!
//! [`events`] are what must be seen to happen. A model in which no claim is ever lost shows nothing about lost claims.
//!
//! A [`Variant`] is the protocol with one mistake in it. The checker finds each; the shortest way there is in
//! `checks/mistakes.rs`.
//!
//! # Whose steps these are
//!
//! | step | function | statement |
//! | --- | --- | --- |
//! | `Create` | `create_job` | `src/jobs/create.rs` |
//! | `Claim` | `claim_jobs`, `claim_jobs_from`, `finish_and_claim` | `CLAIM` in `src/jobs/claim.rs`, or the same row by row |
//! | `Heartbeat` | `heartbeat`, `heartbeat_all` | `EXTEND` in `src/jobs/heartbeat.rs` |
//! | `Finish`, `AskAgain` with `Complete` | `complete_job`, `complete_jobs` | `FINISH` in `src/jobs/finish.rs`, or the same row by row |
//! | … with `Fail` | `fail_job`, `fail_jobs` | `FINISH`, then `BACK` in `src/jobs/settle.rs` |
//! | … with `Release` | `release_job` | `BACK` in `src/jobs/settle.rs` |
//! | what such a call answers if it changes nothing | | `why_not` in `src/jobs/settle.rs` |
//! | `Look`, then `Rescue` | `rescue_expired`, `maintain`, claims on the side | `FIND` in `src/jobs/rescue.rs`: its snapshot, then its row locks |
//! | `Flush`, `Replicate`, `Crash`, `FailOver` | the server's | |
//!
//! # What is left out
//!
//! - Queues, priorities, delays, and the order of claims: here a worker may be given any pending job. How claims find it
//!   is another model, [`walks`].
//! - `hold_lease` and effects of a worker's own: a row lock is gone after a crash, and so is the transaction. The
//!   isolation specs have these.
//! - `request_cancel`, `update_job_status`, retention and unique keys.
//! - Heartbeats that are told in shared memory, and the grace after a crash that makes up for them: here each is written to
//!   its row, as without preload.
//! - Two primaries at once, and synchronous replication.

pub mod bounds;
pub mod database;
pub mod events;
/// The floor as it is in the server.
#[path = "../../../src/shared/floor.rs"]
pub mod floor;
pub mod promises;
pub mod protocol;
mod sameness;
pub mod state;
pub mod variant;
pub mod walks;

pub use bounds::{Bounds, Twist};
pub use database::{Answer, Claim, Verdict};
pub use protocol::{Protocol, Step};
pub use state::State;
pub use variant::Variant;
