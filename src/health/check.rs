//! What a check is, and how what it measured is judged.

use super::families::jobs::Figures;
use super::families::sessions::Sessions;
use crate::error::Error;
use crate::pg::document::Member;
use crate::pg::spi::{Bind, Connection, Row, Statement};

/// A check: one file in `checks/`, which nothing else has to know.
pub struct Check {
    /// Stable: dashboards and `foreman.configure_check` go by it.
    pub name: &'static str,
    pub unit: &'static str,
    pub direction: Direction,
    /// From here on it warns; `None`: never.
    pub warn: Option<f64>,
    /// Beyond this it fails; `None`: never.
    pub fail: Option<f64>,
    /// The most severe status that it may reach, whatever an administrator sets.
    pub worst: Status,
    /// The first major version of the server that can answer it.
    pub from_version: i32,
    /// Whether it says anything on a standby.
    pub on_standby: bool,
    /// What it measures.
    pub about: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    pub run: Run,
}

/// When and how a check measures.
#[derive(Clone, Copy)]
pub enum Run {
    /// Whenever somebody asks for health, with his rights: what costs little and waits for nobody. `None` is no answer:
    /// unknown.
    Fast(fn(&Connection) -> Option<Measure>),
    /// The same of jobs, which are counted once for all such checks.
    Jobs(fn(&Figures) -> Measure),
    /// The same of sessions, which are read once for all such checks.
    Sessions(fn(&Sessions, &Connection) -> Option<Measure>),
    /// Now and then by the background worker, as the extension's owner (`slow.rs`): what goes through all tables, indexes
    /// or sequences. The statement is told what it asked the time before to be remembered, and how many seconds ago that
    /// was; it answers another column more, `memory` (jsonb).
    Slow(&'static Statement),
}

/// Which side of a threshold is the bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Above,
    Below,
}

/// How a check stands, worst first but for the last two, which say nothing of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Fail,
    Warn,
    Unknown,
    Pass,
    Skipped,
}

/// What a check found, of what the role that asks may see.
#[derive(Debug, Default)]
pub struct Measure {
    pub value: Option<f64>,
    /// What the value means here; without a value: that there is nothing here to be measured.
    pub meaning: Option<String>,
    /// What to do if it is too much.
    pub remedy: Option<String>,
    /// Whom it is about.
    pub subjects: Option<Member>,
    /// Why something is hidden from the role.
    pub reason: Option<String>,
    /// The statement that reveals it.
    pub reveal: Option<String>,
    /// The one that is to blame, such as "pid 4711": checks that blame the same tell of one trouble.
    pub culprit: Option<String>,
    /// How long ago a slow check measured this, in seconds.
    pub age: Option<f64>,
    /// How long the measuring took, in milliseconds.
    pub took: Option<f64>,
}

impl Measure {
    /// What a statement answered: one row of value, meaning, remedy, subjects, reason, reveal and culprit; what is wanting at
    /// the end is NULL.
    pub fn of_row(connection: &Connection, statement: &Statement) -> Option<Measure> {
        Measure::of_answer(connection, statement, &[])
    }

    /// The same of one that is told something.
    pub fn of_answer(connection: &Connection, statement: &Statement, parameters: &[&dyn Bind]) -> Option<Measure> {
        Some(Measure::of_columns(&connection.run(statement, parameters).first()?))
    }

    /// The same of a row that there is.
    pub fn of_columns(row: &Row<'_>) -> Measure {
        Measure {
            value: row.double(1),
            meaning: row.text(2),
            remedy: row.text(3),
            subjects: row.jsonb(4).map(Member::Document),
            reason: row.text(5),
            reveal: row.text(6),
            culprit: row.text(7),
            age: None,
            took: None,
        }
    }

    /// What there is none of, so that a session need not plan the statement that would look at it closely.
    pub fn none(meaning: &str) -> Measure {
        Measure { value: Some(0.0), ..Measure::inapplicable(meaning) }
    }

    /// There is nothing here to be measured.
    pub fn inapplicable(meaning: &str) -> Measure {
        Measure { meaning: Some(meaning.to_owned()), ..Measure::default() }
    }

    /// Nothing was measured, for this reason.
    pub fn because(reason: String) -> Measure {
        Measure { reason: Some(reason), ..Measure::default() }
    }

    /// Nothing was measured, for this error.
    pub fn failed(error: &Error) -> Measure {
        Measure::because(failure(error))
    }
}

impl Run {
    /// As views say it.
    pub fn tier(&self) -> &'static str {
        match self {
            Run::Fast(_) | Run::Jobs(_) | Run::Sessions(_) => "fast",
            Run::Slow(_) => "slow",
        }
    }
}

impl Status {
    /// As replies and views say it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Fail => "fail",
            Status::Warn => "warn",
            Status::Unknown => "unknown",
            Status::Pass => "pass",
            Status::Skipped => "skipped",
        }
    }

    /// As the document says it of the whole server or of a part.
    pub fn word(self) -> &'static str {
        match self {
            Status::Fail => "unhealthy",
            Status::Warn => "degraded",
            Status::Pass => "healthy",
            Status::Unknown | Status::Skipped => "unknown",
        }
    }
}

impl Direction {
    /// As views say it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Above => "above",
            Direction::Below => "below",
        }
    }

    /// Whether `value` is beyond `threshold`, on its bad side.
    pub fn is_beyond(self, value: f64, threshold: f64) -> bool {
        match self {
            Direction::Above => value > threshold,
            Direction::Below => value < threshold,
        }
    }
}

/// The status of a value: exactly at `warn` it warns, exactly at `fail` it still only warns.
pub fn grade(value: f64, warn: Option<f64>, fail: Option<f64>, direction: Direction) -> Status {
    if fail.is_some_and(|fail| direction.is_beyond(value, fail)) {
        Status::Fail
    } else if warn.is_some_and(|warn| value == warn || direction.is_beyond(value, warn)) {
        Status::Warn
    } else {
        Status::Pass
    }
}

/// Why a check measured nothing that failed.
pub fn failure(error: &Error) -> String {
    format!("the check failed with {}: {error}", error.sqlstate())
}

/// A number as JSON has it, with so many decimals at most.
pub fn decimals(value: f64, most: i32) -> Member {
    let power = 10f64.powi(most);
    Member::Value(((value * power).round() / power).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_at_warn_it_warns_and_exactly_at_fail_it_still_only_warns() {
        for (value, status) in [
            (0.0, Status::Pass),
            (74.9, Status::Pass),
            (75.0, Status::Warn),
            (90.0, Status::Warn),
            (90.1, Status::Fail),
            (105.0, Status::Fail),
        ] {
            assert_eq!(grade(value, Some(75.0), Some(90.0), Direction::Above), status, "{value}");
        }
        for (value, status) in [(20.1, Status::Pass), (20.0, Status::Warn), (10.0, Status::Warn), (9.9, Status::Fail)] {
            assert_eq!(grade(value, Some(20.0), Some(10.0), Direction::Below), status, "{value}");
        }
    }

    #[test]
    fn without_a_threshold_it_never_gets_there() {
        assert_eq!(grade(1e9, Some(10.0), None, Direction::Above), Status::Warn);
        assert_eq!(grade(1e9, None, None, Direction::Above), Status::Pass);
    }
}
