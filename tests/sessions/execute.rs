//! `foreman.execute` puts a statement of the caller's own under the guard: one statement, with bound parameters, with
//! the caller's rights and search_path, and with its rows in the reply. (That it retries is shown in `deadlock` and
//! `timeouts`.)

use foreman_tests::{Cluster, Reply, Session, Value, json, sqlstate};

/// A call with its parameters handed over as such: what a driver does.
fn execute(session: &mut Session, statement: &str, params: &Value) -> Value {
    session.reply("SELECT foreman.execute($1, $2)", &[&statement, params])
}

#[test]
fn the_reply_carries_rows_counts_attempts_and_duration() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let reply = execute(
        &mut session,
        "SELECT n, 'x' || n AS name, NULL AS nothing FROM generate_series(1, 2) AS n",
        &json!([]),
    )
    .succeeded();
    assert_eq!(
        reply["rows"],
        json!([{"n": 1, "name": "x1", "nothing": null}, {"n": 2, "name": "x2", "nothing": null}])
    );
    assert_eq!((&reply["row_count"], &reply["attempts"]), (&json!(2), &json!(1)), "{reply:#}");
    assert!(reply["duration_ms"].is_number(), "{reply:#}");

    session.run("CREATE TABLE t (n int)");
    let reply = execute(&mut session, "INSERT INTO t SELECT generate_series(1, 7)", &json!([])).succeeded();
    assert_eq!((&reply["row_count"], &reply["rows"]), (&json!(7), &json!([])), "{reply:#}");
    let reply = execute(&mut session, "DELETE FROM t WHERE n > 5 RETURNING n", &json!([])).succeeded();
    assert_eq!((&reply["row_count"], &reply["rows"]), (&json!(2), &json!([{"n": 6}, {"n": 7}])), "{reply:#}");
    let reply = execute(&mut session, "CREATE INDEX ON t (n)", &json!([])).succeeded();
    assert_eq!(reply["rows"], json!([]), "{reply:#}");
}

#[test]
fn parameters_are_bound_and_never_formatted_in() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE t (id bigint, name text, at timestamptz, doc jsonb, is_it boolean, list int[])");
    let nasty = "'; DROP TABLE t; -- $1 \\ \" %s";
    execute(
        &mut session,
        "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6)",
        &json!([9007199254740993_i64, nasty, "2024-02-29T12:00:00Z", {"a": [1, null]}, true, "{1,2}"]),
    )
    .succeeded();
    let reply = execute(&mut session, "SELECT * FROM t WHERE name = $1", &json!([nasty])).succeeded();
    let row = &reply["rows"][0];
    assert_eq!(row["id"], json!(9007199254740993_i64), "{reply:#}");
    assert_eq!(row["name"], nasty);
    assert_eq!((&row["doc"], &row["is_it"], &row["list"]), (&json!({"a": [1, null]}), &json!(true), &json!([1, 2])));

    let reply = execute(&mut session, "SELECT $1::text IS NULL AS is_null", &json!([null])).succeeded();
    assert_eq!(reply["rows"], json!([{"is_null": true}]));
    let reply = execute(&mut session, "SELECT $1::numeric * 2 AS n", &json!([1.25])).succeeded();
    assert_eq!(reply["rows"][0]["n"].to_string(), "2.50");

    for (statement, params) in [
        ("SELECT $1::int", json!([])),
        ("SELECT 1", json!([1])),
        ("SELECT $1::int + $2::int", json!([1])),
        ("SELECT 1", json!({"a": 1})),
        ("SELECT $1::int", json!(["seven"])),
    ] {
        execute(&mut session, statement, &params).failed_with("INVALID_PARAMS");
    }
}

#[test]
fn several_statements_in_one_text_are_refused_and_none_of_them_runs() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE t (n int)");
    for statement in [
        "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
        "INSERT INTO t VALUES (1); SELECT 1;",
        "SELECT 1; DROP TABLE t",
        "",
        "   ;  ",
        "-- nothing but a comment",
    ] {
        let reply = execute(&mut session, statement, &json!([])).failed_with("INVALID_PARAMS");
        assert_eq!(reply["argument"], "statement", "{statement}: {reply:#}");
    }
    assert_eq!(db.see::<i64>("SELECT count(*) FROM t"), 0);
    // One statement with a semicolon at its end, or inside a text, is one statement.
    execute(&mut session, "INSERT INTO t VALUES (1);", &json!([])).succeeded();
    execute(&mut session, "SELECT ';' AS semicolon; -- done", &json!([])).succeeded();
}

