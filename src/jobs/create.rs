//! Creating jobs, one or many, and what a unique key that is taken leads to.

use super::keys::{self, Hold};
use super::live::LIVE_JOB;
use super::new_job::{Arguments, NewJob, OnDuplicate, from_array};
use super::queue::{self, Queue};
use super::ready::{self, Ready};
use super::status::Status;
use crate::error::Error;
use crate::guc;
use crate::pg::datum::{Array, Jsonb, Text, Timestamptz};
use crate::pg::jsonb::{self, Kind};
use crate::pg::rows;
use crate::pg::spi::{self, Connection, Statement};
use crate::pg::table::{self, Value};
use crate::pg::{log, xact};
use crate::reply::Reply;
use crate::shared::tally::{self, Event};
use pgrx::pg_sys;
use serde_json::json;
use std::collections::HashMap;

// What `insert` does where the table has triggers or is otherwise out of the ordinary.
static INSERT: Statement = Statement::new(
    c"INSERT INTO foreman.live_job
          (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, job_type, payload, metadata, unique_key,
           key_taken_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    &[
        pg_sys::INT8OID,
        pg_sys::INT4OID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::INT4OID,
        pg_sys::INT4OID,
        pg_sys::TEXTOID,
        pg_sys::JSONBOID,
        pg_sys::JSONBOID,
        pg_sys::TEXTOID,
        pg_sys::TIMESTAMPTZOID,
    ],
);

static INSERT_MANY: Statement = Statement::new(
    c"INSERT INTO foreman.live_job
          (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, job_type, payload, metadata)
      SELECT pg_catalog.nextval('foreman.job_id_seq'), n.queue_id, n.run_at, n.ready_at, $9, n.max_attempts,
             n.priority, n.job_type, n.payload, n.metadata
      FROM ROWS FROM (
          pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),
          pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8)
      ) AS n (queue_id, run_at, ready_at, max_attempts, priority, job_type, payload, metadata)
      RETURNING id",
    &[
        pg_sys::INT4ARRAYOID,
        pg_sys::TIMESTAMPTZARRAYOID,
        pg_sys::TIMESTAMPTZARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::INT4ARRAYOID,
        pg_sys::TEXTARRAYOID,
        pg_sys::JSONBARRAYOID,
        pg_sys::JSONBARRAYOID,
        pg_sys::TIMESTAMPTZOID,
    ],
);

static REPLACE: Statement = Statement::by_index(
    c"UPDATE foreman.live_job AS j
      SET payload = $2, priority = $3, run_at = $4, ready_at = $5
      WHERE j.id OPERATOR(pg_catalog.=) $1 AND j.status::text OPERATOR(pg_catalog.=) 'pending'
      RETURNING j.id",
    &[pg_sys::INT8OID, pg_sys::JSONBOID, pg_sys::INT4OID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID],
);

/// What became of one job.
enum Created {
    New(i64),
    Duplicate(i64),
    Replaced(i64),
}

impl Created {
    /// The id of the job that is there now.
    fn job_id(&self) -> i64 {
        match self {
            Created::New(id) | Created::Duplicate(id) | Created::Replaced(id) => *id,
        }
    }

    /// The reply of `create_job`.
    fn reply(&self) -> Reply {
        match self {
            Created::New(id) => Reply::success().field("job_id", *id).field("created", true),
            Created::Duplicate(id) => Reply::skipped("duplicate").field("job_id", *id),
            Created::Replaced(id) => {
                Reply::success().field("job_id", *id).field("created", false).field("replaced", true)
            }
        }
    }
}

/// When a job becomes ready: never before now, so that jobs become ready near the open end of the index.
fn times(job: &NewJob, now: i64) -> (Timestamptz, Timestamptz) {
    let run_at = job.run_at.map_or(now, Timestamptz::microseconds);
    (Timestamptz::at(run_at), Timestamptz::at(run_at.max(now)))
}

/// `create_job`.
pub fn one(arguments: &Arguments) -> Result<Reply, Error> {
    let job = arguments.check()?;
    let created = match without_statement(&job) {
        Some(id) => Created::New(id),
        None => spi::connect(|connection| create(connection, &job))?,
    };
    Ok(warn_of_double_encoding(created.reply(), &[job]))
}

/// Creates a job in a queue that is there, as most are; `None`, and no more than an id used, where it takes a statement.
fn without_statement(job: &NewJob) -> Option<i64> {
    if job.unique_key.is_some() {
        return None;
    }
    let queue = queue::seen(&job.queue)?;
    let row = Row::of(queue, job, table::next_value(c"job_id_seq"), None);
    if !row.store() {
        return None;
    }
    row.announce(queue, job);
    Some(row.id)
}

