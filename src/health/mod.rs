//! The server's health: checks that are each a unit of their own, and the documents made of them.

mod check;
mod checks;
mod families;
mod rates;
mod run;
pub mod samples;
pub mod slow;
pub mod thresholds;

use crate::diagnostics;
use crate::error::Error;
use crate::pg::document::Member;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;
use check::Status;
use families::jobs::Figures;
use families::sessions::Sessions;
pub use families::sessions::remedy as session_remedy;
use run::{Finding, Findings};
use serde_json::Value;

static SERVER: Statement = Statement::new(
    c"SELECT pg_catalog.jsonb_build_object(
          'database_connected', true,
          'timestamp', pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC',
              'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
          'server', pg_catalog.jsonb_build_object(
              'version_num', pg_catalog.current_setting('server_version_num')::integer,
              'role', CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END))",
    &[],
);

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
    let server = spi::connect(|connection| connection.run(&SERVER, &[]).first().and_then(|row| row.jsonb(1)));
    let reply = Reply::with_status(worst.unwrap_or(Status::Pass).word())
        .field("complete", is_known && configured && pool.is_some() && jobs.is_some())
        .field("warnings", warnings)
        .member("connection_pool", pool.unwrap_or(Member::Value(Value::Null)))
        .member("database_stats", jobs.unwrap_or(Member::Value(Value::Null)))
        .field("query_performance", diagnostics::query_performance(detail))
        .list("checks", made.into_iter().map(|finding| finding.told(detail)).collect())
        .list("skipped", skipped.into_iter().map(Finding::why).collect());
    let reply = match server {
        Some(server) => reply.merge(server),
        None => reply,
    };
    // A document and no reply: it is not told whether a transaction is open.
    Reply::verbatim(reply.into_jsonb())
}

/// `read_health_checks`: all checks with all that is known, worst first.
pub fn checks() -> Reply {
    Reply::success().list("checks", run::run().list.iter().map(|finding| finding.told(true)).collect())
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
        let subjects = self.measure.subjects.filter(|_| detail || self.status != Status::Pass);
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
            ("subjects", subjects.map_or(Member::Value(Value::Null), Member::Document)),
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
