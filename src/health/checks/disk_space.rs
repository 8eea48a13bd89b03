//! How full the disks are that the server writes to.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::datum::Array;
use crate::pg::disk;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "disk_space",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(90.0),
    fail: Some(95.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How full the fullest file system is that holds the data directory, pg_wal or a tablespace, as df tells it. \
            Without room for WAL the server stops.",
    advice: "Make room, or have the disk grow. What keeps WAL: see the checks archiver, inactive_slots and \
             replication_backlog. Never delete in pg_wal.",
    run: Run::Fast(measure),
};

static TABLESPACES: Statement = Statement::new(
    c"SELECT t.spcname::text, 'pg_tblspc/' OPERATOR(pg_catalog.||) t.oid::text
      FROM pg_catalog.pg_tablespace AS t
      WHERE t.spcname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_default', 'pg_global']::name[])
      ORDER BY t.spcname",
    &[],
);

// Where a place lies is not told: paths are not for everybody.
static ROW: Statement = Statement::new(
    c"WITH place AS MATERIALIZED (
          SELECT p.place, p.percent, p.free
          FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) AS p (place, percent, free)
      ), fullest AS (
          SELECT p.place, p.percent, p.free
          FROM place AS p
          WHERE p.percent IS NOT NULL
          ORDER BY p.percent DESC, p.place
          LIMIT 1
      )
      SELECT f.percent AS value,
             pg_catalog.format('The fullest file system is that of %s: %s percent, %s free.',
                 f.place, pg_catalog.round(f.percent::numeric, 1), pg_catalog.pg_size_pretty(f.free)) AS meaning,
             pg_catalog.format('Make room where %s lies; never delete in pg_wal.', f.place) AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('place', p.place,
                         'percent', pg_catalog.round(p.percent::numeric, 1), 'free_bytes', p.free)
                         ORDER BY p.percent DESC, p.place)
              FROM place AS p) AS subjects,
             (SELECT pg_catalog.format('the system does not tell the room of %s',
                         pg_catalog.string_agg(p.place, ', ' ORDER BY p.place))
              FROM place AS p
              WHERE p.percent IS NULL
              HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0) AS reason
      FROM (SELECT 1) AS one
      LEFT JOIN fullest AS f ON true",
    &[pg_sys::TEXTARRAYOID, pg_sys::FLOAT8ARRAYOID, pg_sys::INT8ARRAYOID],
);

/// Asks the system for the room of each place.
fn measure(connection: &Connection) -> Option<Measure> {
    let mut places = vec![("the data directory".to_owned(), String::new()), ("pg_wal".to_owned(), "pg_wal".to_owned())];
    let tablespaces = connection.run(&TABLESPACES, &[]);
    places.extend(tablespaces.iter().filter_map(|row| Some((format!("tablespace {}", row.text(1)?), row.text(2)?))));
    let rooms: Vec<_> = places.iter().map(|(_, path)| disk::room(path)).collect();
    let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
    Measure::of_answer(
        connection,
        &ROW,
        &[
            &Array::of_names(&names),
            &Array::of(rooms.iter().map(|room| room.map(|room| room.percent()))),
            &Array::of(rooms.iter().map(|room| room.map(|room| i64::try_from(room.free).unwrap_or(i64::MAX)))),
        ],
    )
}
