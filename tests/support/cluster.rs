//! A private cluster: made with initdb in a directory of its own under /tmp, reachable through a socket there and
//! nowhere else, and gone with the process that made it.
//!
//! The last is the work of a *keeper*, a shell that reads from a pipe whose other end only this process holds. When the
//! cluster is dropped, or this process ends in whatever way (a panic, a kill -9), the pipe closes and the keeper stops
//! the server and removes the directory. So the statics below need no destructor and no server stays behind.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::database::Database;
use crate::log::{self, LogEntry};
use crate::process;
use crate::session::Session;
use crate::wait::wait_until;

/// Ctrl-C reaches the whole foreground group: the keeper outlives it to do its work.
const KEEPER: &str = r#"trap '' INT TERM HUP; cat; home=$1; shift; "$@"; rm -rf -- "$home""#;

/// The database that fresh ones are copied from: copying is faster than CREATE EXTENSION.
const TEMPLATE: &str = "foreman_template";

/// What every cluster is given. Two minutes end a statement that hangs, so that a broken extension fails the tests and
/// does not hang them; all bounds tested are far below it.
const SETTINGS: &str = "
listen_addresses = ''
fsync = off
full_page_writes = off
max_connections = 200
max_prepared_transactions = 10
shared_buffers = '64MB'
deadlock_timeout = '20ms'
statement_timeout = '120s'
log_statement = 'none'
";

/// Checks that find what is so of these clusters and of the machine, or that take a minute to know anything, are switched
/// off; a test of one of them switches it on.
const UNCHECKED: &str = "
SELECT foreman.check(foreman.configure_check(name, enabled => false))
FROM unnest('{durability, disk_space, standby_conflicts, deadlocks, rollbacks, temp_files, cache_hits, wait_events,
              requested_checkpoints, rescued_jobs, unworked_jobs, floor_misses}'::text[]) AS name
";

pub struct Cluster {
    /// Holds the socket, the log and the data directory. Short, as a socket's path must be.
    home: PathBuf,
    keeper: Child,
    template: OnceLock<()>,
    databases: AtomicUsize,
}

