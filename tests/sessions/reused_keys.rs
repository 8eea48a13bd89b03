//! A unique key may be used again and again beside an old snapshot, which keeps what its former jobs leave behind: what a
//! call about such a job reads does not grow with their number.

use foreman_tests::{Cluster, Database, Reply, Session, Value};

/// Times that the key is used between the two measurements.
const TIMES: usize = 2000;
/// Pages and entries of indexes that a call may read more. Each index that it descends may be a level or two higher, a
/// deletion's ten and more; and the planner may have changed sides. Whoever walks the former entries reads as many as that.
const MOST_MORE: Cost = Cost { pages: 40, entries: 20 };

const CREATE: &str = "create_job('q', unique_key => 'k')";

/// What a call reads, its own statements included.
#[derive(Debug, Clone, Copy)]
struct Cost {
    pages: i64,
    entries: i64,
}

impl Cost {
    const ALL: Cost = Cost { pages: i64::MAX, entries: i64::MAX };

    fn least(self, other: Cost) -> Cost {
        Cost { pages: self.pages.min(other.pages), entries: self.entries.min(other.entries) }
    }

    fn is_at_most(self, before: Cost) -> bool {
        self.pages <= before.pages + MOST_MORE.pages && self.entries <= before.entries + MOST_MORE.entries
    }
}

/// Makes a call in a transaction that begins and ends so.
fn cost(session: &mut Session, begin: &str, call: &str, end: &str) -> Cost {
    session.run(begin);
    let entries = |session: &mut Session| -> i64 {
        session.one(
            "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))::bigint FROM pg_index
              WHERE indrelid IN ('foreman.live_job'::regclass, 'foreman.job_key'::regclass)",
            &[],
        )
    };
    let before = entries(session);
    let plan: Value = session.one(&format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT foreman.{call}"), &[]);
    let entries = entries(session) - before;
    session.run(end);
    let of = |what: &str| plan[0]["Plan"][what].as_i64().unwrap_or_else(|| panic!("{what} in {plan:#}"));
    Cost { pages: of("Shared Hit Blocks") + of("Shared Read Blocks"), entries }
}

/// Claims the one job that there is.
fn claim(session: &mut Session) -> (i64, String) {
    let job = session.call("claim_jobs('q')").succeeded()["jobs"][0].clone();
    (job.job_id(), job["lease_token"].as_str().expect("a token").to_owned())
}

/// What can be said of the job: its name, how its transaction begins, the call.
const CALLS: [(&str, &str, &str); 13] = [
    ("a replacement", "BEGIN", "create_job('q', unique_key => 'k', on_duplicate => 'replace')"),
    ("a start", "BEGIN", "update_job_status({id}, 'running')"),
    ("a way back", "BEGIN", "update_job_status({id}, 'pending', lease_token => '{token}')"),
    ("a hold", "BEGIN", "hold_lease({id}, '{token}')"),
    ("a release", "BEGIN", "release_job({id}, '{token}')"),
    ("a request to cancel", "BEGIN", "request_cancel({id})"),
    ("a heartbeat", "BEGIN", "heartbeat({id}, '{token}')"),
    ("a failure", "BEGIN", "fail_job({id}, '{token}', 'e', retry_in_seconds => 0)"),
    ("a finish", "BEGIN", "complete_job({id}, '{token}', '1')"),
    ("a finish with a snapshot of its own", "BEGIN ISOLATION LEVEL REPEATABLE READ", "complete_job({id}, '{token}')"),
    ("an end without a claim", "BEGIN", "update_job_success({id}, '1')"),
    ("a cancel", "BEGIN", "cancel_job({id})"),
    ("a deletion", "BEGIN", "delete_job({id})"),
];

/// What each call costs now: the least of several, since the first ones read the catalog as well.
fn costs(session: &mut Session) -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    for (name, begin, call) in CALLS {
        let [mut create, mut duplicate, mut other] = [Cost::ALL; 3];
        for _ in 0..5 {
            create = create.least(cost(session, "BEGIN", CREATE, "COMMIT"));
            duplicate = duplicate.least(cost(session, "BEGIN", CREATE, "COMMIT"));
            let (id, token) =
                if call.contains("token") { claim(session) } else { (session.call(CREATE).job_id(), String::new()) };
            let call = call.replace("{id}", &id.to_string()).replace("{token}", &token);
            other = other.least(cost(session, begin, &call, "COMMIT"));
            // Where it has not ended.
            session.call(&format!("update_job_success({id}, lease_token => NULLIF('{token}', ''))"));
            session.call(&format!("update_job_success({id})"));
        }
        costs.extend([("a creation", create), ("a duplicate", duplicate), (name, other)]);
    }
    costs
}

/// Uses the key again and again.
fn use_again(session: &mut Session) {
    for _ in 0..TIMES {
        session.call(CREATE).succeeded();
        let (id, token) = claim(session);
        session.call(&format!("complete_job({id}, '{token}')")).succeeded();
    }
}

fn costs_do_not_grow(db: &Database) {
    let mut session = db.session();
    // Its own visits would be among the pages.
    session.run("ALTER TABLE foreman.live_job SET (autovacuum_enabled = false)");
    session.maintain();
    let mut old = db.session();
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    let before = costs(&mut session);
    use_again(&mut session);
    // Now the planner knows how few rows there are, which must not lead it to read all that was there.
    session.run("ANALYZE foreman.live_job, foreman.job_key");
    session.run("VACUUM foreman.live_job, foreman.job_key");
    for (whose, session) in [("the same session", &mut session), ("a new session", &mut db.session())] {
        let after = costs(session);
        for ((call, before), (_, after)) in before.iter().zip(after) {
            println!("{call}, {whose}: {before:?} before, {after:?} after {TIMES} jobs with the key");
            assert!(after.is_at_most(*before), "{call} in {whose}: {before:?} before, {after:?} after");
        }
    }
    old.run("COMMIT");
}

#[test]
fn a_key_used_two_thousand_times_beside_an_old_snapshot_costs_what_a_new_one_does() {
    costs_do_not_grow(&Cluster::shared().database());
}

#[test]
fn so_it_does_with_the_extension_preloaded() {
    costs_do_not_grow(&Cluster::preloaded().database());
}

#[test]
fn a_key_whose_creation_is_rolled_back_two_thousand_times_costs_what_a_new_one_does() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.run("ALTER TABLE foreman.job_key SET (autovacuum_enabled = false)");
    // The queue is there before, and is not rolled back.
    session.call("create_job('q')").succeeded();
    let least = |session: &mut Session| {
        (0..5).fold(Cost::ALL, |least, _| least.least(cost(session, "BEGIN", CREATE, "ROLLBACK")))
    };
    let before = least(&mut session);
    for _ in 0..TIMES {
        session.run("BEGIN");
        session.call(CREATE).succeeded();
        session.run("ROLLBACK");
    }
    let after = least(&mut session);
    println!("{before:?} before, {after:?} after {TIMES} creations that were rolled back");
    assert!(after.is_at_most(before), "{before:?} before, {after:?} after");
}
