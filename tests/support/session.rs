//! A session: one connection, in the test's own thread or sent to the background with work to do.

use std::ops::{Deref, DerefMut};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use postgres::types::{FromSql, ToSql};
use postgres::{CancelToken, Client, NoTls};
use serde_json::Value;

use crate::{Reply, wait_until};

/// Longer than any bound of the server's (see the cluster's settings), so that the server's own error comes first.
const BACKGROUND_LIMIT: Duration = Duration::from_secs(150);

pub struct Session {
    client: Client,
    pid: i32,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Session {
    pub(crate) fn try_connect(mut config: postgres::Config) -> Result<Self, postgres::Error> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&notices);
        config.notice_callback(move |notice| {
            sink.lock().expect("no holder panics").push(format!("{}: {}", notice.severity(), notice.message()));
        });
        let mut client = config.connect(NoTls)?;
        let pid = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        Ok(Self { client, pid, notices })
    }

    /// The process id of the backend.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What came to the client as notices, warnings and the like since the last look.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().expect("no holder panics"))
    }

    /// Runs statements that must succeed.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        self.client.batch_execute(sql).unwrap_or_else(|e| panic!("{sql}: {}", words(&e)));
    }

    /// Sets a setting for the session.
    #[track_caller]
    pub fn set(&mut self, setting: &str, value: &str) {
        self.one::<String>("SELECT set_config($1, $2, false)", &[&setting, &value]);
    }

    /// The one value that a query returns.
    #[track_caller]
    pub fn one<T: for<'a> FromSql<'a>>(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> T {
        self.client.query_one(sql, params).unwrap_or_else(|e| panic!("{sql}: {}", words(&e))).get(0)
    }

    /// The reply to a query that calls one of our functions.
    #[track_caller]
    pub fn reply(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Value {
        self.one(sql, params)
    }

    /// The reply to a call, written without the schema: `call("get_job(1)")`.
    #[track_caller]
    pub fn call(&mut self, call: &str) -> Value {
        self.one(&format!("SELECT foreman.{call}"), &[])
    }

    /// Upkeep, once the background worker is not at it.
    #[track_caller]
    pub fn maintain(&mut self) -> Value {
        let mut reply = Value::Null;
        wait_until("upkeep that nobody else does", || {
            reply = self.call("maintain()");
            reply["status"] != "skipped"
        });
        reply.succeeded()
    }

    /// `call` where the server itself may refuse.
    pub fn try_call(&mut self, call: &str) -> Result<Value, postgres::Error> {
        Ok(self.client.query_one(&format!("SELECT foreman.{call}"), &[])?.get(0))
    }

    /// The same for statements.
    pub fn try_run(&mut self, sql: &str) -> Result<(), postgres::Error> {
        self.client.batch_execute(sql)
    }

    /// Sends the session to the background with work to do.
    pub fn background<T: Send + 'static>(mut self, work: impl FnOnce(&mut Self) -> T + Send + 'static) -> Running<T> {
        let (pid, cancel) = (self.pid, self.client.cancel_token());
        let (sender, outcome) = mpsc::channel();
        thread::spawn(move || {
            let done = work(&mut self);
            // Nobody listens any more when the test has failed meanwhile.
            let _ = sender.send((self, done));
        });
        Running { pid, cancel, outcome }
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A session at work in the background.
pub struct Running<T> {
    pub pid: i32,
    cancel: CancelToken,
    outcome: Receiver<(Session, T)>,
}

impl<T> Running<T> {
    /// Waits for the end of the work, and hands back the session and what the work gave.
    #[track_caller]
    pub fn finish(self) -> (Session, T) {
        self.outcome.recv_timeout(BACKGROUND_LIMIT).expect("the work in the background comes to its end")
    }

    /// Sends a cancel request, which is what Ctrl-C in psql does.
    pub fn interrupt(&self) {
        self.cancel.cancel_query(NoTls).expect("a cancel request can be sent");
    }
}

/// The SQLSTATE of a server's error; an empty text for an error of the client's own.
pub fn sqlstate(error: &postgres::Error) -> &str {
    error.code().map_or("", |state| state.code())
}

/// `postgres::Error` says only "db error": the server's words are a level below.
fn words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(e) => format!("{} {} {}", e.code().code(), e.message(), e.detail().unwrap_or_default()),
        None => error.to_string(),
    }
}
