//! Whether the background worker does its rounds.

use crate::guc;
use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use crate::pg::{process, xact};
use crate::shared::workers;

pub const CHECK: Check = Check {
    name: "background_worker",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(300.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: false,
    about: "By how much the background worker is late in this database, where it comes every foreman.upkeep_interval. Before \
            its first visit: for how long there has been a queue.",
    advice: "Read foreman.worker_status for errors, and the server's log; see that max_worker_processes leaves room for it.",
    run: Run::Fast(measure),
};

static WAITING: Statement = Statement::new(
    c"SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)
                 GREATEST(pg_catalog.pg_postmaster_start_time(), pg_catalog.min(q.created_at)))::double precision
      FROM foreman.queues AS q
      HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0",
    &[],
);

/// Compares the time of the next visit with now.
fn measure(connection: &Connection) -> Option<Measure> {
    if !workers::is_possible() || guc::max_workers() == 0 {
        let meaning = Some("there is no background worker: it takes preloading and foreman.max_workers".to_owned());
        return Some(Measure { meaning, ..Measure::default() });
    }
    let here = process::database();
    let seconds = |from: i64| (xact::clock() - from).max(0) as f64 / 1e6;
    let last = workers::reports().into_iter().filter(|report| report.database == here).max_by_key(|report| report.last_at);
    let (late, meaning) = match last {
        Some(report) => {
            // The launcher says when the next one is to be, and may be what has died before it could.
            let due = report.next_visit.max(report.last_at + guc::upkeep_interval().as_micros() as i64);
            (seconds(due), format!("The background worker was here {:.1} s ago.", seconds(report.last_at)))
        }
        None => {
            let waiting = connection.run(&WAITING, &[]).first().and_then(|row| row.double(1));
            (waiting.unwrap_or(0.0), "The background worker has not been here yet.".to_owned())
        }
    };
    Some(Measure {
        value: Some(late),
        meaning: Some(meaning),
        remedy: Some("SELECT * FROM foreman.worker_status WHERE errors > 0;".to_owned()),
        ..Measure::default()
    })
}
