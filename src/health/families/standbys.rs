//! Standbys, by how far behind they are.

use crate::health::check::Measure;
use crate::health::families::sessions::Sessions;
use crate::pg::spi::{Connection, Statement};
use crate::pg::xact;
use pgrx::pg_sys;

/// In what a standby's being behind is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Seconds,
    Bytes,
}

const NONE: &str = "no standby is connected";

static FURTHEST: Statement = Statement::new(
    c"WITH standby AS MATERIALIZED (
          SELECT r.standby, r.state, r.delay_seconds, r.behind_bytes, r.hidden_because, r.reveal,
                 CASE WHEN $1 THEN r.behind_bytes ELSE r.delay_seconds END AS much
          FROM foreman.replication AS r
      ), total AS (
          SELECT pg_catalog.count(*) AS standbys,
                 pg_catalog.max(s.much) AS most,
                 pg_catalog.min(s.hidden_because) AS reason,
                 pg_catalog.min(s.reveal) AS reveal
          FROM standby AS s
      ), worst AS (
          SELECT s.standby, s.delay_seconds, s.behind_bytes
          FROM standby AS s
          WHERE s.much IS NOT NULL
          ORDER BY s.much DESC, s.standby
          LIMIT 1
      )
      SELECT t.most::double precision AS value,
             CASE
                 WHEN t.standbys OPERATOR(pg_catalog.=) 0 THEN $2
                 WHEN t.reason IS NULL AND t.most IS NULL THEN 'this server restores from an archive: what it has not got yet can''t be told'
                 WHEN w.standby IS NOT NULL THEN pg_catalog.format('Furthest behind: %s, by %s and %s s.',
                     w.standby, pg_catalog.pg_size_pretty(w.behind_bytes::numeric),
                     COALESCE(pg_catalog.round(w.delay_seconds::numeric, 1)::text, '?'))
             END AS meaning,
             'SELECT standby, state, delay_seconds, behind_bytes FROM foreman.replication;' AS remedy,
             (SELECT pg_catalog.jsonb_agg(
                         pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-) ARRAY['hidden_because', 'reveal', 'much']
                         ORDER BY s.much DESC, s.standby)
              FROM standby AS s) AS subjects,
             t.reason,
             t.reveal
      FROM total AS t
      LEFT JOIN worst AS w ON true",
    &[pg_sys::BOOLOID, pg_sys::TEXTOID],
);

/// The one that is furthest behind.
pub fn furthest(sessions: &Sessions, connection: &Connection, by: By) -> Option<Measure> {
    // As on most servers; in a new session the statement takes 6 ms to plan.
    if !sessions.may_feed_standbys() && !xact::in_recovery() {
        return Some(Measure::inapplicable(NONE));
    }
    Measure::of_answer(connection, &FURTHEST, &[&(by == By::Bytes), &NONE])
}
