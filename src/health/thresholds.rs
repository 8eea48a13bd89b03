//! What checks are measured against: what they come with, and what an administrator has configured.

use super::check::{Check, Status};
use super::checks::CHECKS;
use super::number;
use crate::error::Error;
use crate::pg::datum::{Text, Timestamptz};
use crate::pg::document::Member;
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;
use std::collections::HashMap;

static CONFIGURED: Statement = Statement::new(
    c"SELECT t.name, t.warn, t.fail, t.enabled, t.muted_until, t.note FROM foreman.health_threshold AS t",
    &[],
);

// What is NULL stays as it is.
static CONFIGURE: Statement = Statement::new(
    c"INSERT INTO foreman.health_threshold AS t
          (name, warn, fail, enabled, muted_until, note, updated_at, updated_by)
      VALUES ($1, $2, $3, COALESCE($4, true), $5, $6, pg_catalog.clock_timestamp(), SESSION_USER)
      ON CONFLICT ON CONSTRAINT health_threshold_name_is_unique DO UPDATE
      SET warn = COALESCE($2, t.warn), fail = COALESCE($3, t.fail), enabled = COALESCE($4, t.enabled),
          muted_until = COALESCE($5, t.muted_until), note = COALESCE($6, t.note), updated_at = EXCLUDED.updated_at,
          updated_by = EXCLUDED.updated_by",
    &[pg_sys::TEXTOID, pg_sys::FLOAT8OID, pg_sys::FLOAT8OID, pg_sys::BOOLOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID],
);

static FORGET: Statement = Statement::new(
    c"DELETE FROM foreman.health_threshold AS t WHERE t.name OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

/// What was configured, by the name of the check.
pub type Configured = HashMap<String, Configuration>;

/// What was configured of one check; what is `None` is as it comes.
pub struct Configuration {
    warn: Option<f64>,
    fail: Option<f64>,
    enabled: bool,
    muted: bool,
    muted_until: Option<String>,
    note: Option<String>,
}

/// What is in force for a check.
pub struct Thresholds {
    pub warn: Option<f64>,
    pub fail: Option<f64>,
    pub enabled: bool,
    /// It is shown, and raises no alarm.
    pub muted: bool,
    muted_until: Option<String>,
    pub note: Option<String>,
    /// Whether a threshold is other than it came.
    is_configured: bool,
}

/// What `configure_check` is asked to change; `None` stays as it is.
pub struct Wanted {
    pub warn: Option<f64>,
    pub fail: Option<f64>,
    pub enabled: Option<bool>,
    pub muted_until: Option<Timestamptz>,
    pub note: Option<Text>,
    /// Forgets first what was configured before.
    pub reset: bool,
}

/// What was configured of all checks.
pub fn configured() -> Configured {
    let now = xact::clock();
    let read = |row: Row<'_>| {
        let muted_until = row.time(5);
        let configuration = Configuration {
            warn: row.double(2),
            fail: row.double(3),
            enabled: row.boolean(4),
            muted: muted_until.is_some_and(|until| until.microseconds() > now),
            muted_until: muted_until.map(Timestamptz::to_json),
            note: row.text(6),
        };
        Some((row.text(1)?, configuration))
    };
    spi::connect(|connection| connection.run(&CONFIGURED, &[]).iter().filter_map(read).collect())
}

impl Thresholds {
    /// What is in force for a check.
    pub fn of(check: &Check, configured: &Configured) -> Thresholds {
        let built_in = Thresholds {
            warn: check.warn,
            fail: check.fail,
            enabled: true,
            muted: false,
            muted_until: None,
            note: None,
            is_configured: false,
        };
        match configured.get(check.name) {
            None => built_in,
            Some(own) => Thresholds {
                warn: own.warn.or(check.warn),
                fail: own.fail.or(check.fail),
                enabled: own.enabled,
                muted: own.muted,
                muted_until: own.muted_until.clone(),
                note: own.note.clone(),
                is_configured: own.warn.is_some() || own.fail.is_some(),
            },
        }
    }

    /// As `health_thresholds` has it.
    fn fields(self, check: &Check) -> Vec<(&'static str, Member)> {
        vec![
            ("name", Member::Value(check.name.into())),
            ("warn", number(self.warn)),
            ("fail", number(self.fail)),
            ("unit", Member::Value(check.unit.into())),
            ("direction", Member::Value(check.direction.name().into())),
            ("worst", Member::Value(check.worst.name().into())),
            ("source", Member::Value(if self.is_configured { "configured" } else { "built-in" }.into())),
            ("enabled", Member::Value(self.enabled.into())),
            ("muted_until", Member::Value(self.muted_until.into())),
            ("note", Member::Value(self.note.into())),
            ("tier", Member::Value(check.run.tier().into())),
            ("from_version", Member::Value(check.from_version.into())),
            ("on_standby", Member::Value(check.on_standby.into())),
            ("about", Member::Value(check.about.into())),
            ("advice", Member::Value(check.advice.into())),
        ]
    }
}

/// `read_health_thresholds`.
pub fn list() -> Reply {
    let configured = configured();
    let members = CHECKS.iter().map(|check| Member::Object(Thresholds::of(check, &configured).fields(check))).collect();
    Reply::success().list("thresholds", members)
}

/// The check of this name.
pub fn find(name: &str) -> Result<&'static Check, Error> {
    let allowed = || {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        crate::arguments::one_of(&names)
    };
    CHECKS.iter().find(|check| check.name == name).ok_or_else(|| Error::invalid("name", name, allowed()))
}

/// `configure_check`.
pub fn configure(check: &'static Check, wanted: &Wanted) -> Result<Reply, Error> {
    if let Some(fail) = wanted.fail.filter(|_| check.worst != Status::Fail) {
        return Err(Error::invalid("fail", fail, "NULL: this check never fails"));
    }
    spi::connect(|connection| {
        if wanted.reset {
            connection.run(&FORGET, &[&check.name]);
        }
        if wanted.says_something() {
            write(connection, check, wanted);
        }
    });
    let now = Thresholds::of(check, &configured());
    if let (Some(warn), Some(fail)) = (now.warn, now.fail)
        && check.direction.is_beyond(warn, fail)
    {
        return Err(Error::invalid("warn", warn, format!("on the better side of fail, which is {fail}")));
    }
    Ok(now.fields(check).into_iter().fold(Reply::success(), |reply, (name, member)| reply.member(name, member)))
}

/// Writes what is wanted.
fn write(connection: &Connection, check: &Check, wanted: &Wanted) {
    connection.run(
        &CONFIGURE,
        &[&check.name, &wanted.warn, &wanted.fail, &wanted.enabled, &wanted.muted_until, &wanted.note],
    );
}

impl Wanted {
    /// Whether anything is to be written.
    fn says_something(&self) -> bool {
        self.warn.is_some()
            || self.fail.is_some()
            || self.enabled.is_some()
            || self.muted_until.is_some()
            || self.note.is_some()
    }
}
