//! Settings have a version each, so that two who change one at the same moment either both know of it or one is told.

use foreman_tests::{Cluster, Reply, Session, Value, json};

fn set(session: &mut Session, key: &str, value: &Value, expected_version: Option<i32>) -> Value {
    session.reply("SELECT foreman.set_setting($1, $2, expected_version => $3)", &[&key, value, &expected_version])
}

#[test]
fn two_sessions_that_set_the_same_new_key_at_once_both_succeed() {
    let db = Cluster::shared().database();
    for round in 1..=20 {
        let replies = db.all_at_once([1, 2].map(|n| format!("set_setting('key-{round}', '{n}')")));
        let mut versions: Vec<_> = replies.into_iter().map(|reply| reply.succeeded()["version"].as_i64()).collect();
        versions.sort();
        assert_eq!(versions, [Some(1), Some(2)]);
    }
    db.assert_no_warning_in_the_log();
}

#[test]
fn who_sets_a_key_in_an_open_transaction_is_waited_for() {
    let db = Cluster::shared().database();
    let mut first = db.session();
    first.run("BEGIN");
    set(&mut first, "k", &json!("first"), None).succeeded();
    let second = db.session().background(|s| set(s, "k", &json!("second"), None));
    db.await_blocked(second.pid);
    first.run("COMMIT");
    let (mut second, reply) = second.finish();
    assert_eq!(reply.succeeded()["version"], 2);
    assert_eq!(second.call("get_setting('k')").succeeded()["value"], "second");
}

#[test]
fn of_two_that_expect_the_same_version_one_is_told_of_the_other() {
    let db = Cluster::shared().database();
    let mut first = db.session();
    set(&mut first, "k", &json!("old"), None).succeeded();
    first.run("BEGIN");
    set(&mut first, "k", &json!("first"), Some(1)).succeeded();
    let second = db.session().background(|s| set(s, "k", &json!("second"), Some(1)));
    db.await_blocked(second.pid);
    first.run("COMMIT");
    let (mut second, reply) = second.finish();
    let refused = reply.failed_with("VERSION_CONFLICT");
    assert_eq!(refused["http_status"], 409, "{refused:#}");
    assert_eq!(
        (&refused["version"], &refused["value"]),
        (&json!(2), &json!("first")),
        "what is there now: {refused:#}"
    );
    set(&mut second, "k", &json!("second"), Some(2)).succeeded();
    assert_eq!(second.call("get_setting('k')").succeeded()["version"], 3);
}

#[test]
fn an_expected_version_of_a_key_that_is_not_there_is_a_conflict_too() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    set(&mut session, "k", &json!(1), Some(3)).failed_with("VERSION_CONFLICT");
    assert_eq!(session.call("get_setting('k', '\"default\"')").succeeded()["value"], "default");
}

#[test]
fn the_history_says_who_changed_what() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    set(&mut session, "k", &json!({"a": 1}), None).succeeded();
    set(&mut session, "k", &json!({"a": 2}), None).succeeded();
    session.call("delete_setting('k')").succeeded();
    let history: Value = session.one(
        "SELECT jsonb_agg(to_jsonb(h) ORDER BY changed_at, version) FROM foreman.setting_history AS h WHERE key = 'k'",
        &[],
    );
    let history = history.as_array().expect("a history");
    assert_eq!(history.len(), 3, "{history:#?}");
    assert!(history.iter().all(|change| change["changed_by"] == "postgres"), "{history:#?}");
}

#[test]
fn lists_of_settings_are_paged_by_prefix() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run(
        "SELECT foreman.set_setting('mail.' || n, to_jsonb(n)), foreman.set_setting('web.' || n, '0')
           FROM generate_series(1, 45) AS n",
    );
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = session.call(&format!("list_settings('mail.', page_size => 10{cursor})")).succeeded();
        keys.extend(
            page["settings"].as_array().expect("settings").iter().map(|s| s["key"].as_str().expect("a key").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!(", cursor => '{next}'"),
            None => break,
        }
    }
    assert_eq!(keys.len(), 45);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 45);
    assert!(keys.iter().all(|key| key.starts_with("mail.")));
}
