//! Granting: a role gets what a level may do.

use crate::error::Error;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

/// The levels, as `foreman.access_levels` has them.
pub const LEVELS: [&str; 4] = ["producer", "worker", "monitor", "admin"];

static EXISTS: Statement = Statement::new(
    c"SELECT 1 FROM pg_catalog.pg_roles AS r WHERE r.rolname::text OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static GRANT: Statement = Statement::new(c"SELECT foreman.grant_level($1, $2)", &[pg_sys::TEXTOID, pg_sys::TEXTOID]);

/// `grant_access`.
pub fn grant(role: &str, level: &str) -> Result<Reply, Error> {
    spi::connect(|connection| {
        if connection.run(&EXISTS, &[&role]).first().is_none() {
            return Err(Error::NotFound { kind: "role", name: role.to_owned() });
        }
        let granted = connection.run(&GRANT, &[&role, &level]).first().and_then(|row| row.bigint(1));
        Ok(Reply::success().field("role", role).field("level", level).optional("granted", granted))
    })
}
