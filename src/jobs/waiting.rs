//! Waiting for jobs: look, and sleep until there may be some. While a session sleeps it holds no snapshot, and its
//! transaction is never older than a look ago.

use super::live::LIVE_JOB;
use super::queue::{self, Queue};
use super::rescue;
use super::walk::{self, Go};
use crate::diagnostics;
use crate::error::Error;
use crate::pg::datum::{Array, Timestamptz};
use crate::pg::rows::Rows;
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::{jsonb, latch, process, xact};
use crate::reply::Reply;
use crate::shared::wakes::{self, Next, Seat};
use pgrx::pg_sys;
use std::time::{Duration, Instant};

/// The longest time that nobody looks at a queue that is waited for, in microseconds: what wakes nobody (COMMIT PREPARED,
/// rows written by hand) is found that late. The background worker, where there is one, looks more often, with less to do
/// than as many processes that were long asleep.
const LONGEST: i64 = 15_000_000;
/// Whoever was woken for a job has begun to take it by then, in microseconds.
const TAKEN_WITHIN: i64 = 1_000_000;
/// The first pause where nobody wakes us; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause where nobody wakes us, so that a delayed job is no more than that late.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

// What a walk tells, under other isolation levels. For each queue: the jobs that are ready (2 stand for any more), and when
// the next one becomes due. Priority by priority, so that both are found at one place of the index, however many jobs are
// due later.
static LOOK: Statement = Statement::by_index(
    c"SELECT q.id, q.name,
             (SELECT pg_catalog.count(*)
              FROM (SELECT 1
                    FROM pg_catalog.generate_series(0, 9) AS p (priority)
                    CROSS JOIN LATERAL (
                        SELECT 1
                        FROM foreman.live_job AS j
                        WHERE j.queue_id OPERATOR(pg_catalog.=) q.id
                          AND j.priority OPERATOR(pg_catalog.=) p.priority::smallint
                          AND j.status OPERATOR(pg_catalog.=) 'pending'
                          AND j.ready_at OPERATOR(pg_catalog.<=) $2
                        LIMIT 2
                    ) AS r
                    WHERE q.paused_at IS NULL
                    LIMIT 2) AS two),
             (SELECT pg_catalog.min(n.ready_at)
              FROM pg_catalog.generate_series(0, 9) AS p (priority)
              CROSS JOIN LATERAL (
                  SELECT j.ready_at
                  FROM foreman.live_job AS j
                  WHERE j.queue_id OPERATOR(pg_catalog.=) q.id
                    AND j.priority OPERATOR(pg_catalog.=) p.priority::smallint
                    AND j.status OPERATOR(pg_catalog.=) 'pending'
                    AND j.ready_at OPERATOR(pg_catalog.>) $2
                  ORDER BY j.ready_at
                  LIMIT 1
              ) AS n
              WHERE q.paused_at IS NULL)
      FROM foreman.queue AS q
      WHERE q.name OPERATOR(pg_catalog.=) ANY ($1)",
    &[pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID],
);

// With the rights of the session's role, and its search_path.
static ASK: Statement = Statement::new(c"SELECT foreman.ready_in($1)", &[pg_sys::TEXTARRAYOID]);

/// `ready_in`.
pub fn ready(names: &[String]) -> Reply {
    // Where nobody else does, the sessions that wait bring back what is lost.
    rescue::on_the_side();
    let known: Vec<Option<Queue>> = names.iter().map(|name| as_it_is(name)).collect();
    let mut queues: Vec<Queue> = known.iter().flatten().copied().collect();
    queues.sort_unstable_by_key(|queue| queue.id);
    queues.dedup_by_key(|queue| queue.id);
    wakes::watch(queues.iter().map(|queue| queue.id), known.contains(&None));
    let now = xact::clock();
    let found = by_walk(&queues, now).unwrap_or_else(|| by_statement(names, now));
    let (mut ready, mut first) = (0, None::<i64>);
    for Found { queue, jobs, next_due } in found {
        ready += jobs;
        if jobs > 0 && ready > 1 {
            wakes::has_more(queue);
        }
        if let Some(due) = next_due {
            wakes::will_be_due(queue, due);
            first = Some(first.map_or(due, |first| first.min(due)));
        }
    }
    let seconds = first.map(|due| (due - now) as f64 / 1e6);
    Reply::success().field("ready", ready > 0).field("next_due_seconds", seconds)
}

/// A queue as it is. One that is remembered as paused is looked up again: whoever resumes it wakes us before the server
/// has us forget.
fn as_it_is(name: &str) -> Option<Queue> {
    let known = queue::known(name)?;
    if known.paused { spi::connect(|connection| queue::find(connection, name)) } else { Some(known) }
}

/// What there is to do in a queue.
struct Found {
    queue: i32,
    /// Jobs that are ready; 2 stand for any more.
    jobs: i64,
    /// Not where there is something to do.
    next_due: Option<i64>,
}

