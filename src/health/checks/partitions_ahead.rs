//! Whether days to come have their partition.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;

pub const CHECK: Check = Check {
    name: "partitions_ahead",
    unit: "days",
    direction: Direction::Below,
    warn: Some(3.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many days after today have a partition for the jobs that end then. Upkeep makes them a week ahead. Where it \
            never ran, the days that jobs which ended have been waiting for it count against that week.",
    advice: "Have upkeep run: preload the library, or call foreman.maintain() every minute, and read foreman.worker_status \
             for its errors. Without partitions no job is lost, but nothing is deleted when its time is over.",
    run: Run::Fast(measure),
};

static LAST: Statement = Statement::new(c"SELECT p.last_day FROM foreman.partition_outlook AS p", &[]);

static WAITING: Statement = Statement::by_index(c"SELECT p.waiting_since FROM foreman.partition_wait AS p", &[]);

/// Days that have a partition, of those to come.
fn measure(connection: &Connection) -> Option<Measure> {
    /// Microseconds in a day.
    const DAY: i64 = 86_400_000_000;
    /// How many upkeep makes.
    const AHEAD: f64 = 7.0;
    let now = xact::clock();
    let (value, meaning) = match connection.run(&LAST, &[]).first().and_then(|row| row.integer(1)) {
        Some(day) => {
            let ahead = i64::from(day) - now.div_euclid(DAY);
            (ahead as f64, format!("Days after today that have a partition: {ahead}."))
        }
        None => match connection.run(&WAITING, &[]).first().and_then(|row| row.time(1)) {
            None => (AHEAD, "No job has ended yet that needs a partition.".to_owned()),
            Some(since) => (
                AHEAD - (now - since.microseconds()) as f64 / DAY as f64,
                format!(
                    "Upkeep has made no partition; jobs that ended have been waiting for it since {}.",
                    since.to_json()
                ),
            ),
        },
    };
    Some(Measure {
        value: Some(value.max(0.0)),
        meaning: Some(meaning),
        remedy: Some("SELECT foreman.maintain();".to_owned()),
        ..Measure::default()
    })
}
