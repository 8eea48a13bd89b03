//! A call may stand wherever SQL lets a function stand: in an aggregate, in plpgsql, in a trigger, in a loop that
//! commits, in a prepared transaction, after a savepoint. The answer is right, the transaction around it is what it
//! would be without the call, and the server's log has nothing to warn of.

use foreman_tests::{Cluster, Database, Reply, Value, json, server_version, sqlstate};

fn jobs(db: &Database) -> i64 {
    db.see("SELECT count(*) FROM foreman.jobs")
}

#[test]
fn a_call_can_be_the_argument_of_an_aggregate() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let sum: i64 = session.one(
        "SELECT sum((foreman.create_job('bulk', to_jsonb(n))->>'job_id')::bigint)::bigint
           FROM generate_series(1, 5000) AS n",
        &[],
    );
    assert_eq!(sum, db.see::<i64>("SELECT sum(job_id)::bigint FROM foreman.jobs WHERE queue = 'bulk'"));
    assert_eq!(jobs(&db), 5000);
    // Failing calls in between change nothing for the others.
    let answers: Value = session.one(
        "SELECT jsonb_object_agg(status, n) FROM (
             SELECT foreman.create_job(CASE WHEN n % 2 = 0 THEN 'bulk' ELSE '' END)->>'status' AS status, count(*) AS n
               FROM generate_series(1, 1000) AS n GROUP BY 1) AS answers",
        &[],
    );
    assert_eq!(answers, json!({"success": 500, "error": 500}));
    assert_eq!(jobs(&db), 5500);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_call_in_plpgsql_keeps_to_its_place_with_and_without_an_exception_block() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run(
        "CREATE FUNCTION plain() RETURNS jsonb LANGUAGE plpgsql AS $$
         DECLARE first jsonb; refused jsonb;
         BEGIN
             first := foreman.create_job('plpgsql');
             refused := foreman.create_job('');
             RETURN jsonb_build_array(first->'status', refused->'status', foreman.create_job('plpgsql')->'status');
         END $$;

         CREATE FUNCTION undone() RETURNS jsonb LANGUAGE plpgsql AS $$
         DECLARE reply jsonb;
         BEGIN
             BEGIN
                 reply := foreman.create_job('undone');
                 PERFORM foreman.create_job('');
                 PERFORM 1 / 0;
             EXCEPTION WHEN division_by_zero THEN
                 PERFORM foreman.create_job('plpgsql');
             END;
             RETURN reply;
         END $$;",
    );
    let statuses: Value = session.one("SELECT plain()", &[]);
    assert_eq!(statuses, json!(["success", "error", "success"]));
    assert_eq!(jobs(&db), 2);

    let reply: Value = session.one("SELECT undone()", &[]);
    reply.succeeded();
    assert_eq!(jobs(&db), 3, "the block's job was rolled back with it, the handler's stayed");
    assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.jobs WHERE queue = 'undone'"), 0);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_call_in_a_trigger_belongs_to_the_statement_that_fired_it() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run(
        "CREATE TABLE orders (id int PRIMARY KEY);
         CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM foreman.check(foreman.create_job('orders', to_jsonb(NEW.id)));
             RETURN NULL;
         END $$;
         CREATE TRIGGER enqueue AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
         INSERT INTO orders SELECT generate_series(1, 100);",
    );
    assert_eq!(jobs(&db), 100);
    let error = session.try_run("INSERT INTO orders VALUES (101), (100)").expect_err("a duplicate");
    assert_eq!(sqlstate(&error), "23505");
    assert_eq!(jobs(&db), 100);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_call_in_a_cursor_loop_leaves_the_cursor_open() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run(
        "DO $$
         DECLARE n int;
         BEGIN
             FOR n IN SELECT * FROM generate_series(1, 300) LOOP
                 PERFORM foreman.create_job(CASE WHEN n % 3 = 0 THEN '' ELSE 'cursor' END, to_jsonb(n));
             END LOOP;
         END $$",
    );
    assert_eq!(jobs(&db), 200);

    // A cursor whose own query makes the calls, a few at a time.
    session.run(
        "BEGIN;
         DECLARE c CURSOR FOR SELECT foreman.create_job('cursor', to_jsonb(n)) FROM generate_series(1, 10) AS n",
    );
    for _ in 0..10 {
        session.reply("FETCH 1 FROM c", &[]).succeeded();
        session.call("create_job('')").failed_with("INVALID_PARAMS");
    }
    session.run("COMMIT");
    assert_eq!(jobs(&db), 210);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_call_in_a_do_block_that_commits_is_kept_or_lost_with_its_own_transaction() {
    let db = Cluster::shared().database();
    db.session().run(
        "DO $$
         BEGIN
             FOR n IN 1..100 LOOP
                 PERFORM foreman.create_job('do', to_jsonb(n));
                 PERFORM foreman.create_job('');
                 IF n % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
             END LOOP;
         END $$",
    );
    assert_eq!(jobs(&db), 50);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_function_that_calls_us_can_stand_in_a_query_that_would_go_parallel() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run(
        "CREATE TABLE big AS SELECT generate_series(1, 20000) AS n;
         ANALYZE big;
         CREATE FUNCTION enqueue(n int) RETURNS jsonb LANGUAGE sql VOLATILE AS
             $$ SELECT foreman.create_job('parallel', to_jsonb(n)) $$;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;",
    );
    let statuses: i64 =
        session.one("SELECT count(*) FROM big WHERE n % 100 = 0 AND enqueue(n)->>'status' = 'success'", &[]);
    assert_eq!((statuses, jobs(&db)), (200, 200));
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_function_that_was_wrongly_marked_parallel_safe_is_told_so_and_nothing_breaks() {
    let db = Cluster::shared().database();
    let force = if server_version() >= 16 { "debug_parallel_query" } else { "force_parallel_mode" };
    let mut session = db.session();
    session.run(&format!(
        "CREATE TABLE big AS SELECT generate_series(1, 1000) AS n;
         CREATE FUNCTION enqueue(n int) RETURNS jsonb LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS
             $$ BEGIN RETURN foreman.create_job('parallel', to_jsonb(n)); END $$;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET {force} = on;"
    ));
    let told = match session.query_one("SELECT enqueue(n) FROM big WHERE n = 1", &[]) {
        Ok(row) => {
            let reply: Value = row.get(0);
            assert_eq!(reply["status"], "error", "{reply:#}");
            reply["message"].to_string()
        }
        Err(error) => error.as_db_error().expect("the server's error").message().to_owned(),
    };
    assert!(told.contains("parallel"), "{told}");
    assert_eq!(jobs(&db), 0);
    session.run(&format!("SET {force} = off"));
    session.call("create_job('after')").succeeded();
}

#[test]
fn a_call_in_a_prepared_transaction_counts_when_that_is_committed_by_whomever() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let name = db.name();
    session.run("BEGIN");
    let job = session.call("create_job('prepared', unique_key => 'k')").succeeded().job_id();
    session.call("create_job('')").failed_with("INVALID_PARAMS");
    session.run(&format!("PREPARE TRANSACTION '{name}'"));
    drop(session);

    assert_eq!(jobs(&db), 0);
    db.session().run(&format!("COMMIT PREPARED '{name}'"));
    let reply = db.session().call("create_job('prepared', unique_key => 'k')");
    assert_eq!((&reply["status"], reply.job_id()), (&json!("skipped"), job), "{reply:#}");
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_rollback_to_a_savepoint_undoes_the_calls_since_and_no_others() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("BEGIN");
    session.call("create_job('before')").succeeded();
    session.run("SAVEPOINT s");
    session.call("create_job('undone', unique_key => 'k')").succeeded();
    session.call("execute('SELECT 1 / 0')").failed_with("INVALID_PARAMS");
    session.run("ROLLBACK TO s");
    session.call("create_job('after', unique_key => 'k')").succeeded();
    session.run("RELEASE s; COMMIT");
    assert_eq!(db.see::<String>("SELECT string_agg(queue, ' ' ORDER BY job_id) FROM foreman.jobs"), "before after");
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_failed_call_leaves_the_transaction_usable() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE kept (n int)");
    session.run("BEGIN; INSERT INTO kept VALUES (1)");
    session.call("create_job('q', unique_key => 'k')").succeeded();
    session.call("create_job('q', unique_key => 'k', on_duplicate => 'error')").failed_with("DUPLICATE_ENTRY");
    session.call("create_job('q', priority => 10)").failed_with("INVALID_PARAMS");
    session.call("update_job_status(1, 'no such status')").failed_with("INVALID_PARAMS");
    session.call("get_job(1000000)").failed_with("NOT_FOUND");
    session.call("execute('SELECT * FROM no_such_table')").failed_with("DB_QUERY_ERROR");
    session.run("INSERT INTO kept VALUES (2); COMMIT");
    assert_eq!(db.see::<i64>("SELECT sum(n) FROM kept"), 3);
    assert_eq!(jobs(&db), 1);
    db.assert_no_warning_in_the_log();
}

#[test]
fn a_reply_from_inside_a_transaction_says_so() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let alone = session.call("create_job('q')").succeeded();
    assert!(alone.get("in_transaction").is_none_or(|said| said == false), "{alone:#}");
    session.run("BEGIN");
    assert_eq!(session.call("create_job('q')").succeeded()["in_transaction"], true);
    assert_eq!(session.call("create_job('')").failed_with("INVALID_PARAMS")["in_transaction"], true);
    session.run("ROLLBACK");
}

#[test]
fn a_call_that_fails_for_good_inside_another_is_a_reply_there_and_undoes_nothing_outside() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("CREATE TABLE kept (n int, reply jsonb)");
    let reply = session
        .call("execute($$INSERT INTO kept SELECT 1, foreman.execute('SELECT 1 / 0') RETURNING reply$$)")
        .succeeded();
    assert_eq!(reply.attempts(), 1, "{reply:#}");
    assert_eq!(db.see::<String>("SELECT reply->>'sqlstate' FROM kept"), "22012");
}