impl Cluster {
    /// The cluster that tests share unless they need one of their own. No preload: the extension works without.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// Likewise, with the extension preloaded.
    pub fn preloaded() -> &'static Self {
        static PRELOADED: OnceLock<Cluster> = OnceLock::new();
        PRELOADED.get_or_init(|| Self::start(&["shared_preload_libraries = 'pg_foreman'"]))
    }

    /// A cluster of the caller's own, with further lines for its postgresql.conf.
    pub fn start(lines: &[&str]) -> Self {
        Self::start_as(&[], lines)
    }

    /// The same, whose pages carry checksums: what 18 does unasked.
    pub fn start_with_checksums(lines: &[&str]) -> Self {
        Self::start_as(&["--data-checksums"], lines)
    }

    fn start_as(options: &[&str], lines: &[&str]) -> Self {
        let cluster = Self::in_new_home();
        succeed(
            cluster
                .program("initdb")
                .arg("-D")
                .arg(cluster.data())
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
                .args(options),
        );
        cluster.configure(lines);
        cluster.go();
        cluster
    }

    /// A hot standby of this cluster.
    pub fn standby(&self, lines: &[&str]) -> Self {
        let standby = Self::in_new_home();
        succeed(standby.program("pg_basebackup").arg("-h").arg(&self.home).arg("-D").arg(standby.data()).args([
            "--username=postgres",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--no-sync",
        ]));
        standby.configure(lines);
        standby.go();
        standby
    }

    /// On a standby: waits until it has replayed all that `primary` has written so far.
    pub fn catch_up_with(&self, primary: &Self) {
        // The switch flushes, so that the standby gets what no commit has flushed yet.
        let written: String = primary.admin().one("SELECT pg_switch_wal()::text", &[]);
        let mut standby = self.admin();
        wait_until("the standby to catch up", || {
            standby.one(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"), &[])
        });
    }

    /// A fresh database with the extension in it.
    pub fn database(&self) -> Database<'_> {
        self.template.get_or_init(|| {
            self.admin().run(&format!("CREATE DATABASE {TEMPLATE}"));
            let mut session = self.session(TEMPLATE);
            session.run("CREATE EXTENSION pg_foreman");
            session.run(UNCHECKED);
            session.run("SELECT foreman.check(foreman.refresh_health())");
        });
        self.create_database(&format!("TEMPLATE {TEMPLATE}"))
    }

    /// A fresh database with the extension in it, in another encoding.
    pub fn database_in(&self, encoding: &str) -> Database<'_> {
        let database = self.create_database(&format!("TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"));
        database.session().run("CREATE EXTENSION pg_foreman");
        database
    }

    /// A fresh database with nothing in it.
    pub fn empty_database(&self) -> Database<'_> {
        self.create_database("TEMPLATE template0")
    }

    fn create_database(&self, from: &str) -> Database<'_> {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.admin().run(&format!("CREATE DATABASE {name} {from}"));
        Database::new(self, name)
    }

    /// A database of another cluster's making, such as a primary's seen on its standby.
    pub fn existing_database(&self, name: &str) -> Database<'_> {
        Database::new(self, name.to_owned())
    }

    #[track_caller]
    pub(crate) fn session(&self, database: &str) -> Session {
        self.try_session(database).expect("a session can be opened")
    }

    /// A session as the superuser, unless the server is down.
    pub fn try_session(&self, database: &str) -> Result<Session, postgres::Error> {
        self.try_session_as(database, "postgres")
    }

    /// A session as any role.
    pub fn try_session_as(&self, database: &str, role: &str) -> Result<Session, postgres::Error> {
        let mut config = postgres::Config::new();
        config.host_path(&self.home).user(role).dbname(database).application_name("foreman-tests");
        Session::try_connect(config)
    }

    fn admin(&self) -> Session {
        self.session("postgres")
    }

    /// Where the socket is: what libpq takes as `host`.
    pub fn socket(&self) -> &str {
        self.home.to_str().expect("mktemp gives ASCII")
    }

    /// Stops the server as an administrator would; `mode` is `fast`, `smart` or `immediate`.
    pub fn stop(&self, mode: &str) {
        succeed(&mut self.pg_ctl(&["stop", "-w", "-m", mode]));
    }

    /// Kills the server, every process of it, without a word. `start_again` lets it recover.
    pub fn kill(&self) {
        let pid_file = self.data().join("postmaster.pid");
        let content = fs::read_to_string(&pid_file).expect("a server that runs has a pid file");
        let postmaster: u32 = content.lines().next().and_then(|line| line.parse().ok()).expect("a pid comes first");
        // While it is stopped it starts no process that the list would lack.
        process::signal("STOP", &[postmaster]);
        wait_until("the postmaster to stop", || process::state(postmaster) == Some('T'));
        let mut all = process::children(postmaster);
        all.push(postmaster);
        process::signal("KILL", &all);
        wait_until("the server to be gone", || all.iter().all(|pid| process::is_gone(*pid)));
        // Its pid may be in use again, even by a zombie, and would then pass for a server that runs.
        fs::remove_file(pid_file).expect("the pid file can be removed");
        for entry in fs::read_dir(&self.home).expect("the cluster has a home").flatten() {
            if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
                fs::remove_file(entry.path()).expect("the socket can be removed");
            }
        }
    }

    /// Starts a server that was killed or stopped.
    pub fn start_again(&self) {
        self.go();
    }

    /// The data directory, for what can only be done to a server that is stopped.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The whole log so far.
    pub fn log(&self) -> Vec<LogEntry> {
        log::entries(&fs::read_to_string(self.home.join("log")).expect("the server has a log"))
    }

    /// One of the server's programs, to be run as the server's user.
    pub fn program(&self, name: &str) -> Command {
        as_server_user(bindir().join(name))
    }

    fn in_new_home() -> Self {
        let made = succeed(as_server_user("mktemp").args(["-d", "/tmp/foreman-test.XXXXXX"]));
        let home = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
        let stop = pg_ctl(&home, &["stop", "-w", "-m", "immediate"]);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&home)
            .arg(stop.get_program())
            .args(stop.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell to keep the cluster");
        Self { home, keeper, template: OnceLock::new(), databases: AtomicUsize::new(0) }
    }

    fn configure(&self, lines: &[&str]) {
        let mut conf = fs::OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .expect("initdb has written postgresql.conf");
        let own = format!(
            "{SETTINGS}unix_socket_directories = '{}'\nlog_line_prefix = '{}'\n{}\n",
            self.socket(),
            log::PREFIX,
            lines.join("\n")
        );
        conf.write_all(own.as_bytes()).expect("postgresql.conf can be written");
    }

    fn go(&self) {
        let log = self.home.join("log");
        let started = self.pg_ctl(&["start", "-w"]).arg("-l").arg(&log).output().expect("pg_ctl runs");
        assert!(
            started.status.success(),
            "the server did not start:\n{}",
            fs::read_to_string(&log).unwrap_or_else(|_| String::from_utf8_lossy(&started.stderr).into_owned())
        );
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Command {
        pg_ctl(&self.home, arguments)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing to be done about a keeper that can't be waited for, and a Drop must not panic.
        let _ = self.keeper.wait();
    }
}

