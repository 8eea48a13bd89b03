//! A hundred thousand calls leave the backend as it was: each in a transaction of its own, not a byte stays; all in one
//! transaction, at most 100 bytes a call, which the server itself needs for its subtransactions. Successful calls and
//! failing ones.
//!
//! The memory contexts are the server's account; what Rust allocates is not in it, so the process's own anonymous
//! memory is looked at as well.

use foreman_tests::{Cluster, Database, Reply, Session};

const CALLS: i64 = 100_000;

/// Calls before the first look, which fill the caches.
const WARM_UP: i64 = 2_000;

/// A successful call, and failing ones of each kind: refused before anything happens, refused by what is there, and
/// failing in the server.
const SUCCESSFUL: &str = "foreman.create_job('memory', '{\"a\": [1, 2, 3]}')";
const FAILING: [&str; 3] = [
    "foreman.create_job('')",
    "foreman.create_job('memory', unique_key => 'taken', on_duplicate => 'error')",
    "foreman.execute('SELECT 1 / 0')",
];

/// Bytes used in the backend's memory contexts, and bytes of anonymous memory of its process.
#[derive(Clone, Copy, Debug)]
struct Memory {
    contexts: i64,
    process: i64,
}

impl Memory {
    fn of(session: &mut Session) -> Self {
        let contexts = session.one("SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts", &[]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", session.pid())).expect("the backend lives");
        let line = status.lines().find(|line| line.starts_with("RssAnon")).expect("Linux tells RssAnon");
        let kb: i64 = line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number of kB");
        Self { contexts, process: kb * 1024 }
    }
}

/// Makes the calls, one after the other, and looks at the status of each.
fn make(session: &mut Session, calls: &[&str], times: i64, status: &str, after_each: &str) {
    let calls: Vec<_> = calls
        .iter()
        .map(|call| {
            format!(
                "reply := {call};
                 IF reply->>'status' <> '{status}' THEN RAISE '%', reply; END IF;
                 {after_each}"
            )
        })
        .collect();
    let turns = times / calls.len() as i64;
    session.run(&format!(
        "DO $$ DECLARE reply jsonb; BEGIN FOR n IN 1..{turns} LOOP {} END LOOP; END $$",
        calls.join("\n")
    ));
}

fn session(db: &Database) -> Session {
    let mut session = db.session();
    session.run("SET statement_timeout = 0");
    session.call("create_job('memory', unique_key => 'taken')").succeeded();
    session
}

/// What grew over the calls.
fn growth(session: &mut Session, calls: &[&str], status: &str, after_each: &str) -> Memory {
    make(session, calls, WARM_UP, status, after_each);
    let before = Memory::of(session);
    make(session, calls, CALLS, status, after_each);
    let after = Memory::of(session);
    Memory { contexts: after.contexts - before.contexts, process: after.process - before.process }
}

#[track_caller]
fn assert_flat_in_own_transactions(calls: &[&str], status: &str) {
    let db = Cluster::shared().database();
    let grown = growth(&mut session(&db), calls, status, "COMMIT;");
    // Less than a byte a call: what is left is the server's own caches.
    assert!(grown.contexts < CALLS, "{grown:?}");
    // The allocator gives nothing back and shared buffers are not counted: 20 bytes a call would be a leak.
    assert!(grown.process < 20 * CALLS, "{grown:?}");
    db.assert_no_warning_in_the_log();
}

#[track_caller]
fn assert_little_in_one_transaction(calls: &[&str], status: &str) {
    let db = Cluster::shared().database();
    let mut session = session(&db);
    session.run("BEGIN");
    let grown = growth(&mut session, calls, status, "");
    session.run("COMMIT");
    assert!(grown.contexts <= 100 * CALLS, "{grown:?}");
    assert!(grown.process <= 120 * CALLS, "{grown:?}");
    db.assert_no_warning_in_the_log();
}

#[test]
fn successful_calls_in_their_own_transactions_leave_no_memory_behind() {
    assert_flat_in_own_transactions(&[SUCCESSFUL], "success");
}

#[test]
fn failing_calls_in_their_own_transactions_leave_no_memory_behind() {
    assert_flat_in_own_transactions(&FAILING, "error");
}

#[test]
fn successful_calls_in_one_transaction_take_at_most_a_hundred_bytes_each() {
    assert_little_in_one_transaction(&[SUCCESSFUL], "success");
}

#[test]
fn failing_calls_in_one_transaction_take_at_most_a_hundred_bytes_each() {
    assert_little_in_one_transaction(&FAILING, "error");
}
