//! Whether days to come have their partition.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

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
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"SELECT GREATEST(0, COALESCE(
                 p.days_ahead,
                 7 OPERATOR(pg_catalog.-) (COALESCE(EXTRACT(epoch FROM
                     pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.waiting_since), 0) OPERATOR(pg_catalog./) 86400)
             ))::double precision AS value,
             CASE
                 WHEN p.days_ahead IS NOT NULL
                     THEN pg_catalog.format('Days after today that have a partition: %s.', p.days_ahead)
                 WHEN p.waiting_since IS NULL THEN 'No job has ended yet that needs a partition.'
                 ELSE pg_catalog.format('Upkeep has made no partition; jobs that ended have been waiting for it since %s.',
                     pg_catalog.to_jsonb(p.waiting_since) OPERATOR(pg_catalog.#>>) '{}')
             END AS meaning,
             'SELECT foreman.maintain();' AS remedy
      FROM foreman.partition_outlook AS p",
    &[],
);
