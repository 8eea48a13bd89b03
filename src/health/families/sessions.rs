//! Sessions, and other processes that hold or wait for something: read once for all who look at them.

use crate::error::Error;
use crate::health::check::{Measure, decimals};
use crate::health::run::probe;
use crate::pg::datum::{Timestamptz, quoted};
use crate::pg::document::Member;
use crate::pg::spi::{self, Connection, Row, Statement};
use crate::pg::{names, process, setting, xact};

// As the server has them. Planning joins, arithmetic and texts takes a new session several times what reading takes, so that
// is done here, and only for those told of.
static PROCESSES: Statement = Statement::new(
    c"SELECT a.pid, a.backend_type, a.datid, a.usesysid, a.application_name, a.state, a.wait_event_type, a.backend_start,
             a.xact_start, a.query_start, a.state_change, a.backend_xid, a.backend_xmin
      FROM pg_catalog.pg_stat_get_activity(NULL) AS a",
    &[],
);

/// All that the role that asks may see of them.
#[derive(Debug)]
pub struct Sessions {
    /// The connections that ordinary roles can have.
    slots: i64,
    /// Every process of the server that has something to tell.
    pub processes: Vec<Session>,
}

/// What a process of the server is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Client,
    /// Sends WAL to a standby, or what it has decoded to a subscriber.
    Sender,
    /// Helps a session, and has its snapshot.
    ParallelWorker,
    Other,
}

/// A process; of a client's, the session.
#[derive(Debug)]
pub struct Session {
    pub kind: Kind,
    /// Whose call this is.
    pub is_own: bool,
    /// Whether it shows more than whose it is.
    is_visible: bool,
    pub waits_for_lock: bool,
    pub pid: i32,
    pub database: Option<u32>,
    pub role: Option<u32>,
    pub application: String,
    /// Empty where it has none, or hides it.
    pub state: String,
    pub backend_start: Option<Timestamptz>,
    pub xact_start: Option<Timestamptz>,
    /// Since its transaction began; none without one.
    pub transaction_seconds: Option<f64>,
    /// Since its statement began; none without one.
    pub query_seconds: Option<f64>,
    state_seconds: Option<f64>,
    /// The transaction that it has, and the oldest one that its snapshot has to think of.
    pub xid: Option<u32>,
    pub xmin: Option<u32>,
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
    /// Reads them, as a step that may fail for itself alone.
    pub fn read() -> Result<Sessions, Error> {
        probe(|| spi::connect(Sessions::seen))
    }

    /// Reads them.
    pub fn seen(connection: &Connection) -> Sessions {
        let now = xact::clock();
        let slots =
            [c"max_connections", c"superuser_reserved_connections", c"reserved_connections"].map(setting::number);
        let processes = connection.run(&PROCESSES, &[]).iter().map(|row| Session::of(&row, now)).collect();
        Sessions { slots: slots[0] - slots[1] - slots[2], processes }
    }

    /// Those of clients.
    pub fn clients(&self) -> impl Iterator<Item = &Session> + Clone {
        self.processes.iter().filter(|process| process.kind == Kind::Client)
    }

    /// The clients' that don't ask.
    pub fn others(&self) -> impl Iterator<Item = &Session> + Clone {
        self.clients().filter(|session| !session.is_own)
    }

    /// Whether one may wait for a lock, as far as it can be seen.
    pub fn may_wait_for_locks(&self) -> bool {
        self.processes.iter().any(|process| process.waits_for_lock || !process.is_visible)
    }

    /// Whether one may be sent WAL, as far as it can be seen.
    pub fn may_feed_standbys(&self) -> bool {
        self.processes.iter().any(|process| process.kind == Kind::Sender || !process.is_visible)
    }

    /// Whether an ordinary role could get a connection, were the session that asks not there.
    pub fn has_room(&self) -> bool {
        self.used() <= self.slots
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
            subjects: Some(Member::Object(vec![
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
        self.clients().filter(|session| session.is_visible).count() as i64
    }

    fn overflow(&self) -> i64 {
        (self.used() - self.slots).max(0)
    }

    /// Why it can't be told how many there are, if it can't.
    fn hidden(&self) -> Option<&(String, String)> {
        self.clients().filter(|session| !session.is_visible).find_map(|session| session.hidden.as_ref())
    }
}

/// The session that has been at it for the longest.
pub fn longest<'s>(mut sessions: impl Iterator<Item = &'s Session> + Clone, activity: &Activity) -> Measure {
    let mut at_it: Vec<(&Session, f64)> =
        sessions.clone().filter_map(|session| Some((session, (activity.seconds)(session)?))).collect();
    at_it.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.pid.cmp(&other.0.pid)));
    let longest = at_it.first().copied();
    let (reason, reveal) = sessions.find_map(|session| session.hidden.clone()).unzip();
    Measure {
        value: Some(longest.map_or(0.0, |(_, seconds)| seconds)),
        meaning: Some(longest.map_or_else(
            || activity.none.to_owned(),
            |(session, seconds)| (activity.some)(at_it.len(), session, seconds),
        )),
        remedy: longest.and_then(|(session, _)| session.remedy()),
        subjects: Member::list(at_it.iter().take(TOLD).map(|(session, seconds)| session.subject(*seconds)).collect()),
        reason,
        reveal,
        culprit: longest.map(|(session, _)| session.name()),
        ..Measure::default()
    }
}