#[test]
fn transaction_control_and_copy_are_refused_with_a_clear_answer() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE t (n int)");
    for transaction in [false, true] {
        if transaction {
            session.run("BEGIN; INSERT INTO t VALUES (1)");
        }
        for statement in [
            "BEGIN",
            "START TRANSACTION",
            "COMMIT",
            "/* well */ commit and chain",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT s",
            "ROLLBACK TO s",
            "RELEASE s",
            "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'x'",
            "ROLLBACK PREPARED 'x'",
            "COPY t FROM STDIN",
            "COPY t TO STDOUT",
            "COPY t TO '/dev/null'",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
        ] {
            let reply = execute(&mut session, statement, &json!([])).failed_with("INVALID_PARAMS");
            assert_eq!(reply["argument"], "statement", "{statement}: {reply:#}");
        }
        if transaction {
            session.run("COMMIT");
        }
    }
    assert_eq!(db.see::<i64>("SELECT count(*) FROM t"), 1);
    // What hides transaction control is ended by the server, and the session goes on.
    session.run("CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$");
    for statement in ["CALL commits()", "DO $$ BEGIN COMMIT; END $$", "VACUUM t"] {
        let reply = execute(&mut session, statement, &json!([]));
        assert_eq!(reply["status"], "error", "{statement}: {reply:#}");
    }
    session.call("create_job('after')").succeeded();
    db.assert_no_warning_in_the_log();
}

#[test]
fn more_rows_than_asked_for_are_cut_and_the_reply_says_so() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let mut rows = |call: &str| {
        let reply = session.call(call).succeeded();
        (reply["rows"].as_array().expect("rows").len(), reply["truncated"] == true)
    };
    assert_eq!(rows("execute('SELECT generate_series(1, 10)', max_rows => 3)"), (3, true));
    assert_eq!(rows("execute('SELECT generate_series(1, 3)', max_rows => 3)"), (3, false));
    assert_eq!(rows("execute('SELECT generate_series(1, 100)')"), (100, false));
    assert_eq!(rows("execute('SELECT generate_series(1, 101)')"), (100, true));
    assert_eq!(rows("execute('SELECT generate_series(1, 10)', max_rows => 0)"), (0, true));
    session.call("execute('SELECT 1', max_rows => -1)").failed_with("INVALID_PARAMS");

    // What is cut is the reply, not the work.
    session.run("CREATE TABLE t (n int)");
    let reply =
        session.call("execute('INSERT INTO t SELECT generate_series(1, 50) RETURNING n', max_rows => 5)").succeeded();
    assert_eq!(reply["row_count"], 50, "{reply:#}");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM t"), 50);
}

#[test]
fn the_statement_has_the_callers_rights_and_search_path() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let role = format!("role_{}", db.name());
    session.run(&format!(
        "CREATE SCHEMA own;
         CREATE TABLE own.t AS SELECT 'own' AS which;
         CREATE TABLE public.t AS SELECT 'public' AS which;
         CREATE TABLE secret (n int);
         CREATE ROLE {role};
         GRANT USAGE ON SCHEMA own, foreman TO {role};
         GRANT SELECT ON own.t, public.t TO {role};
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA foreman TO {role};
         SET ROLE {role}; SET search_path = own"
    ));
    let reply = execute(&mut session, "SELECT which, current_user::text AS me FROM t", &json!([])).succeeded();
    assert_eq!(reply["rows"], json!([{"which": "own", "me": role}]));
    let refused = execute(&mut session, "SELECT * FROM public.secret", &json!([])).failed_with("UNAUTHORIZED");
    assert_eq!((&refused["sqlstate"], &refused["http_status"]), (&json!("42501"), &json!(401)), "{refused:#}");
    execute(&mut session, "DELETE FROM foreman.live_job", &json!([])).failed_with("UNAUTHORIZED");
    session.run(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_duplicate_is_an_error_or_skipped_as_the_caller_asks() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let refused = session.call("execute('INSERT INTO t VALUES (1)')").failed_with("DUPLICATE_ENTRY");
    assert_eq!((&refused["http_status"], &refused["retryable"]), (&json!(409), &json!(false)), "{refused:#}");
    let skipped = session.call("execute('INSERT INTO t VALUES (2), (1)', on_duplicate => 'skip')");
    assert_eq!((&skipped["status"], &skipped["reason"]), (&json!("skipped"), &json!("duplicate")), "{skipped:#}");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM t"), 1);
    session.call("execute('INSERT INTO t VALUES (1)', on_duplicate => 'perhaps')").failed_with("INVALID_PARAMS");
}

#[test]
fn a_cursor_and_a_setting_of_the_statement_last_as_long_as_they_do_without_us() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("BEGIN");
    session.call("execute('DECLARE c CURSOR FOR SELECT generate_series(1, 3)')").succeeded();
    assert_eq!(session.one::<i32>("FETCH 1 FROM c", &[]), 1);
    session.run("COMMIT");
    session.call("execute($$SET work_mem = '5MB'$$)").succeeded();
    assert_eq!(session.one::<String>("SHOW work_mem", &[]), "5MB");
    let error = session.try_run("SELECT foreman.no_such_function()").expect_err("the server's own");
    assert_eq!(sqlstate(&error), "42883");
}
