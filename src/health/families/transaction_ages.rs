//! Databases, by the age of their oldest transaction and multixact numbers.

use crate::health::check::{Measure, decimals};
use crate::pg::document::Member;
use crate::pg::spi::{Connection, Row, Statement};
use crate::pg::{names, setting, xact};

/// What an age is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Where an anti-wraparound VACUUM begins.
    Freeze,
    /// Where VACUUM drops everything else.
    Failsafe,
}

static DATABASES: Statement = Statement::new(
    c"SELECT d.datname, d.datallowconn, d.datfrozenxid, d.datminmxid FROM pg_catalog.pg_database AS d",
    &[],
);

/// How many are told of.
const TOLD: usize = 10;

/// How old a database is.
pub struct Aged {
    database: String,
    is_connectable: bool,
    transactions: i32,
    multixacts: i32,
    freeze_percent: f64,
    failsafe_percent: f64,
}

/// From which age on something happens.
struct Bounds {
    transactions: f64,
    multixacts: f64,
}

impl Bounds {
    /// How far on the way a database is.
    fn percent(&self, transactions: i32, multixacts: i32) -> f64 {
        100.0 * (f64::from(transactions) / self.transactions).max(f64::from(multixacts) / self.multixacts)
    }
}

/// All databases.
pub fn databases(connection: &Connection) -> Vec<Aged> {
    let set = |name| setting::number(name) as f64;
    let freeze = Bounds {
        transactions: set(c"autovacuum_freeze_max_age"),
        multixacts: set(c"autovacuum_multixact_freeze_max_age"),
    };
    // As the server takes it: never less than a twentieth above where anti-wraparound vacuums begin.
    let failsafe = Bounds {
        transactions: set(c"vacuum_failsafe_age").max(1.05 * freeze.transactions),
        multixacts: set(c"vacuum_multixact_failsafe_age").max(1.05 * freeze.multixacts),
    };
    connection.run(&DATABASES, &[]).iter().map(|row| Aged::of(&row, &freeze, &failsafe)).collect()
}

/// The database whose numbers are the oldest.
pub fn oldest(connection: &Connection, against: Against) -> Option<Measure> {
    let mut aged: Vec<(Aged, f64)> = databases(connection)
        .into_iter()
        .map(|aged| {
            let percent = aged.percent(against);
            (aged, percent)
        })
        .collect();
    aged.sort_by(|one, other| other.1.total_cmp(&one.1).then_with(|| one.0.database.cmp(&other.0.database)));
    aged.truncate(TOLD);
    let (worst, percent) = aged.first()?;
    let name = names::identifier(&worst.database);
    let what = match against {
        Against::Failsafe => "VACUUM drops everything else to freeze",
        Against::Freeze => "an anti-wraparound VACUUM begins",
    };
    let remedy = if worst.is_connectable {
        format!("VACUUM (FREEZE); -- in database {name}; not while an old transaction keeps it from freezing")
    } else {
        format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS true; \
             -- then VACUUM (FREEZE) in it, and ALLOW_CONNECTIONS false again"
        )
    };
    Some(Measure {
        value: Some(*percent),
        meaning: Some(format!(
            "The oldest numbers are in database {name}: {} transactions, {} multixacts old, {percent:.0} percent of where \
             {what}.",
            worst.transactions, worst.multixacts
        )),
        remedy: Some(remedy),
        culprit: Some(format!("database {name}")),
        subjects: Member::list(aged.iter().map(|(aged, percent)| aged.subject(*percent)).collect()),
        ..Measure::default()
    })
}

impl Aged {
    fn of(row: &Row<'_>, freeze: &Bounds, failsafe: &Bounds) -> Aged {
        let transactions = xact::age(row.number(3).unwrap_or_default());
        let multixacts = xact::multixact_age(row.number(4).unwrap_or_default());
        Aged {
            database: row.text(1).unwrap_or_default(),
            is_connectable: row.boolean(2),
            transactions,
            multixacts,
            freeze_percent: freeze.percent(transactions, multixacts),
            failsafe_percent: failsafe.percent(transactions, multixacts),
        }
    }

    fn percent(&self, against: Against) -> f64 {
        match against {
            Against::Freeze => self.freeze_percent,
            Against::Failsafe => self.failsafe_percent,
        }
    }

    /// Whose numbers are how old.
    fn numbers(&self) -> Vec<(&'static str, Member)> {
        vec![
            ("database", Member::Value(self.database.as_str().into())),
            ("transactions", Member::Value(self.transactions.into())),
            ("multixacts", Member::Value(self.multixacts.into())),
        ]
    }

    /// As one of a check's subjects.
    fn subject(&self, percent: f64) -> Member {
        let mut members = self.numbers();
        members.push(("percent", decimals(percent, 1)));
        Member::Object(members)
    }

    /// As a row of foreman.transaction_ages.
    pub fn told(&self) -> Member {
        let mut members = self.numbers();
        members.extend([
            ("is_connectable", Member::Value(self.is_connectable.into())),
            ("freeze_percent", Member::Value(self.freeze_percent.into())),
            ("failsafe_percent", Member::Value(self.failsafe_percent.into())),
        ]);
        Member::Object(members)
    }
}
