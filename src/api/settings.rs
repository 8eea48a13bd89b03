//! Settings: set, get, list, delete.

use crate::arguments;
use crate::error::Error;
use crate::guard;
use crate::guard::function::Function;
use crate::pg::datum::{Jsonb, Text};
use crate::pg::jsonb;
use crate::settings::{self, Wanted};
use pgrx::prelude::*;

/// Sets a setting and answers its new version.
///
/// - `key`: 1 to 200 characters. `value`: any JSON up to `foreman.max_payload_bytes`. `description`: up to 64 kB;
///   NULL keeps the present one.
/// - `expected_version`: the version that the caller saw, 0 for a setting that is not there yet; NULL sets it
///   whatever the version is.
/// - Replies: `success` with `key` and `version`.
/// - Errors: `INVALID_PARAMS`, `VERSION_CONFLICT` (carries the present `version` and `value`), `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn set_setting(
    key: Option<Text>,
    value: Option<Jsonb>,
    description: default!(Option<Text>, "NULL"),
    expected_version: default!(Option<i32>, "NULL"),
) -> Jsonb {
    guard::run(Function::SetSetting, || {
        let value = arguments::json("value", value)?;
        settings::set(&wanted(key, value, description, expected_version)?)
    })
}

/// Sets a setting to plain text: `set_setting` with a JSON string.
///
/// - Arguments, replies and errors: as for `set_setting`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn set_setting_text(
    key: Option<Text>,
    value: Option<Text>,
    description: default!(Option<Text>, "NULL"),
    expected_version: default!(Option<i32>, "NULL"),
) -> Jsonb {
    guard::run(Function::SetSettingText, || {
        let value = value.ok_or_else(|| Error::invalid("value", "NULL", "text (for nothing: '')"))?;
        let value = arguments::sized_json("value".into(), jsonb::of_text(value))?;
        settings::set(&wanted(key, value, description, expected_version)?)
    })
}

/// Answers a setting.
///
/// - `default_value`: answered where there is no such setting; NULL makes that an error.
/// - Replies: `success` with `key`, `value`, `version`, `found` and, where it was found, `description`,
///   `updated_at`, `updated_by`.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn get_setting(key: Option<Text>, default_value: default!(Option<Jsonb>, "NULL")) -> Jsonb {
    guard::run(Function::GetSetting, || settings::get(&arguments::name("key", key)?, default_value))
}

/// Lists settings in the order of their keys.
///
/// - `prefix`: only keys that begin with it; NULL is all. `page_size`: 1 to 100. `cursor`: the `next_cursor` of the
///   page before, asked for with the same prefix.
/// - Replies: `success` with `settings` and, where more follow, `next_cursor`.
/// - Errors: `INVALID_PARAMS`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn list_settings(
    prefix: default!(Option<Text>, "NULL"),
    page_size: default!(Option<i32>, 20),
    cursor: default!(Option<Text>, "NULL"),
) -> Jsonb {
    guard::run(Function::ListSettings, || {
        let prefix = arguments::optional_name("prefix", prefix)?;
        let size = arguments::page_size(page_size)?;
        settings::page(prefix.as_deref(), size, arguments::cursor(cursor).as_deref())
    })
}

/// Deletes a setting; its history stays.
///
/// - Replies: `success` with `key`, `deleted` and the version that the deletion has in the history.
/// - Errors: `INVALID_PARAMS`, `NOT_FOUND`, `READ_ONLY`.
#[pg_extern(schema = "foreman", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn delete_setting(key: Option<Text>) -> Jsonb {
    guard::run(Function::DeleteSetting, || settings::delete(&arguments::name("key", key)?))
}

/// The setting that these arguments ask for.
fn wanted(
    key: Option<Text>,
    value: Jsonb,
    description: Option<Text>,
    expected_version: Option<i32>,
) -> Result<Wanted, Error> {
    let most = i64::from(i32::MAX);
    let expected = expected_version.map(|n| arguments::within("expected_version", Some(n.into()), 0..=most));
    Ok(Wanted {
        key: arguments::name("key", key)?,
        value,
        description: arguments::text("description", description)?,
        expected_version: expected.transpose()?.map(|n| n as i32),
    })
}
