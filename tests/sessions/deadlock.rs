//! Two sessions deadlock, the server picks a victim, and its call is tried again and succeeds. Where trying again in
//! the same transaction can't help, because that transaction holds the row that the other waits for, the answer says so
//! at once instead of waiting.
//!
//! Who becomes the victim is steered: it is the session whose deadlock_timeout ends, so the other is given a minute.

use std::time::{Duration, Instant};

use foreman_tests::{Cluster, Crossing, Database, Reply, Session, Value};

/// Waits so long for the deadlock to be found that the other session has found it first.
const NEVER_THE_VICTIM: (&str, &str) = ("deadlock_timeout", "60s");

/// A pause before the retry that would show: the answers below come without one.
const LONG_PAUSE: (&str, &str) = ("foreman.retry_base_delay", "10s");
const WITHOUT_A_PAUSE: Duration = Duration::from_secs(4);

/// Lets the two calls deadlock fifty times. `calls` makes a round's two calls, of which the first takes the rows of
/// [`Crossing`] in one order and the second in the other.
fn deadlock_fifty_times(db: &Database, mut calls: impl FnMut(&mut Session) -> [String; 2]) {
    let mut crossing = Crossing::of(db);
    let mut setup = db.session();
    let pause = ("foreman.retry_base_delay", "20ms");
    let mut one = db.session_with(&[pause, ("crossing.way", "1,2")]);
    let mut other = db.session_with(&[pause, ("crossing.way", "2,1")]);
    for round in 1..=50 {
        let [call, others_call] = calls(&mut setup);
        let (reply, others_reply);
        ((one, reply), (other, others_reply)) =
            crossing.collide((one, move |s| s.call(&call)), (other, move |s| s.call(&others_call)));
        let attempts = (reply.succeeded().attempts(), others_reply.succeeded().attempts());
        assert!(matches!(attempts, (1, 2..) | (2.., 1)), "round {round}: one is retried, got {attempts:?}");
    }
    db.assert_no_warning_in_the_log();
}

fn new_job(session: &mut Session) -> i64 {
    session.call("create_job('work')").succeeded().job_id()
}

#[test]
fn two_status_updates_that_deadlock_both_succeed_fifty_times_in_a_row() {
    let db = Cluster::shared().database();
    deadlock_fifty_times(&db, |s| [new_job(s), new_job(s)].map(|job| format!("update_job_status({job}, 'running')")));
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE status = 'running'"), 100);
    // Each call has crossed both rows once and only once: what a victim did was undone before it was done again.
    assert_eq!(db.see::<i64>("SELECT sum(hits) FROM crossing"), 200);
}

#[test]
fn two_bulk_updates_that_deadlock_both_succeed_fifty_times_in_a_row() {
    let db = Cluster::shared().database();
    deadlock_fifty_times(&db, |s| {
        [[new_job(s), new_job(s)], [new_job(s), new_job(s)]]
            .map(|[a, b]| format!("bulk_update_job_status(ARRAY[{a}, {b}], 'running')"))
    });
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE status = 'running'"), 200);
    assert_eq!(db.see::<i64>("SELECT sum(hits) FROM crossing"), 400);
}

#[test]
fn two_statements_of_the_callers_that_deadlock_both_succeed_fifty_times_in_a_row() {
    let db = Cluster::shared().database();
    deadlock_fifty_times(&db, |_| ["1, 2", "2, 1"].map(|way| format!("execute('SELECT cross_rows({way})')")));
    assert_eq!(db.see::<i64>("SELECT sum(hits) FROM crossing"), 200);
}

/// The reply of a call that deadlocked over a row of its own caller's transaction.
fn assert_only_a_new_transaction_helps(reply: Value, took: Duration) {
    let reply = reply.failed_with("DB_DEADLOCK");
    assert_eq!(reply["sqlstate"], "40P01", "{reply:#}");
    assert_eq!(reply["http_status"], 503, "{reply:#}");
    assert_eq!(reply["retryable"], true, "{reply:#}");
    assert_eq!(reply["retry_scope"], "transaction", "{reply:#}");
    assert_eq!(reply.attempts(), 1, "{reply:#}");
    assert!(took < WITHOUT_A_PAUSE, "the answer took {took:?}");
}

