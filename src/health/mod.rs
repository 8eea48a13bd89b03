//! The server's health: checks that are each a unit of their own, and the documents made of them.

mod check;
mod checks;
mod families;
mod rates;
mod run;
pub mod samples;
pub mod slow;
pub mod thresholds;

use crate::arguments;
use crate::diagnostics;
use crate::error::Error;
use crate::jobs::iso_time;
use crate::pg::document::Member;
use crate::pg::spi::{self, Connection};
use crate::pg::{activity, setting, xact};
use crate::reply::Reply;
use check::Status;
use families::horizon::{self, Holder};
use families::jobs::Figures;
use families::sessions::{Session, Sessions};
use families::transaction_ages::{self, Aged};
use run::{Finding, Findings};
use serde_json::{Value, json};

/// `db_health`: with `detail`, checks that pass tell whom they looked at, too, and calls are told function by function.
pub fn document(detail: bool) -> Reply {
    let Findings { list, configured, figures, sessions } = run::run();
    let connections = list.iter().find(|finding| finding.check.name == "connections");
    let pool = connections.and_then(|check| pool(sessions.unwrap_or_else(Sessions::read), check));
    let jobs = figures.unwrap_or_else(Figures::read).told();
    let worst = list.iter().filter(|finding| finding.is_alarm()).map(|finding| finding.status).min();
    let is_known = list.iter().all(|finding| finding.status != Status::Unknown);
    let (skipped, made): (Vec<_>, Vec<_>) = list.iter().partition(|finding| finding.status == Status::Skipped);
    let warnings: Vec<Value> = list.iter().filter_map(|finding| finding.warning(&list)).collect();
    let reply = Reply::with_status(worst.unwrap_or(Status::Pass).word())
        .field("database_connected", true)
        .field("timestamp", iso_time::utc(xact::clock()))
        .field("server", json!({"version_num": setting::number(c"server_version_num"), "role": role()}))
        .field("complete", is_known && configured && pool.is_some() && jobs.is_some())
        .field("warnings", warnings)
        .member("connection_pool", pool.unwrap_or(Member::Value(Value::Null)))
        .member("database_stats", jobs.unwrap_or(Member::Value(Value::Null)))
        .field("query_performance", diagnostics::query_performance(detail))
        .list("checks", made.into_iter().map(|finding| finding.told(detail)).collect())
        .list("skipped", skipped.into_iter().map(Finding::why).collect());
    // A document and no reply: it is not told whether a transaction is open.
    Reply::verbatim(reply.into_jsonb())
}

/// `read_health_checks`: all checks with all that is known, worst first.
pub fn checks() -> Reply {
    Reply::success().list("checks", run::run().list.iter().map(|finding| finding.told(true)).collect())
}

/// What the server is to others.
fn role() -> &'static str {
    if xact::in_recovery() { "standby" } else { "primary" }
}

/// What views show of what checks read of the server, by its name.
type Source = (&'static str, fn(&Connection) -> Vec<Member>);

const SOURCES: [Source; 3] = [
    ("sessions", |connection| Sessions::seen(connection).clients().map(Session::told).collect()),
    ("horizon", |connection| {
        horizon::holders(&Sessions::seen(connection), connection).iter().map(Holder::told).collect()
    }),
    ("transaction_ages", |connection| transaction_ages::databases(connection).iter().map(Aged::told).collect()),
];

/// `read_server`.
pub fn server(of: &str) -> Result<Reply, Error> {
    let allowed = || arguments::one_of(&SOURCES.map(|(name, _)| name));
    let source = SOURCES.iter().find(|(name, _)| *name == of);
    let (_, rows) = source.ok_or_else(|| Error::invalid("of", of, allowed()))?;
    Ok(spi::connect(|connection| Reply::success().list("rows", rows(connection))))
}

/// `is_ready`.
pub fn is_ready() -> bool {
    activity::look_anew();
    spi::connect(Sessions::seen).has_room()
}

/// The document's `connection_pool`, by what the check of it says; `None` where it can't be had.
fn pool(sessions: Result<Sessions, Error>, check: &Finding) -> Option<Member> {
    let mut members = sessions.ok()?.told();
    members.push(("utilization_percent", number(check.measure.value)));
    members.push(("status", Member::Value(check.status.word().into())));
    Some(Member::Object(members))
}

/// A number as JSON has it, a whole one without a fraction.
fn number(value: Option<f64>) -> Member {
    let rounded = value.map(|value| (value * 100.0).round() / 100.0);
    Member::Value(match rounded {
        Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => (whole as i64).into(),
        other => other.into(),
    })
}

impl Finding {
    /// The check as a row of the view.
    fn told(&self, detail: bool) -> Member {
        let text = |text: &Option<String>| Member::Value(text.as_deref().into());
        let subjects = self.measure.subjects.clone().filter(|_| detail || self.status != Status::Pass);
        Member::Object(vec![
            ("name", Member::Value(self.check.name.into())),
            ("status", Member::Value(self.status.name().into())),
            ("value", number(self.measure.value)),
            ("unit", Member::Value(self.check.unit.into())),
            ("warn_threshold", number(self.thresholds.warn)),
            ("fail_threshold", number(self.thresholds.fail)),
            ("meaning", text(&self.measure.meaning)),
            ("remedy", text(&self.measure.remedy)),
            ("reason", text(&self.measure.reason)),
            ("subjects", subjects.unwrap_or(Member::Value(Value::Null))),
            ("age_seconds", number(self.measure.age)),
            ("took_ms", number(self.measure.took)),
            ("muted", Member::Value(self.thresholds.muted.into())),
            ("caused_by", Member::Value(self.caused_by.into())),
            ("causes", Member::Value(self.causes.clone().into())),
        ])
    }

    /// One that was not made.
    fn why(&self) -> Member {
        Member::Object(vec![
            ("name", Member::Value(self.check.name.into())),
            ("reason", Member::Value(self.measure.reason.as_deref().into())),
        ])
    }

    /// What the document warns of: a cause with its effects, in one sentence after the other.
    fn warning(&self, all: &[Finding]) -> Option<Value> {
        if !self.is_alarm() || self.caused_by.is_some() {
            return None;
        }
        let named = |name| all.iter().find(|finding| finding.check.name == name);
        let effects = self.causes.iter().filter_map(|name| named(*name));
        let told = effects.fold(self.sentence(), |told, effect| told + " → " + &effect.sentence());
        Some(told.into())
    }

    /// The check and what it means.
    fn sentence(&self) -> String {
        format!("{}: {}", self.check.name, self.measure.meaning.as_deref().unwrap_or_default())
    }
}
