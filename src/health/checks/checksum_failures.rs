//! Pages that were not as they had been written.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::setting;
use crate::pg::spi::{Connection, Statement};

pub const CHECK: Check = Check {
    name: "checksum_failures",
    unit: "pages",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many pages with a wrong checksum have been read since the statistics were last reset. What the \
            disk gave back is not what was written.",
    advice: "Find the table with pg_amcheck or in the server's log, and restore it from a backup; suspect the \
             disk. What has been dealt with is acknowledged by a higher threshold: \
             foreman.configure_check('checksum_failures', warn => ...).",
    run: Run::Fast(measure),
};

static ROW: Statement = Statement::new(
    c"WITH database AS MATERIALIZED (
          SELECT COALESCE(d.datname::text, 'shared catalogs') AS database, d.checksum_failures AS failures,
                 d.checksum_last_failure AS last_at
          FROM pg_catalog.pg_stat_database AS d
          WHERE d.checksum_failures OPERATOR(pg_catalog.>) 0
      )
      SELECT COALESCE(pg_catalog.sum(d.failures), 0)::double precision AS value,
             CASE
                 WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0 THEN 'Every page that was read was as it had been written.'
                 ELSE pg_catalog.format('Pages with a wrong checksum have been read in %s, the last one %s.',
                     pg_catalog.string_agg(d.database, ', ' ORDER BY d.failures DESC, d.database),
                     pg_catalog.to_jsonb(pg_catalog.max(d.last_at)) OPERATOR(pg_catalog.#>>) '{}')
             END AS meaning,
             pg_catalog.format(
                 'SELECT foreman.configure_check(''checksum_failures'', warn => %s); -- once the page has been restored',
                 COALESCE(pg_catalog.sum(d.failures), 0) OPERATOR(pg_catalog.+) 1) AS remedy,
             pg_catalog.jsonb_agg(pg_catalog.to_jsonb(d) ORDER BY d.failures DESC, d.database) AS subjects
      FROM database AS d",
    &[],
);

fn measure(connection: &Connection) -> Option<Measure> {
    if !setting::is_on(c"data_checksums") {
        return Some(Measure::inapplicable("this cluster was made without checksums"));
    }
    Measure::of_row(connection, &ROW)
}
