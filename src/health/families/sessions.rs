//! Client sessions: read once for all who look at them.

use crate::error::Error;
use crate::health::check::{Measure, decimals};
use crate::health::run::probe;
use crate::pg::datum::{Timestamptz, quoted};
use crate::pg::document::{self, Member};
use crate::pg::process;
use crate::pg::spi::{self, Row, Statement};

static SESSIONS: Statement = Statement::new(
    c"SELECT n.size, s.is_own, s.is_visible, s.pid, s.backend_start, s.xact_start, s.database, s.role, s.application, s.state,
             s.transaction_seconds, s.query_seconds, s.state_seconds, s.hidden_because, s.reveal
      FROM foreman.client_sessions AS s
      CROSS JOIN foreman.connection_slots AS n",
    &[],
);

/// All that the role that asks may see of them.
#[derive(Debug)]
pub struct Sessions {
    /// The connections that ordinary roles can have.
    slots: i64,
    list: Vec<Session>,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// Whose call this is.
    is_own: bool,
    /// Whether it shows more than whose it is.
    is_visible: bool,
    pub pid: i32,
    backend_start: Option<Timestamptz>,
    xact_start: Option<Timestamptz>,
    database: Option<String>,
    role: Option<String>,
    pub application: String,
    pub state: String,
    /// Since its transaction began; none without one.
    pub transaction_seconds: Option<f64>,
    /// Since its statement began; none without one.
    pub query_seconds: Option<f64>,
    state_seconds: Option<f64>,
    /// Why something is hidden of it, and the statement that reveals it.
    hidden: Option<(String, String)>,
}

/// At what a session may be.
pub struct Activity {
    /// For how many seconds it has been at it.
    pub seconds: fn(&Session) -> Option<f64>,
    /// What it means that no session is.
    pub none: &'static str,
    /// What it means that so many are, of which this one is the longest, for so many seconds.
    pub some: fn(usize, &Session, f64) -> String,
}

/// How many are told of.
const TOLD: usize = 10;

impl Sessions {
    /// Reads them.
    pub fn read() -> Result<Sessions, Error> {
        probe(|| {
            spi::connect(|connection| {
                let rows = connection.run(&SESSIONS, &[]);
                let slots = rows.first().and_then(|row| row.bigint(1)).unwrap_or_default();
                Sessions { slots, list: rows.iter().map(|row| Session::of(&row)).collect() }
            })
        })
    }

    /// The other one that has been at it for the longest.
    pub fn longest(&self, activity: &Activity) -> Measure {
        let others = || self.list.iter().filter(|session| !session.is_own);
        let mut at_it: Vec<(&Session, f64)> =
            others().filter_map(|session| Some((session, (activity.seconds)(session)?))).collect();
        at_it.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.pid.cmp(&other.0.pid)));
        let longest = at_it.first().copied();
        let (reason, reveal) = others().find_map(|session| session.hidden.clone()).unzip();
        Measure {
            value: Some(longest.map_or(0.0, |(_, seconds)| seconds)),
            meaning: Some(longest.map_or_else(
                || activity.none.to_owned(),
                |(session, seconds)| (activity.some)(at_it.len(), session, seconds),
            )),
            remedy: longest.and_then(|(session, _)| session.remedy()),
            subjects: document::list(
                at_it.iter().take(TOLD).map(|(session, seconds)| session.subject(*seconds)).collect(),
            ),
            reason,
            reveal,
            culprit: longest.map(|(session, _)| format!("pid {}", session.pid)),
            ..Measure::default()
        }
    }

    /// How much of the slots is in use.
    pub fn pool(&self) -> Measure {
        let (reason, reveal) = self.hidden().cloned().unzip();
        let used = self.used();
        Measure {
            value: Some(100.0 * used as f64 / self.slots.max(1) as f64),
            meaning: Some(format!("In use: {used} of the {} connections that ordinary roles can have.", self.slots)),
            remedy: Some(
                "See who holds them in foreman.connection_health. End idle sessions, or put a pooler before the server."
                    .to_owned(),
            ),
            subjects: Some(document::object(&[
                ("size", Member::Value(self.slots.into())),
                ("checked_out", Member::Value(used.into())),
                ("overflow", Member::Value(self.overflow().into())),
            ])),
            reason,
            reveal,
            ..Measure::default()
        }
    }

    /// The document's `connection_pool` but for its status, which the check of it says.
    pub fn told(&self) -> Vec<(&'static str, Member)> {
        let known = |number: i64| Member::Value(self.hidden().is_none().then_some(number).into());
        vec![
            ("size", Member::Value(self.slots.into())),
            ("checked_in", known((self.slots - self.used()).max(0))),
            ("checked_out", known(self.used())),
            ("overflow", known(self.overflow())),
        ]
    }

    fn used(&self) -> i64 {
        self.list.iter().filter(|session| session.is_visible).count() as i64
    }

    fn overflow(&self) -> i64 {
        (self.used() - self.slots).max(0)
    }

    /// Why it can't be told how many there are, if it can't.
    fn hidden(&self) -> Option<&(String, String)> {
        self.list.iter().filter(|session| !session.is_visible).find_map(|session| session.hidden.as_ref())
    }
}