/// Creates a job, or says which one holds its key.
fn create(connection: &Connection, job: &NewJob) -> Result<Created, Error> {
    let queue = queue::ensure(connection, &job.queue)?;
    let Some(key) = job.unique_key.as_deref() else {
        return Ok(Created::New(insert(connection, queue, job, table::next_value(c"job_id_seq"), None)));
    };
    loop {
        let holder = match keys::take(queue.id, key, None) {
            Ok(hold) => {
                return Ok(Created::New(insert(connection, queue, job, hold.job_id, Some(hold.taken_at))));
            }
            Err(holder) => holder,
        };
        // Whoever holds the key may end and free it while we look: then the key is ours to take again.
        if let Some(duplicate) = meet_holder(connection, queue, key, holder, job)? {
            return Ok(duplicate);
        }
    }
}

/// A job's row in the server's types.
struct Row {
    id: i64,
    run_at: Timestamptz,
    ready_at: Timestamptz,
    created_at: Timestamptz,
    key_taken_at: Option<Timestamptz>,
    queue_id: i32,
    max_attempts: i32,
    priority: i32,
    job_type: Option<Text>,
    unique_key: Option<Text>,
    payload: Jsonb,
    metadata: Jsonb,
}

impl Row {
    /// The row of a job that is created now.
    fn of(queue: Queue, job: &NewJob, id: i64, key_taken_at: Option<i64>) -> Self {
        let now = xact::clock();
        let (run_at, ready_at) = times(job, now);
        let text = |name: &Option<String>| name.as_deref().map(Text::from_utf8);
        Self {
            id,
            run_at,
            ready_at,
            created_at: Timestamptz::at(now),
            key_taken_at: key_taken_at.map(Timestamptz::at),
            queue_id: queue.id,
            max_attempts: job.max_attempts.unwrap_or(queue.max_attempts),
            priority: job.priority.unwrap_or(queue.default_priority),
            job_type: text(&job.job_type),
            unique_key: text(&job.unique_key),
            payload: job.payload,
            metadata: job.metadata,
        }
    }

    /// Tells of the job.
    fn announce(&self, queue: Queue, job: &NewJob) {
        tally::count(Event::Created, 1);
        let ready = Ready::one(queue.id, self.priority, self.ready_at.microseconds(), self.id);
        ready::announce(ready, queue.notify.then_some(&job.queue));
    }

    /// Puts the row into the table; false, and nothing done, where that takes a statement.
    fn store(&self) -> bool {
        let row = [
            self.id.into(),
            self.run_at.into(),
            self.ready_at.into(),
            self.created_at.into(),
            Value::Null,
            Value::Null,
            Value::Null,
            self.key_taken_at.into(),
            Value::Null,
            self.queue_id.into(),
            0i32.into(),
            self.max_attempts.into(),
            Value::Null,
            self.priority.into(),
            Value::Label(c"pending"),
            Value::Null,
            self.job_type.into(),
            self.unique_key.into(),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            self.payload.into(),
            self.metadata.into(),
        ];
        rows::insert(&LIVE_JOB, &row)
    }
}

/// Puts a row into the table and gives its id.
fn insert(connection: &Connection, queue: Queue, job: &NewJob, id: i64, key_taken_at: Option<i64>) -> i64 {
    let row = Row::of(queue, job, id, key_taken_at);
    if !row.store() {
        connection.run(
            &INSERT,
            &[
                &row.id,
                &row.queue_id,
                &row.run_at,
                &row.ready_at,
                &row.created_at,
                &row.max_attempts,
                &row.priority,
                &row.job_type,
                &row.payload,
                &row.metadata,
                &row.unique_key,
                &row.key_taken_at,
            ],
        );
    }
    row.announce(queue, job);
    id
}

/// Does what the caller wants about a taken key; `None` if it is no longer taken.
fn meet_holder(
    connection: &Connection,
    queue: Queue,
    key: &str,
    holder: Hold,
    job: &NewJob,
) -> Result<Option<Created>, Error> {
    let Some(status) = keys::status_of(connection, queue.id, key, holder) else { return Ok(None) };
    let job_id = holder.job_id;
    match job.on_duplicate {
        OnDuplicate::Skip => {
            log::message_at(
                guc::duplicate_log_level(),
                format!("queue {}: a duplicate was skipped, job {job_id} holds its unique key", job.queue),
            );
            Ok(Some(Created::Duplicate(job_id)))
        }
        OnDuplicate::Replace if status != Some(Status::Running) => Ok(replace(connection, queue, job_id, job)),
        OnDuplicate::Error | OnDuplicate::Replace => Err(Error::Duplicate { job_id, status }),
    }
}

/// Gives a pending job a new payload, priority and time.
fn replace(connection: &Connection, queue: Queue, job_id: i64, job: &NewJob) -> Option<Created> {
    let (run_at, ready_at) = times(job, xact::clock());
    let priority = job.priority.unwrap_or(queue.default_priority);
    let rows = connection.run(&REPLACE, &[&job_id, &job.payload, &priority, &run_at, &ready_at]);
    rows.first()?;
    let ready = Ready::one(queue.id, priority, ready_at.microseconds(), job_id);
    ready::announce(ready, queue.notify.then_some(&job.queue));
    Some(Created::Replaced(job_id))
}

