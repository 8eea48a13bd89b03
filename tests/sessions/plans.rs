//! The plans of our statements do not depend on what the planner believes of the tables, nor on when it made them: each job,
//! key and queue is found by its index, where the tables are empty, have grown since, or statistics are missing or wrong.
//!
//! auto_explain writes the plans into the server's log. A trigger keeps the calls from going past the executor.

use std::collections::BTreeSet;

use foreman_tests::{Cluster, Database, LogEntry, Reply, Session, Value, in_full};

const MODES: [&str; 3] = ["auto", "force_generic_plan", "force_custom_plan"];

/// Nothing is done to the tables that the test does not do, and nothing past the executor.
const SET_UP: &str = "
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(new, old); END';
CREATE TRIGGER nothing BEFORE INSERT OR UPDATE OR DELETE ON foreman.live_job FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER nothing BEFORE INSERT OR UPDATE OR DELETE ON foreman.job_key FOR EACH ROW EXECUTE FUNCTION nothing();
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'foreman'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
    END LOOP;
END
$$";

/// Jobs that wait, run and have ended, keys and queues, by the thousand.
const FILL: &str = "
INSERT INTO foreman.queue (name) SELECT 'q' || n FROM generate_series(1, 5000) AS n;
INSERT INTO foreman.live_job (id, run_at, ready_at, created_at, queue_id, max_attempts, priority, payload, metadata)
SELECT nextval('foreman.job_id_seq'), c.at, c.at, c.at, q.id, 25, n % 10, '{}', '{}'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, {rows}) AS n WHERE q.name = 'q1';
INSERT INTO foreman.live_job
    (id, run_at, ready_at, created_at, started_at, lease_expires_at, lease_seconds, lease_token, queue_id, attempt,
     max_attempts, priority, status, payload, metadata)
SELECT nextval('foreman.job_id_seq'), c.at, c.at, c.at, c.at, c.at + interval '1 h', 3600, gen_random_uuid(), q.id, 1,
       25, n % 10, 'running', '{}', '{}'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, {rows} / 20) AS n WHERE q.name = 'q1';
INSERT INTO foreman.finished_job
    (id, run_at, created_at, started_at, finished_at, queue_id, attempt, max_attempts, priority, status, payload, metadata)
SELECT nextval('foreman.job_id_seq'), c.at, c.at, c.at, c.at, q.id, 1, 25, n % 10, 'completed', '{}', '{}'
FROM foreman.queue AS q, (SELECT clock_timestamp() AS at) AS c, generate_series(1, {rows} / 20) AS n WHERE q.name = 'q1';
INSERT INTO foreman.finished_rest SELECT * FROM foreman.finished_job LIMIT {rows} / 20;
INSERT INTO foreman.job_key (queue_id, key, job_id)
SELECT q.id, 'k' || n, n FROM foreman.queue AS q, generate_series(1, {rows} / 20) AS n WHERE q.name = 'q1'";

/// What the calls have left.
const CLEAR: &str = "
DELETE FROM foreman.job_key WHERE queue_id = (SELECT id FROM foreman.queue WHERE name = 'q');
DELETE FROM foreman.live_job WHERE queue_id = (SELECT id FROM foreman.queue WHERE name = 'q')";

/// What the planner reads of a table's size, and of what is in it.
const FORGET: &str = "
DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'foreman'::regnamespace);
UPDATE pg_class SET relpages = {pages}, reltuples = {tuples}
WHERE relnamespace = 'foreman'::regnamespace AND relkind IN ('r', 'i', 'p')";

