//! Settings that a crash makes one pay for.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::setting;
use crate::pg::spi::{Connection, Statement};

pub const CHECK: Check = Check {
    name: "durability",
    unit: "settings",
    direction: Direction::Above,
    warn: Some(1.0),
    fail: None,
    worst: Status::Warn,
    from_version: 15,
    on_standby: true,
    about: "How many of fsync and full_page_writes are off: then a crash of the machine can destroy the whole \
            cluster without a word.",
    advice: "Switch them on by the remedy and reload. A cluster that may be lost, such as one for tests, may have \
             the check muted.",
    run: Run::Fast(measure),
};

static ROW: Statement = Statement::new(
    c"WITH off AS MATERIALIZED (
          SELECT n.name
          FROM pg_catalog.unnest(ARRAY['fsync', 'full_page_writes']) AS n (name)
          WHERE pg_catalog.current_setting(n.name) OPERATOR(pg_catalog.=) 'off'
      )
      SELECT pg_catalog.count(*)::double precision AS value,
             pg_catalog.format('Off: %s. A crash of the machine can destroy the cluster.',
                 pg_catalog.string_agg(o.name, ', ' ORDER BY o.name)) AS meaning,
             pg_catalog.format('ALTER SYSTEM SET %s = on; -- then SELECT pg_reload_conf();', pg_catalog.min(o.name)) AS remedy,
             pg_catalog.jsonb_agg(o.name ORDER BY o.name) AS subjects
      FROM off AS o",
    &[],
);

fn measure(connection: &Connection) -> Option<Measure> {
    if setting::is_on(c"fsync") && setting::is_on(c"full_page_writes") {
        return Some(Measure::none("What is committed survives a crash of the machine."));
    }
    Measure::of_row(connection, &ROW)
}