/// `create_jobs`: all or none.
pub fn many(jobs: Option<Jsonb>) -> Result<Reply, Error> {
    let jobs = from_array(jobs)?;
    let created = spi::connect(|connection| create_all(connection, &jobs))?;
    let ids: Vec<i64> = created.iter().map(Created::job_id).collect();
    let skipped: serde_json::Value = created
        .iter()
        .enumerate()
        .filter(|(_, created)| matches!(created, Created::Duplicate(_)))
        .map(|(index, created)| json!({"index": index, "job_id": created.job_id(), "reason": "duplicate"}))
        .collect();
    let count = |wanted: fn(&Created) -> bool| created.iter().filter(|c| wanted(c)).count() as i64;
    let reply = Reply::success()
        .field("job_ids", &ids[..])
        .field("created", count(|c| matches!(c, Created::New(_))))
        .field("replaced", count(|c| matches!(c, Created::Replaced(_))))
        .field("skipped", skipped);
    Ok(warn_of_double_encoding(reply, &jobs))
}

/// Creates the jobs: those without a key in one statement, the others key by key in an order that all sessions
/// share, so that two such calls can't deadlock. The answers are in the order of the array.
fn create_all(connection: &Connection, jobs: &[NewJob]) -> Result<Vec<Created>, Error> {
    let mut queues: HashMap<&str, Queue> = HashMap::new();
    let mut names: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        queues.insert(name, queue::ensure(connection, name)?);
    }
    let (mut keyed, plain): (Vec<usize>, Vec<usize>) = (0..jobs.len()).partition(|i| jobs[*i].unique_key.is_some());
    keyed.sort_by_key(|i| (&jobs[*i].queue, &jobs[*i].unique_key, *i));
    let mut created: Vec<(usize, Created)> = Vec::with_capacity(jobs.len());
    for index in keyed {
        let job = &jobs[index];
        created.push((index, create(connection, job)?));
    }
    let rows: Vec<_> = plain.iter().map(|index| (&jobs[*index], queues[jobs[*index].queue.as_str()])).collect();
    created.extend(plain.iter().copied().zip(insert_many(connection, &rows).into_iter().map(Created::New)));
    created.sort_by_key(|(index, _)| *index);
    Ok(created.into_iter().map(|(_, created)| created).collect())
}

/// Puts many rows into the table in one statement and gives their ids in the same order.
fn insert_many(connection: &Connection, jobs: &[(&NewJob, Queue)]) -> Vec<i64> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let now = xact::clock();
    for (job, queue) in jobs {
        let (priority, (_, ready_at)) = (job.priority.unwrap_or(queue.default_priority), times(job, now));
        let ready = Ready::some(queue.id, priority, ready_at.microseconds());
        ready::announce(ready, queue.notify.then_some(&job.queue));
    }
    let each = || jobs.iter();
    let name = |name: &Option<String>| name.as_deref().map(Text::from_utf8);
    let rows = connection.run(
        &INSERT_MANY,
        &[
            &Array::of(each().map(|(_, queue)| Some(queue.id))),
            &Array::of(each().map(|(job, _)| Some(times(job, now).0))),
            &Array::of(each().map(|(job, _)| Some(times(job, now).1))),
            &Array::of(each().map(|(job, queue)| Some(job.max_attempts.unwrap_or(queue.max_attempts)))),
            &Array::of(each().map(|(job, queue)| Some(job.priority.unwrap_or(queue.default_priority)))),
            &Array::of(each().map(|(job, _)| name(&job.job_type))),
            &Array::of(each().map(|(job, _)| Some(job.payload))),
            &Array::of(each().map(|(job, _)| Some(job.metadata))),
            &Timestamptz::at(now),
        ],
    );
    tally::count(Event::Created, rows.processed() as u64);
    rows.iter().filter_map(|row| row.bigint(1)).collect()
}

/// Bytes of a string payload that are looked at: a longer one is no mistake of a driver's that a warning would mend.
const MAX_LOOKED_AT: usize = 64 * 1024;

/// Some drivers encode a document twice without a word: then the payload is a string that holds JSON.
fn warn_of_double_encoding(reply: Reply, jobs: &[NewJob]) -> Reply {
    if jobs.iter().any(|job| holds_document(job.payload)) {
        reply.field("warning", "A payload is a JSON string that itself holds JSON: it seems to be encoded twice.")
    } else {
        reply
    }
}

/// Whether a payload is a string that is itself an object or an array.
fn holds_document(payload: Jsonb) -> bool {
    if jsonb::kind(payload) != Kind::String {
        return false;
    }
    let text = jsonb::members(payload).next().and_then(|(_, value)| value.scalar_text(MAX_LOOKED_AT));
    text.is_some_and(|text| {
        text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()
    })
}