/// Calls that find jobs, keys and queues, each at least once and with some to be found.
fn make_calls(session: &mut Session) {
    let mut of = |call: &str| session.call(call).succeeded();
    let create = "create_job('q', unique_key => gen_random_uuid()::text)";
    let keyed = of("create_job('q', unique_key => 'k')").job_id();
    of("create_job('q', '{}', unique_key => 'k', on_duplicate => 'replace')");
    of(r#"create_jobs('[{"queue": "q"}, {"queue": "q", "unique_key": "l"}]')"#);
    for call in
        ["get_job", "explain_job", "cancel_job", "retry_job", "get_job", "explain_job", "request_cancel", "delete_job"]
    {
        of(&format!("{call}({keyed})"));
    }
    let ids: Vec<i64> = (0..9).map(|_| of(create).job_id()).collect();
    for status in ["running", "pending", "running", "completed"] {
        of(&format!("update_job_status({}, '{status}')", ids[0]));
    }
    of(&format!("bulk_update_job_status('{{{},{}}}', 'running')", ids[1], ids[2]));
    let mut claim = |most: usize| -> Vec<String> {
        let reply = of(&format!("claim_jobs('q', {most})"));
        let jobs = reply["jobs"].as_array().expect("a list");
        jobs.iter().map(|job| format!("{}, {}", job["job_id"], job["lease_token"])).collect()
    };
    let held = claim(8);
    assert_eq!(held.len(), 8, "{held:?}");
    let single = |lease: &String| lease.replace('"', "'");
    let listed = |lease: &String| {
        let (id, token) = lease.split_once(", ").expect("an id and a token");
        format!(r#"[{{"job_id": {id}, "lease_token": {token}}}]"#)
    };
    let calls = [
        format!("heartbeat({})", single(&held[0])),
        format!("hold_lease({})", single(&held[0])),
        format!("complete_job({})", single(&held[0])),
        format!("fail_job({})", single(&held[1])),
        format!("release_job({})", single(&held[2])),
        format!("request_cancel({})", held[3].split_once(',').expect("an id").0),
        format!("fail_job({})", single(&held[3])),
        format!("heartbeat_all('{}')", listed(&held[4])),
        format!("complete_jobs('{}')", listed(&held[4])),
        format!("fail_jobs('{}')", listed(&held[5])),
        format!("finish_and_claim('{}', 'q')", listed(&held[6]).replace("}]", r#", "outcome": "completed"}]"#)),
        "rescue_expired(10)".to_owned(),
        "ready_in('{q}')".to_owned(),
    ];
    for call in calls {
        session.call(&call).succeeded();
    }
}

/// The plans that a session's statements have had, with their texts.
fn plans(log: &[LogEntry], session: &Session) -> Vec<(String, Value)> {
    let of_this = |entry: &&LogEntry| entry.pid == session.pid() && entry.text.contains("plan:");
    let plan = |entry: &LogEntry| {
        let json = entry.text.split_once("plan:").expect("a plan").1;
        let told: Value = serde_json::from_str(json).expect("auto_explain writes JSON");
        (told["Query Text"].as_str().unwrap_or_default().to_owned(), told["Plan"].clone())
    };
    log.iter().filter(of_this).map(plan).collect()
}

/// What an index has to be asked for: an index that is walked from one end to the other is no better than the table.
fn conditions(index: &str) -> &'static [&'static str] {
    match index {
        "live_job_has_an_id" | "queue_has_an_id" => &["(id "],
        "live_job_ready" => &["queue_id ", "priority ", "ready_at "],
        "live_job_lease" => &["lease_expires_at "],
        "job_key_is_held_once_at_a_time" => &["queue_id ", "key ", "taken_at "],
        "queue_name_is_unique" => &["(name "],
        _ if index.starts_with("finished_") && index.contains("queue") => &["(queue_id "],
        _ if index.starts_with("finished_") => &["(id "],
        _ => &["an index that is not known here"],
    }
}

/// How a plan reads tables of ours otherwise than by the index that leads to what is wanted.
fn surprises(plan: &Value) -> Vec<String> {
    let text = |what: &str| plan[what].as_str().unwrap_or_default();
    let (node, table, index) = (text("Node Type"), text("Relation Name"), text("Index Name"));
    let is_ours = ["live_job", "job_key", "queue", "finished_"].iter().any(|ours| table.starts_with(ours));
    let is_asked = || conditions(index).iter().all(|what| text("Index Cond").contains(what));
    let mut found = match node {
        "ModifyTable" | "LockRows" => Vec::new(),
        "Index Scan" | "Index Only Scan" if !is_ours || is_asked() => Vec::new(),
        _ if is_ours || node.starts_with("Bitmap") => {
            vec![format!("{node} on {table} {index} {}", text("Index Cond"))]
        }
        _ => Vec::new(),
    };
    for below in plan["Plans"].as_array().map_or(&[][..], Vec::as_slice) {
        // What comes in the order of the claims is not sorted: all there is would be read for it.
        if node.contains("Sort") && below.to_string().contains("live_job_ready") {
            found.push(format!("{node} of what {} gives", below["Node Type"]));
        }
        found.extend(surprises(below));
    }
    found
}

/// A plan that is not as it should be, and where.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Surprise {
    what: String,
    text: String,
    stage: &'static str,
    age: &'static str,
    mode: &'static str,
}

impl Surprise {
    fn words(&self) -> String {
        let Surprise { what, text, stage, age, mode } = self;
        let text: Vec<&str> = text.split_whitespace().take(16).collect();
        format!("{what}\n  {stage}, {age}, {mode}: {} …", text.join(" "))
    }
}

/// Sessions with auto_explain, one for each way that plans are made.
fn sessions(db: &Database) -> Vec<Session> {
    let explain = |mode: &str| {
        let mut session = db.session();
        session.run("LOAD 'auto_explain'");
        for (name, value) in [("log_format", "json"), ("log_nested_statements", "on"), ("log_min_duration", "0")] {
            session.set(&format!("auto_explain.{name}"), value);
        }
        session.set("plan_cache_mode", mode);
        session
    };
    MODES.into_iter().map(explain).collect()
}

#[test]
fn the_planner_never_surprises_whatever_it_believes_of_the_tables() {
    let cluster = Cluster::start(&["max_wal_size = '8GB'"]);
    let db = cluster.database();
    let mut admin = db.session();
    admin.run(SET_UP);
    admin.set("session_replication_role", "replica");
    admin.maintain();
    let rows = if in_full() { 1_000_000 } else { 100_000 };
    let fill = FILL.replace("{rows}", &rows.to_string());
    let believing = |pages: i64, tuples: i64| {
        FORGET.replace("{pages}", &pages.to_string()).replace("{tuples}", &tuples.to_string())
    };
    let stages = [
        ("empty", String::new()),
        ("analyzed while empty", "ANALYZE".to_owned()),
        ("grown since", fill),
        ("as after a restore", believing(0, -1)),
        ("taken for empty", believing(1, 0)),
        ("analyzed", "ANALYZE".to_owned()),
        (
            "emptied since",
            "DELETE FROM foreman.live_job; DELETE FROM foreman.finished_job; DELETE FROM foreman.finished_rest;
                           DELETE FROM foreman.job_key"
                .to_owned(),
        ),
        ("vacuumed, and taken for huge", format!("VACUUM; {}", believing(1_000_000, 100_000_000))),
    ];
    let mut old = sessions(&db);
    let (mut wrong, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for (stage, sql) in stages {
        sql.split(';').filter(|sql| !sql.trim().is_empty()).for_each(|sql| admin.run(sql));
        let before = db.log().len();
        let mut all = old;
        all.extend(sessions(&db));
        for session in &mut all {
            make_calls(session);
            admin.run(CLEAR);
        }
        let log = db.log().split_off(before);
        for (place, session) in all.iter().enumerate() {
            for (text, plan) in plans(&log, session) {
                let age = if place < MODES.len() { "an old session" } else { "a new session" };
                let mode = MODES[place % MODES.len()];
                let surprise = |what| Surprise { what, text: text.clone(), stage, age, mode };
                wrong.extend(surprises(&plan).into_iter().map(surprise));
                texts.insert(text);
            }
        }
        all.truncate(MODES.len());
        old = all;
    }
    let ours = texts.iter().filter(|text| text.contains("OPERATOR(pg_catalog.") && text.contains("foreman.")).count();
    println!("{ours} statements");
    assert!(ours >= 20, "{texts:#?}");
    let shown: Vec<String> = wrong.iter().map(Surprise::words).collect();
    assert!(shown.is_empty(), "{} surprises\n{}", shown.len(), shown.join("\n"));
}
