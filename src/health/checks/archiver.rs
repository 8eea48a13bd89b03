//! Whether WAL reaches its archive.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use crate::pg::{setting, xact};

pub const CHECK: Check = Check {
    name: "archiver",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "For how long nothing has been archived, where the last try failed. The server keeps all WAL until it \
            succeeds, and a backup is worth nothing without it.",
    advice: "Read in the server's log what archive_command said, and put that right: the server tries again by \
             itself.",
    run: Run::Fast(measure),
};

// A last success of long ago alone says nothing: an idle server has nothing to archive.
static ROW: Statement = Statement::new(
    c"WITH archiver AS MATERIALIZED (
          SELECT a.last_failed_wal, a.last_failed_time, a.last_archived_time, a.failed_count,
                 a.last_failed_time IS NOT NULL
                     AND (a.last_archived_time IS NULL
                         OR a.last_failed_time OPERATOR(pg_catalog.>) a.last_archived_time) AS fails,
                 EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)
                     GREATEST(a.last_archived_time, a.stats_reset, pg_catalog.pg_postmaster_start_time())
                 )::double precision AS seconds
          FROM pg_catalog.pg_stat_archiver AS a
      )
      SELECT CASE WHEN a.fails THEN GREATEST(0, a.seconds) ELSE 0 END AS value,
             CASE
                 WHEN a.fails THEN pg_catalog.format(
                     'Archiving %s failed; the last success was %s, and since the server''s start or a reset %s tries have failed.',
                     a.last_failed_wal,
                     COALESCE(pg_catalog.to_jsonb(a.last_archived_time) OPERATOR(pg_catalog.#>>) '{}', 'never'),
                     a.failed_count)
                 ELSE 'The last WAL to be archived has been archived.'
             END AS meaning,
             'SHOW archive_command; -- what it said is in the log of the server; the server tries again by itself' AS remedy,
             CASE WHEN a.fails THEN pg_catalog.jsonb_build_object('last_failed_wal', a.last_failed_wal,
                 'failed_count', a.failed_count) END AS subjects
      FROM archiver AS a",
    &[],
);

fn measure(connection: &Connection) -> Option<Measure> {
    let is_on = match setting::value(c"archive_mode").as_str() {
        "always" => true,
        mode => mode == "on" && !xact::in_recovery(),
    };
    if !is_on {
        return Some(Measure::inapplicable("this server archives no WAL"));
    }
    Measure::of_row(connection, &ROW)
}