impl Kind {
    fn of(text: &str) -> Kind {
        match text {
            "client backend" => Kind::Client,
            "walsender" => Kind::Sender,
            "parallel worker" => Kind::ParallelWorker,
            _ => Kind::Other,
        }
    }
}

impl Session {
    fn of(row: &Row<'_>, now: i64) -> Session {
        // Not before the start, should the clock be set back.
        let since = |start: Option<Timestamptz>| start.map(|start| (now - start.microseconds()).max(0) as f64 / 1e6);
        let (backend_start, xact_start, query_start) = (row.time(8), row.time(9), row.time(10));
        let (database, role) = (row.number(3), row.number(4));
        let state = row.text(6).unwrap_or_default();
        // What is hidden has no start, and may be anybody's. A type is also wanting of a background worker that has ended
        // since the list was taken, or that the postmaster has not noted yet: the server looks types up when it shows them,
        // and the list is kept for the transaction.
        let is_visible = backend_start.is_some();
        let kind = match row.text(2) {
            None if !is_visible && database.is_some() && role.is_some() => Kind::Client,
            kind => Kind::of(&kind.unwrap_or_default()),
        };
        // A procedure that ends transactions, such as wait_for_jobs, is as old as the present one.
        let query_seconds = since(query_start).map(|query| query.min(since(xact_start).unwrap_or(query)));
        Session {
            kind,
            pid: row.integer(1).unwrap_or_default(),
            is_own: row.integer(1) == Some(process::own_pid()),
            is_visible,
            waits_for_lock: row.text(7).is_some_and(|event| event == "Lock"),
            database,
            role,
            application: row.text(5).unwrap_or_default(),
            backend_start,
            xact_start,
            transaction_seconds: since(xact_start),
            query_seconds: query_seconds.filter(|_| state == "active"),
            state_seconds: since(row.time(11)),
            xid: row.number(12),
            xmin: row.number(13),
            hidden: hidden(is_visible, &state),
            state,
        }
    }

    /// How it is called.
    pub fn name(&self) -> String {
        format!("pid {}", self.pid)
    }

    /// For how many seconds it has been idle in its transaction.
    pub fn idle_seconds(&self) -> Option<f64> {
        let is_idle = matches!(self.state.as_str(), "idle in transaction" | "idle in transaction (aborted)");
        self.state_seconds.filter(|_| is_idle)
    }

    /// What ends what it does, of a client's that may be seen.
    pub fn remedy(&self) -> Option<String> {
        let backend_start = self.backend_start.filter(|_| self.kind == Kind::Client)?;
        Some(remedy(self.pid, backend_start, &self.state, self.xact_start))
    }

    /// As one of a check's subjects.
    fn subject(&self, seconds: f64) -> Member {
        let mut members = self.identity();
        members.push(("seconds", decimals(seconds, 3)));
        Member::Object(members)
    }

    /// Who it is, and in what state.
    pub fn identity(&self) -> Vec<(&'static str, Member)> {
        let text = |text: Option<String>| Member::Value(text.into());
        vec![
            ("pid", Member::Value(self.pid.into())),
            ("backend_start", text(self.backend_start.map(Timestamptz::to_json))),
            ("database", text(self.database.and_then(names::database))),
            ("role", text(self.role.and_then(names::role))),
            ("application", Member::Value(self.application.as_str().into())),
            ("state", text(Some(self.state.clone()).filter(|state| !state.is_empty()))),
        ]
    }

    /// As a row of foreman.client_sessions.
    pub fn told(&self) -> Member {
        let number = |number: Option<f64>| Member::Value(number.into());
        let text = |text: Option<&str>| Member::Value(text.into());
        let (hidden_because, reveal) =
            self.hidden.as_ref().map(|(why, reveal)| (why.as_str(), reveal.as_str())).unzip();
        let mut members = self.identity();
        members.extend([
            ("xact_start", Member::Value(self.xact_start.map(Timestamptz::to_json).into())),
            ("is_own", Member::Value(self.is_own.into())),
            ("is_visible", Member::Value(self.is_visible.into())),
            ("transaction_seconds", number(self.transaction_seconds)),
            ("query_seconds", number(self.query_seconds)),
            ("state_seconds", number(self.state_seconds)),
            ("hidden_because", text(hidden_because)),
            ("reveal", text(reveal)),
            ("remedy", text(self.remedy().as_deref())),
        ]);
        Member::Object(members)
    }
}

/// Why something is hidden of a session, and the statement that reveals it.
fn hidden(is_visible: bool, state: &str) -> Option<(String, String)> {
    if !is_visible {
        let role = names::identifier(&names::own_role());
        let why = format!("role {role} may not see the sessions of other roles");
        return Some((why, format!("GRANT pg_monitor TO {role};")));
    }
    (state == "disabled").then(|| {
        let reveal = "ALTER SYSTEM SET track_activities = on;";
        ("a session runs with track_activities off".to_owned(), reveal.to_owned())
    })
}

/// What ends what a session does. A moment later a pooled session serves somebody else, so it names the transaction too.
fn remedy(pid: i32, backend_start: Timestamptz, state: &str, xact_start: Option<Timestamptz>) -> String {
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
