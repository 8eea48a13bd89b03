//! Limits that a database or a role has for its connections.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::families::sessions::Sessions;
use crate::pg::document::Member;
use crate::pg::{catalog, names};
use std::collections::BTreeMap;

pub const CHECK: Check = Check {
    name: "connection_limits",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(75.0),
    fail: Some(90.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How much is in use of the connection limit of a database or a role (CONNECTION LIMIT), where one has a limit: of \
            the one that is fullest.",
    advice: "Raise the limit by ALTER DATABASE or ALTER ROLE, or see in foreman.connection_health what its sessions do.",
    run: Run::Sessions(|sessions, _| Some(measure(sessions))),
};

/// How many are told of.
const TOLD: usize = 10;

/// A database or a role that has a limit.
struct Limited {
    kind: &'static str,
    name: String,
    size: i32,
    used: i64,
}

/// The limit that is nearest. Whose session it is in which database is shown to every role, and nothing else of one that is
/// hidden.
fn measure(sessions: &Sessions) -> Measure {
    let (mut of_databases, mut of_roles) = (BTreeMap::new(), BTreeMap::new());
    for (database, oid) in sessions.clients().filter_map(|session| Some((session.database?, session.role?))) {
        match catalog::role(oid) {
            Some(role) if !role.is_superuser => *of_databases.entry(database).or_insert(0) += 1,
            _ => {}
        }
        *of_roles.entry(oid).or_insert(0) += 1;
    }
    let databases = of_databases.into_iter().filter_map(|(oid, used)| {
        Some(Limited { kind: "database", name: names::database(oid)?, size: catalog::connection_limit(oid)?, used })
    });
    let roles = of_roles.into_iter().filter_map(|(oid, used)| {
        Some(Limited { kind: "role", name: names::role(oid)?, size: catalog::role(oid)?.limit?, used })
    });
    let mut limited: Vec<Limited> = databases.chain(roles).collect();
    limited.sort_by(|one, other| {
        let order = other.percent().total_cmp(&one.percent());
        order.then_with(|| (one.kind, &one.name).cmp(&(other.kind, &other.name)))
    });
    limited.truncate(TOLD);
    let Some(fullest) = limited.first() else {
        return Measure::none("No database and no role with a limit has a connection.");
    };
    let Limited { kind, name, size, used } = fullest;
    let name = names::identifier(name);
    Measure {
        value: Some(fullest.percent()),
        meaning: Some(format!("The {kind} {name} has {used} of the {size} connections that it may have.")),
        remedy: Some(format!(
            "ALTER {} {name} CONNECTION LIMIT {}; -- takes its owner, or CREATEROLE",
            kind.to_uppercase(),
            size.saturating_mul(2)
        )),
        subjects: Member::list(limited.iter().map(Limited::subject).collect()),
        ..Measure::default()
    }
}

impl Limited {
    fn percent(&self) -> f64 {
        100.0 * self.used as f64 / f64::from(self.size)
    }

    /// As one of the check's subjects.
    fn subject(&self) -> Member {
        Member::Object(vec![
            ("kind", Member::Value(self.kind.into())),
            ("name", Member::Value(self.name.as_str().into())),
            ("size", Member::Value(self.size.into())),
            ("used", Member::Value(self.used.into())),
        ])
    }
}
