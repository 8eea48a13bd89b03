//! Slow checks: what goes through all tables, indexes or sequences takes too long for a probe, so the background worker
//! measures it now and then and keeps it in a table. Who asks for health reads that, with its age.

use super::check::{Check, Measure, Run};
use super::checks::CHECKS;
use super::run::probe;
use crate::error::Error;
use crate::guc;
use crate::pg::datum::Jsonb;
use crate::pg::document::Member;
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::xact;
use crate::reply::Reply;
use pgrx::pg_sys;
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A check of the background worker's that takes longer is given up: it would keep dead rows, and others waiting.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// What was measured counts until so many measurings were missed.
const MISSED: f64 = 3.0;

static KEPT: Statement = Statement::new(
    c"SELECT f.value, f.meaning, f.remedy, f.subjects, f.reason, f.reveal, f.culprit, f.name, f.took_ms, f.measured_at
      FROM foreman.slow_finding AS f",
    &[],
);

static MEMORY: Statement = Statement::new(
    c"SELECT f.memory, f.measured_at
      FROM foreman.slow_finding AS f
      WHERE f.name OPERATOR(pg_catalog.=) $1",
    &[pg_sys::TEXTOID],
);

static KEEP: Statement = Statement::new(
    c"INSERT INTO foreman.slow_finding AS f
          (name, measured_at, took_ms, value, meaning, remedy, subjects, reason, reveal, culprit, memory)
      VALUES ($1, pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10)
      ON CONFLICT (name) DO UPDATE
      SET measured_at = EXCLUDED.measured_at, took_ms = EXCLUDED.took_ms, value = EXCLUDED.value,
          meaning = EXCLUDED.meaning, remedy = EXCLUDED.remedy, subjects = EXCLUDED.subjects, reason = EXCLUDED.reason,
          reveal = EXCLUDED.reveal, culprit = EXCLUDED.culprit, memory = EXCLUDED.memory",
    &[
        pg_sys::TEXTOID,
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::JSONBOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::JSONBOID,
    ],
);

/// A slow check, with what measures it.
#[derive(Clone, Copy)]
pub struct SlowCheck {
    pub name: &'static str,
    statement: &'static Statement,
}

/// All of them.
pub fn checks() -> impl Iterator<Item = SlowCheck> {
    CHECKS.iter().filter_map(|check| match check.run {
        Run::Slow(statement) => Some(SlowCheck { name: check.name, statement }),
        Run::Fast(_) | Run::Jobs(_) | Run::Sessions(_) => None,
    })
}

/// What was measured last, by the names of the checks; or why it can't be read.
pub struct Kept(Result<HashMap<String, Measure>, Error>);

/// For how many seconds something has been known.
fn age(row: &Row<'_>, column: i32) -> Option<f64> {
    row.time(column).map(|since| (xact::clock() - since.microseconds()).max(0) as f64 / 1e6)
}

/// Reads what was measured last.
pub fn kept() -> Kept {
    Kept(probe(|| {
        spi::connect(|connection| {
            let rows = connection.run(&KEPT, &[]);
            let kept = |row: Row<'_>| {
                let measure = Measure { took: row.double(9), age: age(&row, 10), ..Measure::of_columns(&row) };
                Some((row.text(8)?, measure))
            };
            rows.iter().filter_map(kept).collect()
        })
    }))
}

impl Kept {
    /// What was measured of a check, once.
    pub fn of(&mut self, check: &Check) -> Measure {
        let found = match &mut self.0 {
            Ok(found) => found.remove(check.name),
            Err(error) => return Measure::because(format!("what was measured can't be read: {error}")),
        };
        match found {
            None => Measure {
                reveal: Some("SELECT foreman.refresh_health();".to_owned()),
                ..Measure::because("the background worker has not measured it yet".to_owned())
            },
            Some(measure) => measure.unless_old(),
        }
    }
}

