//! With `foreman.on_error = 'raise'` a call that fails raises, after its retries, what the server raised: its SQLSTATE,
//! its message, its constraint. Our own errors are of class JF.

use foreman_tests::postgres::error::DbError;
use foreman_tests::{Cluster, Crossing, Reply, Session};

const RAISE: (&str, &str) = ("foreman.on_error", "raise");

#[track_caller]
fn raised(session: &mut Session, call: &str) -> DbError {
    let error = session.try_call(call).expect_err("raised");
    error.as_db_error().expect("an error of the server's").clone()
}

#[test]
fn the_servers_error_is_raised_with_its_sqlstate_message_and_constraint() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[RAISE]);
    session.run(
        "CREATE TABLE t (id int CONSTRAINT ids_are_unique PRIMARY KEY, n int CONSTRAINT n_is_positive CHECK (n > 0))",
    );
    session.call("execute('INSERT INTO t VALUES (1, 1)')").succeeded();

    let error = raised(&mut session, "execute('INSERT INTO t VALUES (1, 1)')");
    assert_eq!(error.code().code(), "23505");
    assert_eq!(error.constraint(), Some("ids_are_unique"));
    assert_eq!(error.message(), "duplicate key value violates unique constraint \"ids_are_unique\"");
    assert_eq!(error.detail(), Some("Key (id)=(1) already exists."), "its caller owns the data");

    let error = raised(&mut session, "execute('INSERT INTO t VALUES (2, 0)')");
    assert_eq!((error.code().code(), error.constraint()), ("23514", Some("n_is_positive")));

    let error = raised(&mut session, "execute('SELECT 1 / 0')");
    assert_eq!((error.code().code(), error.message()), ("22012", "division by zero"));
    db.assert_no_warning_in_the_log();
}

#[test]
fn our_own_errors_are_raised_in_class_jf() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[RAISE]);
    for call in ["create_job('')", "get_job(4711)", "list_jobs('q', page_size => 0)", "execute('COMMIT')"] {
        let error = raised(&mut session, call);
        assert!(error.code().code().starts_with("JF"), "{call}: {error:?}");
    }
    let job = session.call("create_job('q')").succeeded().job_id();
    session.call(&format!("update_job_success({job}, '1')")).succeeded();
    let error = raised(&mut session, &format!("update_job_status({job}, 'running')"));
    assert!(error.code().code().starts_with("JF"), "{error:?}");
}

#[test]
fn a_raised_error_can_be_caught_in_plpgsql_and_undoes_what_its_block_did() {
    let db = Cluster::shared().database();
    let mut session = db.session_with(&[RAISE]);
    session.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    session.run(
        "DO $$
         BEGIN
             BEGIN
                 PERFORM foreman.create_job('undone');
                 PERFORM foreman.execute('INSERT INTO t VALUES (1)');
             EXCEPTION WHEN unique_violation THEN
                 PERFORM foreman.create_job('caught');
             END;
         END $$",
    );
    assert_eq!(db.see::<String>("SELECT string_agg(queue, ' ') FROM foreman.jobs"), "caught");
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_deadlock_is_raised_only_when_the_retries_are_used_up() {
    let db = Cluster::shared().database();
    let mut crossing = Crossing::of(&db);
    let last_to_look = ("deadlock_timeout", "60s");
    let quick = ("foreman.retry_base_delay", "20ms");
    for (retries, raised) in [("3", false), ("0", true)] {
        let mine = db.session_with(&[RAISE, quick, ("foreman.max_retries", retries)]);
        let other = db.session_with(&[RAISE, last_to_look]);
        let ((_, outcome), (_, others_outcome)) = crossing.collide(
            (mine, |s| s.try_call("execute('SELECT cross_rows(1, 2)')")),
            (other, |s| s.try_call("execute('SELECT cross_rows(2, 1)')")),
        );
        others_outcome.expect("the other is not the victim");
        match outcome {
            Ok(reply) => assert!(!raised && reply.succeeded().attempts() >= 2),
            Err(error) => {
                let error = error.as_db_error().expect("the server's error").clone();
                assert!(raised, "{error:?}");
                assert_eq!((error.code().code(), error.message()), ("40P01", "deadlock detected"));
            }
        }
    }
}

#[test]
fn a_checked_reply_raises_its_error_and_hands_back_what_is_none() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("check(foreman.create_job('q', unique_key => 'k'))").succeeded();
    assert_eq!(session.call("check(foreman.create_job('q', unique_key => 'k'))")["status"], "skipped");
    let error = raised(&mut session, "check(foreman.create_job('q', unique_key => 'k', on_duplicate => 'error'))");
    assert_eq!(error.code().code(), "23505");
    let error = raised(&mut session, "check(foreman.get_job(4711))");
    assert!(error.code().code().starts_with("JF"), "{error:?}");
}
