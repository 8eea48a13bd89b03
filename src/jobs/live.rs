//! The tables of jobs as the way past the executor sees them: columns in the order of sql/20_jobs.sql.
//!
//! And what statements keep to that name jobs by id. Once the planner knows that the table holds a row or two, it takes any
//! index for as short a way as any other, and then reads all that old snapshots keep. So the state is compared as text,
//! which the indexes of ready and of running jobs do not offer, and in a join the ids are said of the table alone as well. A
//! job's queue is looked up by a subquery, not by a join: made when there was one queue, that would go through all of them.

use super::iso_time;
use crate::pg::table::{ENUM, Open, Table};
use pgrx::pg_sys;
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::rc::Rc;

/// Jobs that can still run.
pub static LIVE_JOB: Table = Table::new(
    c"live_job",
    &[
        (c"id", pg_sys::INT8OID),
        (c"run_at", pg_sys::TIMESTAMPTZOID),
        (c"ready_at", pg_sys::TIMESTAMPTZOID),
        (c"created_at", pg_sys::TIMESTAMPTZOID),
        (c"started_at", pg_sys::TIMESTAMPTZOID),
        (c"lease_expires_at", pg_sys::TIMESTAMPTZOID),
        (c"cancel_requested_at", pg_sys::TIMESTAMPTZOID),
        (c"key_taken_at", pg_sys::TIMESTAMPTZOID),
        (c"lease_seconds", pg_sys::FLOAT8OID),
        (c"queue_id", pg_sys::INT4OID),
        (c"attempt", pg_sys::INT4OID),
        (c"max_attempts", pg_sys::INT4OID),
        (c"progress", pg_sys::INT4OID),
        (c"priority", pg_sys::INT2OID),
        (c"status", ENUM),
        (c"lease_token", pg_sys::UUIDOID),
        (c"job_type", pg_sys::TEXTOID),
        (c"unique_key", pg_sys::TEXTOID),
        (c"worker", pg_sys::TEXTOID),
        (c"note", pg_sys::TEXTOID),
        (c"cancel_reason", pg_sys::TEXTOID),
        (c"last_error", pg_sys::TEXTOID),
        (c"payload", pg_sys::JSONBOID),
        (c"metadata", pg_sys::JSONBOID),
    ],
);

/// The places of the columns of `live_job`.
pub mod column {
    pub const ID: usize = 0;
    pub const RUN_AT: usize = 1;
    pub const READY_AT: usize = 2;
    pub const CREATED_AT: usize = 3;
    pub const STARTED_AT: usize = 4;
    pub const LEASE_EXPIRES_AT: usize = 5;
    pub const CANCEL_REQUESTED_AT: usize = 6;
    pub const KEY_TAKEN_AT: usize = 7;
    pub const LEASE_SECONDS: usize = 8;
    pub const QUEUE_ID: usize = 9;
    pub const ATTEMPT: usize = 10;
    pub const MAX_ATTEMPTS: usize = 11;
    pub const PRIORITY: usize = 13;
    pub const STATUS: usize = 14;
    pub const LEASE_TOKEN: usize = 15;
    pub const JOB_TYPE: usize = 16;
    pub const UNIQUE_KEY: usize = 17;
    pub const WORKER: usize = 18;
    pub const CANCEL_REASON: usize = 20;
    pub const LAST_ERROR: usize = 21;
    pub const PAYLOAD: usize = 22;
    pub const METADATA: usize = 23;
}

/// The places of some columns of `finished_job` and its like.
pub mod finished_column {
    pub const FINISHED_AT: usize = 4;
    pub const QUEUE_ID: usize = 5;
    pub const STATUS: usize = 9;
}

/// Jobs that ended, by their days.
pub static FINISHED_JOB: Table = Table::new(c"finished_job", FINISHED);

/// Jobs that ended when their day had no partition.
pub static FINISHED_REST: Table = Table::new(c"finished_rest", FINISHED);

/// The columns of a partition of `finished_job`.
pub const FINISHED: &[(&CStr, pg_sys::Oid)] = &[
    (c"id", pg_sys::INT8OID),
    (c"run_at", pg_sys::TIMESTAMPTZOID),
    (c"created_at", pg_sys::TIMESTAMPTZOID),
    (c"started_at", pg_sys::TIMESTAMPTZOID),
    (c"finished_at", pg_sys::TIMESTAMPTZOID),
    (c"queue_id", pg_sys::INT4OID),
    (c"attempt", pg_sys::INT4OID),
    (c"max_attempts", pg_sys::INT4OID),
    (c"priority", pg_sys::INT2OID),
    (c"status", ENUM),
    (c"lease_token", pg_sys::UUIDOID),
    (c"job_type", pg_sys::TEXTOID),
    (c"unique_key", pg_sys::TEXTOID),
    (c"worker", pg_sys::TEXTOID),
    (c"payload", pg_sys::JSONBOID),
    (c"metadata", pg_sys::JSONBOID),
    (c"result", pg_sys::JSONBOID),
    (c"error", pg_sys::TEXTOID),
];

thread_local! {
    /// The partition of the day that this session last finished a job on.
    static PARTITION: RefCell<Option<(i64, Rc<Table>)>> = const { RefCell::new(None) };
}

/// The partition for jobs that end at this time; whether it is there is seen when it is opened.
pub fn partition_at(microseconds: i64) -> Rc<Table> {
    /// Microseconds in a day.
    const DAY: i64 = 86_400_000_000;
    let day = microseconds.div_euclid(DAY);
    PARTITION.with_borrow_mut(|known| match known {
        Some((of, table)) if *of == day => Rc::clone(table),
        _ => {
            let (year, month, day_of_month) = iso_time::date(day);
            let name = CString::new(format!("finished_job_{year:04}{month:02}{day_of_month:02}")).unwrap_or_default();
            let table = Rc::new(Table::partition(name, FINISHED));
            *known = Some((day, Rc::clone(&table)));
            table
        }
    })
}

/// Whether a statement can put jobs that end at this time into the partitioned table. Asked of the partition, under its
/// lock: what a snapshot sees of `finished_day` may be newer than the partitions that this session knows of, and the server
/// then refuses the row. Whoever attaches a partition keeps its lock until all sessions have been told.
pub fn has_partition(microseconds: i64) -> bool {
    Open::extended(&partition_at(microseconds), pg_sys::RowExclusiveLock).is_some()
}