impl Measure {
    /// What looks well and is old is in doubt.
    fn unless_old(mut self) -> Measure {
        // No visit comes oftener than upkeep.
        let between = guc::slow_check_interval().map(|interval| interval.max(guc::upkeep_interval()));
        let bound = between.map(|between| MISSED * between.as_secs_f64());
        if let (Some(age), Some(bound), None) = (self.age, bound, &self.reason)
            && age > bound
        {
            self.reason = Some(format!("it was measured {age:.0} s ago, and not since"));
            self.reveal = Some("SELECT foreman.refresh_health();".to_owned());
        }
        self
    }
}

/// The checks that it is time for, the longest ago first.
pub fn due() -> Vec<SlowCheck> {
    let Some(interval) = guc::slow_check_interval() else { return Vec::new() };
    let Kept(Ok(kept)) = kept() else { return Vec::new() };
    let age = |check: &SlowCheck| kept.get(check.name).and_then(|measure| measure.age).unwrap_or(f64::INFINITY);
    let mut due: Vec<SlowCheck> = checks().filter(|check| age(check) >= interval.as_secs_f64()).collect();
    due.sort_by(|one, other| age(other).total_cmp(&age(one)));
    due
}

impl SlowCheck {
    /// Measures it, and keeps what it found.
    pub fn measure(self) {
        let started = Instant::now();
        spi::connect(|connection| {
            let (memory, age) = self.memory(connection);
            let rows = connection.run(self.statement, &[&memory, &age]);
            let row = rows.first();
            let measure = row.as_ref().map_or_else(Measure::default, Measure::of_columns);
            let memory = row.as_ref().and_then(|row| row.jsonb(8));
            self.keep(connection, &measure, memory, started);
        });
    }

    /// Keeps that it could not be measured.
    pub fn keep_failure(self, error: &Error) {
        let measure = Measure {
            reveal: Some(format!("SELECT foreman.refresh_health('{}');", self.name)),
            ..Measure::failed(error)
        };
        spi::connect(|connection| self.keep(connection, &measure, self.memory(connection).0, Instant::now()));
    }

    /// What it asked to be remembered, and how many seconds ago.
    fn memory(self, connection: &Connection) -> (Option<Jsonb>, Option<f64>) {
        let rows = connection.run(&MEMORY, &[&self.name]);
        rows.first().map_or((None, None), |row| (row.jsonb(1), age(&row, 2)))
    }

    fn keep(self, connection: &Connection, measure: &Measure, memory: Option<Jsonb>, started: Instant) {
        let took = started.elapsed().as_secs_f64() * 1e3;
        let Measure { value, meaning, remedy, subjects, reason, reveal, culprit, .. } = measure;
        // A slow check is a statement, and so what it found was made by the server.
        let subjects = subjects.as_ref().and_then(Member::document);
        let [meaning, remedy, reason, reveal, culprit] =
            [meaning, remedy, reason, reveal, culprit].map(Option::as_deref);
        connection
            .run(&KEEP, &[&self.name, &took, value, &meaning, &remedy, &subjects, &reason, &reveal, &culprit, &memory]);
    }
}

/// `refresh_health`: all of them, or the one of this name; each for itself.
pub fn refresh(name: Option<&str>) -> Result<Reply, Error> {
    let chosen: Vec<SlowCheck> = checks().filter(|check| name.is_none_or(|name| check.name == name)).collect();
    if let (true, Some(name)) = (chosen.is_empty(), name) {
        return Err(Error::invalid("name", name, allowed()));
    }
    let refreshed = chosen.into_iter().map(|check| {
        let started = Instant::now();
        let failure = probe(|| check.measure()).err();
        if let Some(error) = &failure {
            // Where that can't be kept either, what was measured before grows old, which is told as well.
            let _ = probe(|| check.keep_failure(error));
        }
        let took = (started.elapsed().as_secs_f64() * 1e5).round() / 100.0;
        json!({"name": check.name, "took_ms": took, "error": failure.map(|error| error.to_string())})
    });
    Ok(Reply::success().field("checks", refreshed.collect::<Vec<_>>()))
}

/// The names that there are.
fn allowed() -> String {
    let mut names: Vec<_> = checks().map(|check| check.name).collect();
    names.sort_unstable();
    crate::arguments::one_of(&names)
}
