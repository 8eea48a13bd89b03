//! Steps of views and of upkeep: the figures of jobs, as tables. Without the guard: their errors are their callers'.

use crate::jobs::figures::{self, Ended, Live, Reader, Small, Source, Uncounted};
use pgrx::datum::{Date, TimestampWithTimeZone};
use pgrx::prelude::*;

/// A moment in microseconds since 2000-01-01 UTC, as SQL has it.
fn time(at: i64) -> TimestampWithTimeZone {
    TimestampWithTimeZone::try_from(at).unwrap_or_else(|_| TimestampWithTimeZone::positive_infinity())
}

/// The same the other way round.
fn moment(at: Option<TimestampWithTimeZone>) -> Option<i64> {
    at.map(pg_sys::TimestampTz::from)
}

/// The partitions of finished jobs, and whether their day is over and counted.
#[pg_extern(schema = "foreman", stable, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn finished_days() -> TableIterator<
    'static,
    (name!(day, Option<Date>), name!(partition_name, String), name!(partition, pg_sys::Oid), name!(is_counted, bool)),
> {
    let reader = Reader::default();
    let days: Vec<_> = reader
        .days()
        .iter()
        .map(|day| (Date::try_from(day.day.0).ok(), day.name.clone(), day.partition.into(), day.is_counted()))
        .collect();
    TableIterator::new(days)
}

/// Whether live jobs, and those that ended on days that are not counted, are few enough to be counted by who asks.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn are_small() -> TableIterator<'static, (name!(live, bool), name!(ended, bool))> {
    let Small { live, ended } = Reader::default().small();
    TableIterator::once((live, ended))
}

/// Where the figures come from, a roll-up or (NULL) a count, and the moments that they are of.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn figure_source() -> TableIterator<
    'static,
    (
        name!(live_roll_up, Option<i64>),
        name!(ended_roll_up, Option<i64>),
        name!(live_as_of, TimestampWithTimeZone),
        name!(as_of, TimestampWithTimeZone),
    ),
> {
    let Source { live_roll_up, ended_roll_up, live_as_of, as_of } = Reader::default().source();
    TableIterator::once((live_roll_up, ended_roll_up, time(live_as_of), time(as_of)))
}

/// Whether live jobs would have to be counted, and are many: upkeep has not counted them for an hour.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn live_take_long(of_roll_up: Option<i64>) -> bool {
    figures::live_take_long(of_roll_up)
}

/// The same of jobs that have ended.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn ended_take_long(of_roll_up: Option<i64>) -> bool {
    Reader::default().ended_take_long(of_roll_up)
}

/// The live jobs of each queue as they were rolled up, or as they are now (NULL).
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn live_figures(
    of_roll_up: Option<i64>,
) -> TableIterator<
    'static,
    (
        name!(queue_id, i32),
        name!(pending, i64),
        name!(scheduled, i64),
        name!(running, i64),
        name!(oldest_ready_at, Option<TimestampWithTimeZone>),
    ),
> {
    let row = |(queue, live): (i32, Live)| {
        (queue, live.pending, live.scheduled, live.running, live.oldest_ready_at.map(time))
    };
    TableIterator::new(figures::live(of_roll_up).into_iter().map(row))
}

/// The jobs that have ended on days that are not counted yet by quarters of an hour, counted now.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn uncounted_figures() -> TableIterator<
    'static,
    (name!(queue_id, i32), name!(status, &'static str), name!(ended_from, TimestampWithTimeZone), name!(jobs, i64)),
> {
    let row = |Uncounted { ended, from }: Uncounted| (ended.queue, ended.status.name(), time(from), ended.jobs);
    TableIterator::new(Reader::default().uncounted(None).into_iter().map(row))
}

/// The jobs that have ended on days that are over and counted; several rows of each queue and state.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn counted_figures() -> TableIterator<'static, (name!(queue_id, i32), name!(status, &'static str), name!(jobs, i64))> {
    let row = |(queue, status, jobs): (i32, crate::jobs::status::Status, i64)| (queue, status.name(), jobs);
    TableIterator::new(Reader::default().counted(None).into_iter().map(row))
}

/// The jobs of each queue that have ended ever, and those since then (NULL: all), as they were rolled up or as they are now;
/// several rows of each.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn ended_figures(
    of_roll_up: Option<i64>,
    since: Option<TimestampWithTimeZone>,
) -> TableIterator<'static, (name!(queue_id, i32), name!(status, &'static str), name!(jobs, i64), name!(jobs_since, i64))>
{
    let row = |ended: Ended| (ended.queue, ended.status.name(), ended.jobs, ended.since);
    TableIterator::new(Reader::default().ended(of_roll_up, moment(since)).into_iter().map(row))
}

/// From which moment on jobs can be counted that have ended since this one: it, or the beginning of its hour or quarter.
#[pg_extern(schema = "foreman", stable, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn figures_since(at: Option<TimestampWithTimeZone>, of_roll_up: Option<i64>) -> Option<TimestampWithTimeZone> {
    Some(time(Reader::default().since(moment(at)?, of_roll_up)))
}
