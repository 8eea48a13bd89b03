//! A database of the test's own, and the facts that can be seen in it.

use std::sync::Mutex;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::gate::Gate;
use crate::log::LogEntry;
use crate::session::Session;
use crate::wait::wait_until;

pub struct Database<'c> {
    cluster: &'c Cluster,
    name: String,
    /// Looks at the server's views while the test's sessions are busy.
    watcher: Mutex<Session>,
}

impl<'c> Database<'c> {
    pub(crate) fn new(cluster: &'c Cluster, name: String) -> Self {
        let watcher = Mutex::new(cluster.session(&name));
        Self { cluster, name, watcher }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    /// A new session as the superuser.
    pub fn session(&self) -> Session {
        self.cluster.session(&self.name)
    }

    /// A new session as another role, which may log in.
    pub fn session_as(&self, role: &str) -> Session {
        self.cluster.try_session_as(&self.name, role).expect("the role can log in")
    }

    /// A new session with settings of its own.
    pub fn session_with(&self, settings: &[(&str, &str)]) -> Session {
        let mut session = self.session();
        for (setting, value) in settings {
            session.set(setting, value);
        }
        session
    }

    /// A gate that sessions of this database can be stopped at.
    pub fn gate(&self) -> Gate {
        Gate::new(self.session())
    }

    /// Makes the calls at one moment, each in a session of its own, and hands back their replies. A gate is passed
    /// inside the statement of each call, so that all are under way when it opens.
    #[track_caller]
    pub fn all_at_once(&self, calls: impl IntoIterator<Item = String>) -> Vec<Value> {
        let mut gate = self.gate();
        gate.close();
        let running: Vec<_> = calls
            .into_iter()
            .map(|call| {
                // OFFSET 0 keeps the subquery, which is scanned before the row that the call is made for is there.
                let sql = format!("SELECT foreman.{call} FROM (SELECT {} OFFSET 0) AS gate", Gate::passage());
                self.session().background(move |s| s.reply(&sql, &[]))
            })
            .collect();
        gate.open_for(running.len());
        running.into_iter().map(|call| call.finish().1).collect()
    }

    /// Waits until the session stands before a lock that another holds.
    #[track_caller]
    pub fn await_blocked(&self, pid: i32) {
        let waiting = "EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND NOT l.granted)";
        self.await_fact(pid, "to wait for a lock", waiting);
    }

    /// Waits until the session sleeps in `pg_sleep`.
    #[track_caller]
    pub fn await_asleep(&self, pid: i32) {
        self.await_fact(pid, "to sleep", "a.wait_event = 'PgSleep'");
    }

    /// Waits until the session pauses before it tries again: at work, waiting, and neither for a lock nor in pg_sleep.
    #[track_caller]
    pub fn await_pause(&self, pid: i32) {
        self.await_fact(
            pid,
            "to pause before a retry",
            "a.state = 'active' AND a.wait_event_type IN ('Extension', 'Timeout', 'IPC') AND a.wait_event <> 'PgSleep'",
        );
    }

    /// Waits until the session is gone.
    #[track_caller]
    pub fn await_gone(&self, pid: i32) {
        wait_until(&format!("backend {pid} to be gone"), || {
            !self.see::<bool>(&format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})"))
        });
    }

    #[track_caller]
    fn await_fact(&self, pid: i32, what: &str, condition: &str) {
        let sql = format!("SELECT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = {pid} AND {condition})");
        wait_until(&format!("backend {pid} {what}"), || self.see(&sql));
    }

    /// One value as a session sees it that has no part in the test.
    #[track_caller]
    pub fn see<T: for<'a> postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        // A failed assertion of another thread must not hide behind a poisoned lock.
        self.watcher.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).one(sql, &[])
    }

    /// The entries of the server's log that sessions of this database wrote.
    pub fn log(&self) -> Vec<LogEntry> {
        self.cluster.log().into_iter().filter(|entry| entry.database == self.name).collect()
    }

    /// The server found nothing to warn of in all that the test did.
    #[track_caller]
    pub fn assert_no_warning_in_the_log(&self) {
        let warnings: Vec<_> = self
            .log()
            .into_iter()
            .filter(|entry| matches!(entry.level.as_str(), "WARNING" | "FATAL" | "PANIC"))
            .collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}
