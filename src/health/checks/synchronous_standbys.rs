//! Standbys that every COMMIT waits for.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::setting;
use crate::pg::spi::{Connection, Statement};

pub const CHECK: Check = Check {
    name: "synchronous_standbys",
    unit: "standbys",
    direction: Direction::Above,
    warn: None,
    fail: Some(0.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: false,
    about: "How many of the standbys that synchronous_standby_names wants are not there. For as long as one is missing every \
            COMMIT waits, unless its synchronous_commit is off or local.",
    advice: "Bring the standby back. Where that takes too long, have commits go on without it by the remedy; a failover may \
             then lose what was committed meanwhile.",
    run: Run::Fast(measure),
};

// A list without a number wants one of those that it names. The server shows the state of senders to pg_monitor alone.
static ROW: Statement = Statement::new(
    c"WITH wanted AS MATERIALIZED (
          SELECT COALESCE((pg_catalog.regexp_match(pg_catalog.current_setting('synchronous_standby_names'),
                     '^\\s*(?:(?:first|any)\\s+)?([0-9]+)\\s*\\(', 'i'))[1]::integer, 1) AS number
      ), there AS (
          SELECT pg_catalog.count(*) FILTER (WHERE s.sync_state OPERATOR(pg_catalog.=) ANY (ARRAY['sync', 'quorum'])) AS number,
                 pg_catalog.bool_or(s.sync_state IS NULL) AS is_hidden
          FROM pg_catalog.pg_stat_get_wal_senders() AS s
      )
      SELECT CASE WHEN t.is_hidden IS NOT TRUE
                 THEN GREATEST(0, w.number OPERATOR(pg_catalog.-) t.number)::double precision END AS value,
             CASE
                 WHEN t.number OPERATOR(pg_catalog.>=) w.number
                     THEN pg_catalog.format('All standbys that commits wait for are there: %s.', w.number)
                 WHEN t.is_hidden IS NOT TRUE THEN pg_catalog.format(
                     'Of the standbys that commits wait for (synchronous_standby_names: %s) %s are there, of %s that are wanted: commits wait until the others come.',
                     pg_catalog.current_setting('synchronous_standby_names'), t.number, w.number)
             END AS meaning,
             'ALTER SYSTEM SET synchronous_standby_names = ''''; -- then SELECT pg_reload_conf(); a failover may lose what is committed from then on'
                 AS remedy,
             NULL::pg_catalog.jsonb AS subjects,
             CASE WHEN t.is_hidden
                 THEN pg_catalog.format('role %I may not see the replication of other roles', CURRENT_USER) END AS reason,
             CASE WHEN t.is_hidden THEN pg_catalog.format('GRANT pg_monitor TO %I;', CURRENT_USER) END AS reveal
      FROM wanted AS w
      CROSS JOIN there AS t",
    &[],
);

fn measure(connection: &Connection) -> Option<Measure> {
    if setting::value(c"synchronous_standby_names").is_empty() {
        return Some(Measure::none("No commit waits for a standby."));
    }
    Measure::of_row(connection, &ROW)
}