impl Session {
    fn of(row: &Row<'_>) -> Session {
        Session {
            is_own: row.boolean(2),
            is_visible: row.boolean(3),
            pid: row.integer(4).unwrap_or_default(),
            backend_start: row.time(5),
            xact_start: row.time(6),
            database: row.text(7),
            role: row.text(8),
            application: row.text(9).unwrap_or_default(),
            state: row.text(10).unwrap_or_default(),
            transaction_seconds: row.double(11),
            query_seconds: row.double(12),
            state_seconds: row.double(13),
            hidden: row.text(14).zip(row.text(15)),
        }
    }

    /// For how many seconds it has been idle in its transaction.
    pub fn idle_seconds(&self) -> Option<f64> {
        let is_idle = matches!(self.state.as_str(), "idle in transaction" | "idle in transaction (aborted)");
        self.state_seconds.filter(|_| is_idle)
    }

    /// What ends what it does, of one that may be seen.
    fn remedy(&self) -> Option<String> {
        Some(remedy(self.pid, self.backend_start?, &self.state, self.xact_start))
    }

    /// As one of a check's subjects.
    fn subject(&self, seconds: f64) -> Member {
        let text = |text: &Option<String>| Member::Value(text.as_deref().into());
        Member::Object(vec![
            ("pid", Member::Value(self.pid.into())),
            ("backend_start", text(&self.backend_start.map(Timestamptz::to_json))),
            ("database", text(&self.database)),
            ("role", text(&self.role)),
            ("application", Member::Value(self.application.as_str().into())),
            ("state", Member::Value(self.state.as_str().into())),
            ("seconds", decimals(seconds, 3)),
        ])
    }
}

/// What ends what a session does. A moment later a pooled session serves somebody else, so it names the transaction too.
pub fn remedy(pid: i32, backend_start: Timestamptz, state: &str, xact_start: Option<Timestamptz>) -> String {
    if pid == process::own_pid() {
        return "COMMIT;".to_owned();
    }
    let (end, cost) = match state {
        "active" => ("pg_cancel_backend", "cancels its statement, the session stays"),
        _ => ("pg_terminate_backend", "ends the session and rolls its transaction back"),
    };
    let transaction = xact_start.map(|start| format!(" AND xact_start = '{}'", start.to_json())).unwrap_or_default();
    format!(
        "SELECT {end}(pid) FROM pg_stat_activity WHERE pid = {pid} AND backend_start = '{}' AND state = {}{transaction}; \
         -- {cost}; takes pg_signal_backend",
        backend_start.to_json(),
        quoted(state)
    )
}
