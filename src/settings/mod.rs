//! Settings: a value by key, with a version that each change counts up, and a history of the changes.

use crate::cursor;
use crate::error::Error;
use crate::pg::datum::{Jsonb, Text};
use crate::pg::spi::{self, Connection, Statement};
use crate::reply::Reply;
use pgrx::pg_sys;

// The version goes on from the history, so that a key that was deleted and made again never repeats one.
static SET: Statement = Statement::new(
    c"INSERT INTO foreman.setting AS s (key, value, description, version, updated_at, updated_by)
      SELECT $1, $2, $3,
             COALESCE((SELECT pg_catalog.max(h.version) FROM foreman.setting_history AS h
                       WHERE h.key OPERATOR(pg_catalog.=) $1), 0) OPERATOR(pg_catalog.+) 1,
             pg_catalog.clock_timestamp(), SESSION_USER
      ON CONFLICT ON CONSTRAINT setting_key_is_unique DO UPDATE
      SET value = EXCLUDED.value, description = COALESCE(EXCLUDED.description, s.description),
          version = s.version OPERATOR(pg_catalog.+) 1, updated_at = EXCLUDED.updated_at,
          updated_by = EXCLUDED.updated_by
      WHERE $4 IS NULL OR s.version OPERATOR(pg_catalog.=) $4
      RETURNING s.version",
    &[pg_sys::TEXTOID, pg_sys::JSONBOID, pg_sys::TEXTOID, pg_sys::INT4OID],
);

static REMEMBER: Statement = Statement::new(
    c"INSERT INTO foreman.setting_history (key, version, value, description, changed_at, changed_by)
      SELECT s.key, s.version, s.value, s.description, s.updated_at, s.updated_by
      FROM foreman.setting AS s WHERE s.key OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static PRESENT: Statement = Statement::new(
    c"SELECT s.version, pg_catalog.jsonb_build_object('value', s.value)
      FROM foreman.setting AS s WHERE s.key OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static GET: Statement = Statement::new(
    c"SELECT pg_catalog.to_jsonb(s) FROM foreman.setting AS s WHERE s.key OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static DELETE: Statement = Statement::new(
    c"WITH gone AS (
          DELETE FROM foreman.setting AS s WHERE s.key OPERATOR(pg_catalog.=) $1 RETURNING s.key, s.version
      )
      INSERT INTO foreman.setting_history (key, version, value, description, changed_at, changed_by)
      SELECT g.key, g.version OPERATOR(pg_catalog.+) 1, NULL, NULL, pg_catalog.clock_timestamp(), SESSION_USER
      FROM gone AS g
      RETURNING version",
    &[pg_sys::TEXTOID],
);

static PAGE: Statement = Statement::planned_each_time(
    c"SELECT pg_catalog.jsonb_build_object('settings', COALESCE(
                 pg_catalog.jsonb_agg(p.document ORDER BY p.key)
                     FILTER (WHERE p.place OPERATOR(pg_catalog.<=) $3), '[]'::jsonb)),
             pg_catalog.max(p.key) FILTER (WHERE p.place OPERATOR(pg_catalog.<=) $3),
             pg_catalog.count(*) OPERATOR(pg_catalog.>) $3
      FROM (
          SELECT s.key, pg_catalog.to_jsonb(s) AS document,
                 pg_catalog.row_number() OVER (ORDER BY s.key) AS place
          FROM foreman.setting AS s
          WHERE ($1 IS NULL OR pg_catalog.starts_with(s.key, $1))
            AND s.key OPERATOR(pg_catalog.>) COALESCE($2, '')
          ORDER BY s.key
          LIMIT $3 OPERATOR(pg_catalog.+) 1
      ) AS p",
    &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
);

/// A setting as somebody wants it.
pub struct Wanted {
    pub key: String,
    pub value: Jsonb,
    pub description: Option<Text>,
    /// The version that the caller saw; 0 for "not there yet".
    pub expected_version: Option<i32>,
}

/// `set_setting`, `set_setting_text`.
pub fn set(wanted: &Wanted) -> Result<Reply, Error> {
    let key = wanted.key.as_str();
    spi::connect(|connection| {
        if wanted.expected_version.is_some_and(|expected| expected > 0) && present(connection, key).is_none() {
            return Err(conflict(connection, wanted));
        }
        let rows = connection.run(&SET, &[&key, &wanted.value, &wanted.description, &wanted.expected_version]);
        let Some(version) = rows.first().and_then(|row| row.integer(1)) else {
            return Err(conflict(connection, wanted));
        };
        connection.run(&REMEMBER, &[&key]);
        Ok(Reply::success().field("key", key).field("version", version))
    })
}

/// The present version of a setting and an object with its value.
fn present(connection: &Connection, key: &str) -> Option<(i32, Option<Jsonb>)> {
    let rows = connection.run(&PRESENT, &[&key]);
    let row = rows.first()?;
    Some((row.integer(1)?, row.jsonb(2)))
}

/// The error of a version that is not the expected one. A setting that is not there has version 0.
fn conflict(connection: &Connection, wanted: &Wanted) -> Error {
    let (version, value) = present(connection, &wanted.key).unwrap_or_default();
    Error::VersionConflict {
        key: wanted.key.clone(),
        expected: wanted.expected_version.unwrap_or_default(),
        version,
        value,
    }
}

/// `get_setting`: the setting, or the default where there is one.
pub fn get(key: &str, default: Option<Jsonb>) -> Result<Reply, Error> {
    let found = spi::connect(|connection| connection.run(&GET, &[&key]).first().and_then(|row| row.jsonb(1)));
    let reply = |found: bool| Reply::success().field("found", found);
    match (found, default) {
        (Some(setting), _) => Ok(reply(true).merge(setting)),
        (None, Some(value)) => Ok(reply(false).field("key", key).field("version", 0).document("value", value)),
        (None, None) => Err(Error::NotFound { kind: "setting", name: key.to_owned() }),
    }
}

/// `delete_setting`.
pub fn delete(key: &str) -> Result<Reply, Error> {
    let version = spi::connect(|connection| connection.run(&DELETE, &[&key]).first().and_then(|row| row.integer(1)));
    match version {
        Some(version) => Ok(Reply::success().field("key", key).field("deleted", true).field("version", version)),
        None => Err(Error::NotFound { kind: "setting", name: key.to_owned() }),
    }
}

/// `list_settings`, in the order of their keys' bytes.
pub fn page(prefix: Option<&str>, size: i64, after: Option<&str>) -> Result<Reply, Error> {
    let query = [Some("settings"), prefix];
    let after = after.map(|after| cursor::open(after, &query)).transpose()?;
    spi::connect(|connection| {
        let rows = connection.run(&PAGE, &[&prefix, &after.as_deref(), &size]);
        let row = rows.first();
        let last = row.as_ref().filter(|row| row.boolean(3)).and_then(|row| row.text(2));
        let next = last.map(|key| cursor::seal(&key, &query));
        let reply = Reply::success().optional("next_cursor", next.as_deref());
        Ok(match row.and_then(|row| row.jsonb(1)) {
            Some(settings) => reply.merge(settings),
            None => reply,
        })
    })
}
