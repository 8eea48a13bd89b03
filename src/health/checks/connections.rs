//! How much of the server's connection slots is in use.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "connections",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(75.0),
    fail: Some(90.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How much of the server's connection slots is in use, of those that ordinary roles can have.",
    advice: "See who holds them in foreman.connection_health. End idle sessions, or put a pooler before the server.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

static ROW: Statement = Statement::new(
    c"SELECT p.utilization_percent AS value,
             pg_catalog.format('In use: %s of the %s connections that ordinary roles can have.', p.checked_out, p.size)
                 AS meaning,
             'See who holds them in foreman.connection_health. End idle sessions, or put a pooler before the server.'
                 AS remedy,
             pg_catalog.jsonb_build_object('size', p.size, 'checked_out', p.checked_out, 'overflow', p.overflow) AS subjects,
             p.hidden_because AS reason,
             p.reveal
      FROM foreman.connection_pool AS p",
    &[],
);