/// Walks through the queues; `None` where it takes a statement.
fn by_walk(queues: &[Queue], now: i64) -> Option<Vec<Found>> {
    let rows = xact::is_read_committed().then(|| Rows::to_read(&LIVE_JOB)).flatten()?;
    queues.iter().filter(|queue| !queue.paused).map(|queue| walk_one(&rows, queue.id, now)).collect()
}

/// The same for one queue.
fn walk_one(rows: &Rows, queue: i32, now: i64) -> Option<Found> {
    let mut jobs = 0;
    let next_due = walk::due(rows, queue, now, &mut |_, _| {
        jobs += 1;
        if jobs < 2 { Go::On } else { Go::Home }
    })?;
    let next_due = (jobs == 0 && next_due < i64::MAX).then_some(next_due);
    Some(Found { queue, jobs, next_due })
}

/// A step of the upkeep: looks for all who wait in this database, for what has woken nobody, so that each of them need not.
pub fn look_for_all() -> Result<Reply, Error> {
    let mut woken = 0;
    let (queues, now) = (wakes::waited_for(), xact::clock());
    if let Some(rows) = (!queues.is_empty()).then(|| Rows::to_read(&LIVE_JOB)).flatten() {
        for found in queues.iter().map_while(|queue| walk_one(&rows, *queue, now - TAKEN_WITHIN)) {
            if found.jobs > 0 {
                wakes::job_made_ready(found.queue);
                woken += 1;
            }
            wakes::has_been_looked_at(found.queue, now, found.next_due.filter(|due| *due > now));
        }
    }
    Ok(Reply::success().field("queues_woken", woken))
}

/// The same by the statement.
fn by_statement(names: &[String], now: i64) -> Vec<Found> {
    let queues = Array::of_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    spi::connect(|connection| {
        let rows = connection.run(&LOOK, &[&queues, &Timestamptz::at(now)]);
        let found = |row: Row| Some(Found { queue: row.integer(1)?, jobs: row.bigint(3)?, next_due: row.bigint(4) });
        rows.iter().filter_map(found).collect()
    })
}

/// What a look has found.
struct Seen {
    ready: bool,
    next_due: Option<Duration>,
}

/// `wait_for_jobs`: ends when there may be work, or when the time is over.
pub fn wait(names: &[String], timeout: Duration) -> Result<(), Error> {
    let until = Instant::now() + timeout;
    let seat = Seat::take();
    let mut pause = FIRST_PAUSE;
    loop {
        // Else one whose client is gone would take a wake that another could use.
        process::end_without_client();
        if let Some(seat) = &seat {
            seat.before_look();
        }
        let seen = look(names)?;
        if seen.ready {
            if let Some(seat) = &seat {
                seat.found();
            }
            return Ok(());
        }
        let next = seat.as_ref().and_then(|seat| Some((seat, seat.found_nothing(xact::clock())?)));
        let is_over = match next {
            Some((_, Next::Look)) => false,
            Some((seat, Next::Sleep(due))) => sleep_until_woken(seat, due, until),
            None => {
                let is_over = sleep_through(pause.min(seen.next_due.unwrap_or(pause)), until);
                pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
                is_over
            }
        };
        if is_over {
            return Ok(());
        }
    }
}

/// Looks once, in a transaction that ends with the look.
fn look(names: &[String]) -> Result<Seen, Error> {
    spi::connect_and_commit(|connection| ask(connection, names))
}

/// What `ready_in` answers this session's role.
fn ask(connection: &Connection, names: &[String]) -> Result<Seen, Error> {
    let queues = Array::of_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let rows = connection.run(&ASK, &[&queues]);
    let reply = rows.first().and_then(|row| row.jsonb(1));
    diagnostics::check(reply)?;
    let mut seen = Seen { ready: false, next_due: None };
    for (key, value) in reply.into_iter().flat_map(jsonb::members) {
        match key.as_deref() {
            Some("ready") => seen.ready = value.boolean().unwrap_or_default(),
            Some("next_due_seconds") => {
                let seconds = value.scalar_text(64).and_then(|text| text.parse().ok());
                seen.next_due = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            }
            _ => {}
        }
    }
    Ok(seen)
}

/// Sleeps until somebody wakes us, a job becomes due, or it is time to look in any case; true where `until` has come
/// first.
fn sleep_until_woken(seat: &Seat, mut due: Option<i64>, until: Instant) -> bool {
    let to = |at: i64| Duration::from_micros(u64::try_from(at - xact::clock()).unwrap_or_default());
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let Some(rest) = seat.rests_until(xact::clock(), LONGEST) else { return false };
        latch::sleep(left.min(to(rest.min(due.unwrap_or(rest)))));
        // Asked whatever ended the sleep: the latch may have been set, and reset by somebody else, during the look.
        match seat.next(xact::clock()) {
            Next::Look => return false,
            Next::Sleep(next) => due = next,
        }
        // Whoever does not look must not grow old either: pg_stat_activity shows since when a transaction lasts.
        spi::connect_and_commit(|_| ());
    }
}

/// Sleeps for `pause`; true where `until` comes first.
fn sleep_through(pause: Duration, until: Instant) -> bool {
    latch::wait(pause.min(until.saturating_duration_since(Instant::now())));
    Instant::now() >= until
}