/// The server's version as in `server_version_num`, without the minor part: 15, 16, …
pub fn server_version() -> u32 {
    let said = pg_config("--version");
    let digits: String = said.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("pg_config --version said {said}"))
}

fn pg_ctl(home: &Path, arguments: &[&str]) -> Command {
    let mut command = as_server_user(bindir().join("pg_ctl"));
    command.args(arguments).arg("-D").arg(home.join("data"));
    command
}

/// The server refuses to run as root, so root hands its programs to the user postgres.
pub fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    let we_are_root = fs::metadata("/proc/self").expect("Linux has /proc").uid() == 0;
    let mut command = if we_are_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // A directory that the server's user may stand in, and none of what would reach the server or libpq from our own
    // environment: PGDATA, PGHOST, a language, RUST_BACKTRACE (which pgrx puts into the client's DETAIL).
    command.current_dir("/").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn bindir() -> &'static Path {
    static BINDIR: OnceLock<PathBuf> = OnceLock::new();
    BINDIR.get_or_init(|| PathBuf::from(pg_config("--bindir")))
}

fn pg_config(what: &str) -> String {
    let program = std::env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
    let said = succeed(Command::new(program).arg(what));
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Runs a command that must succeed.
#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_cluster_leaves_neither_server_nor_directory() {
        let cluster = Cluster::start(&[]);
        let home = cluster.home.clone();
        let mut session = cluster.empty_database().session();
        assert_eq!(session.one::<i32>("SELECT 1", &[]), 1);
        drop(cluster);
        assert!(!home.exists());
        assert!(session.try_run("SELECT 1").is_err());
    }

    #[test]
    fn a_killed_cluster_can_be_started_again() {
        let cluster = Cluster::start(&["fsync = on", "full_page_writes = on"]);
        let db = cluster.empty_database();
        let (name, mut session) = (db.name().to_owned(), db.session());
        session.run("CREATE TABLE t AS SELECT 42 AS n");
        cluster.kill();
        assert!(session.try_run("SELECT 1").is_err());
        assert!(cluster.try_session(&name).is_err());
        cluster.start_again();
        assert_eq!(cluster.existing_database(&name).see::<i32>("SELECT n FROM t"), 42);
    }

    #[test]
    fn a_standby_follows_its_primary() {
        let primary = Cluster::start(&[]);
        let standby = primary.standby(&[]);
        let db = primary.empty_database();
        db.session().run("CREATE TABLE t AS SELECT 42 AS n");
        standby.catch_up_with(&primary);
        assert_eq!(standby.existing_database(db.name()).see::<i32>("SELECT n FROM t"), 42);
    }
}
