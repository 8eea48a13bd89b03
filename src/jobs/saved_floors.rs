//! Floors that outlive the server's memory. After a crash a claim would walk through all dead entries once, which are
//! millions where something keeps vacuum from its work; so where there are many, upkeep writes down where the floors begin.

use super::live::LIVE_JOB;
use crate::error::Error;
use crate::pg::datum::{Array, Timestamptz};
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use crate::shared::floor::Position;
use crate::shared::floors::{self, Lowest};
use pgrx::pg_sys;

// A row is changed no oftener than is of use: each change leaves a dead one.
static SAVE: Statement = Statement::new(
    c"WITH floor AS (
          SELECT f.queue_id, f.priority::smallint AS priority, f.ready_at
          FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))
              AS f (queue_id, priority, ready_at)
      ), gone AS (
          DELETE FROM foreman.saved_floor AS s
          WHERE s.queue_id OPERATOR(pg_catalog.=) ANY ($4)
            AND NOT EXISTS (SELECT FROM floor AS f WHERE f.queue_id OPERATOR(pg_catalog.=) s.queue_id
                            AND f.priority OPERATOR(pg_catalog.=) s.priority)
      ), saved AS (
          INSERT INTO foreman.saved_floor AS s (queue_id, priority, ready_at)
          SELECT f.queue_id, f.priority, f.ready_at FROM floor AS f
          ON CONFLICT ON CONSTRAINT saved_floor_is_one_of_a_priority DO UPDATE SET ready_at = excluded.ready_at
          WHERE excluded.ready_at OPERATOR(pg_catalog.<) s.ready_at
             OR excluded.ready_at OPERATOR(pg_catalog.>) (s.ready_at OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => 10))
          RETURNING 1
      )
      SELECT pg_catalog.count(*) FROM saved",
    &[pg_sys::INT4ARRAYOID, pg_sys::INT4ARRAYOID, pg_sys::TIMESTAMPTZARRAYOID, pg_sys::INT4ARRAYOID],
);

static OF_QUEUE: Statement = Statement::by_index(
    c"SELECT s.priority::integer, s.ready_at FROM foreman.saved_floor AS s WHERE s.queue_id OPERATOR(pg_catalog.=) $1",
    &[pg_sys::INT4OID],
);

/// Writes down the floors that are worth it, and removes those that no longer are. Those of a queue of which nothing is
/// known yet stay: its first claim is to come.
pub fn save() -> Result<Reply, Error> {
    let all = floors::lowest(LIVE_JOB.oid());
    let of_queue = |lowest: &Lowest| {
        let (queue, places) = (lowest.queue, lowest.places);
        let known = places.into_iter().enumerate().filter(|(_, place)| *place > Position::FIRST);
        known.map(move |(priority, place)| (queue, priority as i32, Timestamptz::at(place.at)))
    };
    let floors: Vec<_> = all.iter().filter(|lowest| lowest.is_worth_saving).flat_map(of_queue).collect();
    let queues = Array::of(floors.iter().map(|(queue, ..)| Some(*queue)));
    let priorities = Array::of(floors.iter().map(|(_, priority, _)| Some(*priority)));
    let places = Array::of(floors.iter().map(|(.., place)| Some(*place)));
    let seen = Array::of(all.iter().map(|lowest| Some(lowest.queue)));
    let saved = spi::connect(|connection| {
        let rows = connection.run(&SAVE, &[&queues, &priorities, &places, &seen]);
        rows.first().and_then(|row| row.bigint(1)).unwrap_or_default()
    });
    Ok(Reply::success().field("floors_saved", saved))
}

/// What was saved of a queue: its priorities, and where the floors began.
pub fn of(queue: i32) -> Vec<(usize, i64)> {
    spi::connect(|connection| {
        let rows = connection.run(&OF_QUEUE, &[&queue]);
        rows.iter().filter_map(|row| Some((usize::try_from(row.integer(1)?).ok()?, row.bigint(2)?))).collect()
    })
}