#[test]
fn a_deadlock_over_a_job_of_the_callers_own_transaction_is_answered_at_once_and_leaves_it_usable() {
    let db = Cluster::shared().database();
    db.session().run("CREATE TABLE kept (n int)");
    let mut mine = db.session_with(&[LONG_PAUSE]);
    let mut other = db.session_with(&[NEVER_THE_VICTIM, ("foreman.lock_timeout", "0")]);
    let (first, second) = (new_job(&mut mine), new_job(&mut mine));

    mine.run("BEGIN; INSERT INTO kept VALUES (1)");
    mine.call(&format!("update_job_status({first}, 'running')")).succeeded();
    other.run("BEGIN");
    other.call(&format!("update_job_status({second}, 'running')")).succeeded();
    let other = other.background(move |s| s.call(&format!("update_job_status({first}, 'failed', error => 'x')")));
    db.await_blocked(other.pid);

    let start = Instant::now();
    let reply = mine.call(&format!("update_job_status({second}, 'completed')"));
    assert_only_a_new_transaction_helps(reply, start.elapsed());

    mine.run("INSERT INTO kept VALUES (2); COMMIT");
    assert_eq!(db.see::<i64>("SELECT sum(n) FROM kept"), 3);
    let (mut other, reply) = other.finish();
    reply.succeeded();
    other.run("COMMIT");
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_deadlock_over_a_row_of_the_callers_own_transaction_is_answered_at_once_by_execute_too() {
    let db = Cluster::shared().database();
    db.session().run("CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0); INSERT INTO t VALUES (1), (2)");
    let mut mine = db.session_with(&[LONG_PAUSE]);
    let mut other = db.session_with(&[NEVER_THE_VICTIM]);

    mine.run("BEGIN; UPDATE t SET n = 10 WHERE id = 1");
    other.run("BEGIN; UPDATE t SET n = n + 1 WHERE id = 2");
    let other = other.background(|s| s.run("UPDATE t SET n = n + 1 WHERE id = 1"));
    db.await_blocked(other.pid);

    let start = Instant::now();
    let reply = mine.call("execute('UPDATE t SET n = n + 10 WHERE id = 2')");
    assert_only_a_new_transaction_helps(reply, start.elapsed());

    mine.run("COMMIT");
    let (mut other, ()) = other.finish();
    other.run("COMMIT");
    assert_eq!(db.see::<String>("SELECT string_agg(n::text, ' ' ORDER BY id) FROM t"), "11 1");
}

#[test]
fn a_bystander_that_waits_for_the_caller_does_not_keep_the_call_from_being_retried() {
    let db = Cluster::shared().database();
    let mut crossing = Crossing::of(&db);
    db.session().run("CREATE TABLE held (n int); INSERT INTO held VALUES (0)");
    let mut mine = db.session_with(&[("foreman.retry_base_delay", "20ms")]);
    mine.run("BEGIN; UPDATE held SET n = n + 1");
    let bystander = db.session().background(|s| s.run("UPDATE held SET n = n + 1"));
    db.await_blocked(bystander.pid);

    let other = db.session_with(&[NEVER_THE_VICTIM]);
    let ((mut mine, reply), (_, others_reply)) = crossing.collide(
        (mine, |s| s.call("execute('SELECT cross_rows(1, 2)')")),
        (other, |s| s.call("execute('SELECT cross_rows(2, 1)')")),
    );
    assert!(reply.succeeded().attempts() >= 2);
    assert_eq!(others_reply.succeeded().attempts(), 1);

    mine.run("COMMIT");
    bystander.finish();
    assert_eq!(db.see::<i32>("SELECT n FROM held"), 2);
}

#[test]
fn a_trigger_that_creates_a_job_in_a_deadlock_is_retried_whole_and_once_by_the_outermost_call() {
    let db = Cluster::shared().database();
    let mut crossing = Crossing::of(&db);
    db.session().run(
        "CREATE TABLE orders (id int PRIMARY KEY, reply jsonb);
         CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             NEW.reply := foreman.create_job('orders', to_jsonb(NEW.id));
             RETURN NEW;
         END $$;
         CREATE TRIGGER enqueue BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();",
    );
    // The first job of a queue makes the queue, which another session's first job would wait for.
    db.session().call("create_job('orders')").succeeded();
    let mine = db.session_with(&[("foreman.retry_base_delay", "20ms"), ("crossing.way", "1,2")]);
    let other = db.session_with(&[NEVER_THE_VICTIM, ("crossing.way", "2,1")]);
    let ((_, reply), (_, others_reply)) = crossing.collide(
        (mine, |s| s.call("execute('INSERT INTO orders VALUES ($1)', '[1]')")),
        (other, |s| s.call("execute('INSERT INTO orders VALUES ($1)', '[2]')")),
    );

    assert_eq!(reply.succeeded().attempts(), 2, "the outermost call retries, and its retry meets nobody");
    assert_eq!(others_reply.succeeded().attempts(), 1);
    // The deadlock struck inside create_job. Had that been answered with a reply instead of being handed up, the
    // trigger would have stored it; had it been retried there, the reply would count two attempts.
    assert_eq!(
        db.see::<i64>(
            "SELECT count(*) FROM orders
              WHERE reply->>'status' = 'success' AND coalesce((reply->>'attempts')::int, 1) = 1"
        ),
        2
    );
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE queue = 'orders'"), 3);
}

#[test]
fn a_deadlock_that_outlives_the_retries_keeps_its_sqlstate_and_in_debug_its_words() {
    let db = Cluster::shared().database();
    let mut crossing = Crossing::of(&db);
    let mut collide = |debug: &str| {
        let mine = db.session_with(&[("foreman.max_retries", "0"), ("foreman.debug", debug)]);
        let other = db.session_with(&[NEVER_THE_VICTIM]);
        let ((_, reply), _) = crossing.collide(
            (mine, |s| s.call("execute('SELECT cross_rows(1, 2)')")),
            (other, |s| s.call("execute('SELECT cross_rows(2, 1)')")),
        );
        let reply = reply.failed_with("DB_DEADLOCK");
        assert_eq!(reply["sqlstate"], "40P01", "{reply:#}");
        assert_eq!(reply.attempts(), 1, "{reply:#}");
        reply
    };

    let quiet = collide("off");
    assert!(quiet.get("debug_details").is_none(), "{quiet:#}");
    assert!(!quiet.to_string().contains("crossing"), "nothing of the server's words: {quiet:#}");

    let reply = collide("on");
    let details = &reply["debug_details"];
    assert_eq!(details["exception_message"], "deadlock detected", "{reply:#}");
    assert_eq!(reply["message"], "deadlock detected", "{reply:#}");
    for (field, words) in [("detail", "waits for"), ("hint", "See server log"), ("context", "crossing")] {
        assert!(details[field].as_str().is_some_and(|said| said.contains(words)), "{field} in {reply:#}");
    }
}
