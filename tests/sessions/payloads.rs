//! A payload comes back equal, whatever it is: equal in SQL, and in its very text.

use foreman_tests::{Cluster, Database, Reply, Session};

/// Creates a job with the payload that the SQL expression gives, and lets the server compare what comes back.
#[track_caller]
fn assert_comes_back(session: &mut Session, payload: &str) {
    let equal: Vec<bool> = session.one(
        &format!(
            "WITH given AS MATERIALIZED (SELECT ({payload})::jsonb AS payload),
                  created AS MATERIALIZED (SELECT payload, foreman.create_job('payloads', payload) AS reply FROM given)
             SELECT ARRAY[reply->>'status' = 'success', job = payload, job::text = payload::text]
               FROM created,
                    LATERAL (SELECT foreman.get_job((reply->>'job_id')::bigint)->'job'->'payload' AS job) AS got"
        ),
        &[],
    );
    assert_eq!(equal, [true, true, true], "{payload}");
}

const PAYLOADS: &[&str] = &[
    "'{}'",
    "'[]'",
    "'null'",
    "'true'",
    "'\"\"'",
    "'0'",
    "'-0.0'",
    "'1.10'",
    "'12345678901234567890.123456789'",
    "'1e400'",
    "'-1e-400'",
    "'{\"number\": 12345678901234567890.123456789, \"big\": [1e400]}'",
    // A thousand levels of arrays, and of objects.
    "repeat('[', 1000) || repeat(']', 1000)",
    "repeat('{\"a\":', 1000) || '1' || repeat('}', 1000)",
    // What text can hold beyond letters.
    r#"'"\u0001\u001f\" \\ \/ \b\f\n\r\t"'"#,
    // Many members, and one large one: past TOAST's compression and out of line.
    "(SELECT jsonb_object_agg('key' || n, n) FROM generate_series(1, 5000) AS n)",
    "to_jsonb((SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) AS n))",
];

fn assert_all_come_back(db: &Database) {
    let mut session = db.session();
    for payload in PAYLOADS {
        assert_comes_back(&mut session, payload);
    }
}

#[test]
fn payloads_come_back_equal() {
    let db = Cluster::shared().database();
    assert_all_come_back(&db);
    let mut session = db.session();
    assert_comes_back(&mut session, "'{\"grüße\": [\"Ελλάδα\", \"日本語\", \"🎉\", \"e\u{301}\"]}'");
    db.assert_no_warning_in_the_log();
}

#[test]
fn payloads_come_back_equal_in_a_latin1_database() {
    let db = Cluster::shared().database_in("LATIN1");
    assert_all_come_back(&db);
    let mut session = db.session();
    assert_eq!(session.one::<String>("SHOW server_encoding", &[]), "LATIN1");
    assert_comes_back(&mut session, "'{\"grüße\": [\"ÿþ\", \"äöüß\"]}'");
    // Not in jsonb alone: the texts that we decode and quote back as well.
    let job = session.call("create_job('Köln', job_type => 'Müll', unique_key => 'ß')").succeeded().job_id();
    let job = session.call(&format!("get_job({job})")).succeeded();
    assert_eq!((&job["job"]["queue"], &job["job"]["job_type"]), (&"Köln".into(), &"Müll".into()), "{job:#}");
    let refused = session.call("update_job_status(1, 'läuft')").failed_with("INVALID_PARAMS");
    assert!(refused["got"].to_string().contains("läuft"), "{refused:#}");
    let failed = session.call("execute('SELECT ''ü''::int')").failed_with("INVALID_PARAMS");
    assert_eq!(failed["sqlstate"], "22P02", "{failed:#}");
    session.set("foreman.debug", "on");
    let told = session.call("execute('SELECT ''ü''::int')").failed_with("INVALID_PARAMS");
    assert!(told["message"].to_string().contains("\\\"ü\\\""), "{told:#}");
    db.assert_no_warning_in_the_log();
}

#[test]
fn results_and_metadata_and_settings_come_back_equal_too() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for value in ["'12345678901234567890.123456789'", "'1e400'", "repeat('[', 1000) || repeat(']', 1000)"] {
        let given = format!("({value})::jsonb");
        let create = format!("create_job('q', metadata => jsonb_build_object('v', {given}))");
        let job = session.call(&create).succeeded().job_id();
        session.call(&format!("update_job_success({job}, {given})")).succeeded();
        let equal: Vec<bool> = session.one(
            &format!(
                "SELECT ARRAY[job->'result' = {given},
                              (job->'result')::text = ({given})::text,
                              job->'metadata'->'v' = {given}]
                   FROM (SELECT foreman.get_job({job})->'job' AS job) AS got"
            ),
            &[],
        );
        assert_eq!(equal, [true, true, true], "{value}");

        session.call(&format!("set_setting('k', {given})")).succeeded();
        let equal: bool = session.one(&format!("SELECT foreman.get_setting('k')->'value' = {given}"), &[]);
        assert!(equal, "{value}");
    }
}

#[test]
fn a_payload_is_bounded_and_the_bound_is_a_setting() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let of_size = |kb: i32| format!("create_job('q', to_jsonb(repeat(md5('x'), {kb} * 32)))");
    session.call(&of_size(1000)).succeeded();
    let refused = session.call(&of_size(1025)).failed_with("INVALID_PARAMS");
    assert_eq!(refused["argument"], "payload", "{refused:#}");
    assert!(refused.to_string().len() < 2000, "what came is cut short");
    session.set("foreman.max_payload_bytes", "4MB");
    session.call(&of_size(1025)).succeeded();
    session.set("foreman.max_payload_bytes", "1kB");
    session.call(&of_size(2)).failed_with("INVALID_PARAMS");
}

#[test]
fn a_payload_that_was_encoded_twice_is_stored_with_a_warning() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let reply = session.call(r#"create_job('q', '"{\"a\": 1}"')"#).succeeded();
    assert!(reply["warning"].is_string(), "{reply:#}");
    let reply = session.call(r#"create_job('q', '"just a text"')"#).succeeded();
    assert!(reply.get("warning").is_none(), "{reply:#}");
    assert_comes_back(&mut session, r#"'"{\"a\": 1}"'"#);
}
