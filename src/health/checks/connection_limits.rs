//! Limits that a database or a role has for its connections.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;

pub const CHECK: Check = Check {
    name: "connection_limits",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(75.0),
    fail: Some(90.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How much is in use of the connection limit of a database or a role (CONNECTION LIMIT), where one has a limit: of \
            the one that is fullest.",
    advice: "Raise the limit by ALTER DATABASE or ALTER ROLE, or see in foreman.connection_health what its sessions do.",
    run: Run::Fast(measure),
};

const NONE: &str = "No database and no role with a limit has a connection.";

// Where there is no limit, as on most servers, the statement below need not be planned: in a new session that takes 5 ms.
static ANY: Statement = Statement::new(
    c"SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.datconnlimit OPERATOR(pg_catalog.>) 0)
          OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                     WHERE r.rolconnlimit OPERATOR(pg_catalog.>) 0 AND NOT r.rolsuper)",
    &[],
);

// Whose session it is in which database is shown to every role, and nothing else of one that is hidden. Superusers are not
// counted against limits; a database with the limit -2 is a half-dropped one.
static ROW: Statement = Statement::new(
    c"WITH used AS MATERIALIZED (
          SELECT a.datid, a.usesysid, pg_catalog.count(*) AS sessions
          FROM pg_catalog.pg_stat_activity AS a
          WHERE a.datid IS NOT NULL
            AND a.usesysid IS NOT NULL
            AND (a.backend_start IS NULL OR a.backend_type OPERATOR(pg_catalog.=) 'client backend')
          GROUP BY a.datid, a.usesysid
      ), limited AS MATERIALIZED (
          SELECT 'database' AS kind, d.datname::pg_catalog.text AS name, d.datconnlimit AS size,
                 pg_catalog.sum(u.sessions)::bigint AS used
          FROM pg_catalog.pg_database AS d
          JOIN used AS u ON u.datid OPERATOR(pg_catalog.=) d.oid
          JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) u.usesysid AND NOT r.rolsuper
          WHERE d.datconnlimit OPERATOR(pg_catalog.>) 0
          GROUP BY d.datname, d.datconnlimit
          UNION ALL
          SELECT 'role', r.rolname::pg_catalog.text, r.rolconnlimit, pg_catalog.sum(u.sessions)::bigint
          FROM pg_catalog.pg_roles AS r
          JOIN used AS u ON u.usesysid OPERATOR(pg_catalog.=) r.oid
          WHERE r.rolconnlimit OPERATOR(pg_catalog.>) 0
            AND NOT r.rolsuper
          GROUP BY r.rolname, r.rolconnlimit
      ), fullest AS (
          SELECT l.kind, l.name, l.size, l.used,
                 100.0::double precision OPERATOR(pg_catalog.*) l.used OPERATOR(pg_catalog./) l.size AS percent
          FROM limited AS l
          ORDER BY percent DESC, l.kind, l.name
          LIMIT 10
      ), worst AS (
          SELECT f.kind, f.name, f.size, f.used, f.percent
          FROM fullest AS f
          ORDER BY f.percent DESC, f.kind, f.name LIMIT 1
      )
      SELECT COALESCE(w.percent, 0) AS value,
             CASE
                 WHEN w.name IS NULL THEN $1
                 ELSE pg_catalog.format('The %s %I has %s of the %s connections that it may have.', w.kind, w.name, w.used, w.size)
             END AS meaning,
             CASE WHEN w.name IS NOT NULL THEN pg_catalog.format(
                 'ALTER %s %I CONNECTION LIMIT %s; -- takes its owner, or CREATEROLE', pg_catalog.upper(w.kind), w.name,
                 w.size OPERATOR(pg_catalog.*) 2) END AS remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) OPERATOR(pg_catalog.-) 'percent'
                         ORDER BY f.percent DESC, f.kind, f.name) FROM fullest AS f) AS subjects
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[pg_sys::TEXTOID],
);

/// The limit that is nearest.
fn measure(connection: &Connection) -> Option<Measure> {
    if connection.run(&ANY, &[]).first().is_some_and(|row| row.boolean(1)) {
        return Measure::of_answer(connection, &ROW, &[&NONE]);
    }
    Some(Measure { value: Some(0.0), meaning: Some(NONE.to_owned()), ..Measure::default() })
}
