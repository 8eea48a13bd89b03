//! A dump and a restore bring everything back: live jobs and finished ones wherever they lie, keys, queues, settings
//! and their history, and the id that comes next.

use std::io::Write;
use std::process::Stdio;

use crate::figures::{assert_exact, count_days, end_jobs};
use foreman_tests::{Cluster, Database, Reply, Value};

/// Jobs in every place and state, keys, settings: what the dump is to bring back.
fn fill(db: &Database) {
    let mut session = db.session();
    session.run(
        "SELECT foreman.create_job('work', to_jsonb(n), priority => n % 10, unique_key => 'key-' || n)
           FROM generate_series(1, 60) AS n;
         SELECT foreman.update_job_success(job_id, '{\"ok\": 1e400}') FROM foreman.jobs WHERE job_id % 6 = 0;",
    );
    // Partitions are made when there are finished jobs already, and more jobs finish after.
    session.maintain();
    session.run(
        "SELECT foreman.update_job_failure(job_id, 'no luck') FROM foreman.jobs WHERE job_id % 6 = 1;
         SELECT foreman.cancel_job(job_id, 'not wanted') FROM foreman.jobs WHERE job_id % 6 = 2;
         SELECT foreman.update_job_status(job_id, 'running') FROM foreman.jobs WHERE job_id % 6 = 3;
         SELECT foreman.create_job('grüße', '\"ü\"', job_type => 'x', run_at => now() + '1 day',
                                   metadata => '{\"a\": null}');
         SELECT foreman.set_setting('k', '12345678901234567890.123456789', 'a number');
         SELECT foreman.set_setting('k', '[2]');
         SELECT foreman.set_setting('gone', '0');
         SELECT foreman.delete_setting('gone');
         SELECT foreman.configure_check('connections', warn => 60, muted_until => now() + '1 day', note => 'known');",
    );
}

/// Every row of every table of ours, partitions included, as a text each; but for what slow checks have measured, which
/// is of this server alone.
fn contents(db: &Database) -> Vec<(String, Vec<String>)> {
    let mut session = db.session();
    let tables: Vec<String> = session
        .query(
            "SELECT c.oid::regclass::text FROM pg_class AS c
              WHERE c.relnamespace = 'foreman'::regnamespace AND c.relkind IN ('r', 'p')
                AND c.relname <> 'slow_finding' ORDER BY 1",
            &[],
        )
        .expect("the catalog can be read")
        .iter()
        .map(|row| row.get(0))
        .collect();
    tables
        .into_iter()
        .map(|table| {
            let rows = session
                .query(&format!("SELECT t::text FROM {table} AS t ORDER BY 1"), &[])
                .expect("the superuser can read it")
                .iter()
                .map(|row| row.get(0))
                .collect();
            (table, rows)
        })
        .collect()
}

fn dump(db: &Database, options: &[&str]) -> Vec<u8> {
    let output = db
        .cluster()
        .program("pg_dump")
        .args(["-h", db.cluster().socket(), "-U", "postgres"])
        .args(options)
        .arg(db.name())
        .output()
        .expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Restores a dump with the program that goes with its format. Any error ends it.
fn restore(dump: &[u8], program: &str, options: &[&str], db: &Database) {
    let mut restoring = db
        .cluster()
        .program(program)
        .args(["-h", db.cluster().socket(), "-U", "postgres", "-d", db.name()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    restoring.stdin.take().expect("piped above").write_all(dump).expect("it reads the dump");
    let output = restoring.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const PLAIN: (&[&str], &str, &[&str]) = (&[], "psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
const CUSTOM: (&[&str], &str, &[&str]) = (&["--format=custom"], "pg_restore", &["--exit-on-error"]);

#[test]
fn a_dump_and_restore_brings_every_job_and_setting_back_and_the_next_id() {
    for (dump_options, program, restore_options) in [PLAIN, CUSTOM] {
        let db = Cluster::shared().database();
        fill(&db);
        let restored = Cluster::shared().empty_database();
        restore(&dump(&db, dump_options), program, restore_options, &restored);

        let (before, after) = (contents(&db), contents(&restored));
        let names = |tables: &[(String, Vec<String>)]| tables.iter().map(|t| t.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "the same tables, partitions too");
        for ((table, rows), (_, restored_rows)) in before.iter().zip(&after) {
            assert_eq!(rows, restored_rows, "{table}");
        }
        let jobs = "SELECT count(*) FROM foreman.jobs";
        assert_eq!((db.see::<i64>(jobs), restored.see::<i64>(jobs)), (61, 61));

        let create = "create_job('work')";
        let next = db.session().call(create).succeeded().job_id();
        assert_eq!(restored.session().call(create).succeeded().job_id(), next);
    }
}

#[test]
fn a_restored_database_goes_on_where_the_other_stopped() {
    let db = Cluster::shared().database();
    fill(&db);
    let restored = Cluster::shared().empty_database();
    let (dump_options, program, restore_options) = PLAIN;
    restore(&dump(&db, dump_options), program, restore_options, &restored);

    let mut session = restored.session();
    // Keys hold, states go on, settings keep their versions, and upkeep finds its partitions.
    let key: String =
        session.one("SELECT payload::text FROM foreman.jobs WHERE status = 'running' ORDER BY job_id LIMIT 1", &[]);
    assert_eq!(session.call(&format!("create_job('work', unique_key => 'key-{key}')"))["status"], "skipped");
    let running: i64 =
        session.one("SELECT job_id FROM foreman.jobs WHERE status = 'running' ORDER BY job_id LIMIT 1", &[]);
    session.call(&format!("update_job_success({running}, '1')")).succeeded();
    let again = session.call(&format!("create_job('work', unique_key => 'key-{key}')")).succeeded();
    assert_eq!(again["created"], true, "the end of a restored job frees its key: {again:#}");
    session.maintain();
    let set: Value = session.call("set_setting('k', '3')");
    assert_eq!(set.succeeded()["version"], 3);
    session.call("create_job('a new queue')").succeeded();
    restored.assert_no_warning_in_the_log();
}

#[test]
fn a_restored_database_counts_its_jobs_anew() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    end_jobs(&mut session, 1, 300);
    count_days(&mut session);
    let restored = Cluster::shared().empty_database();
    let (dump_options, program, restore_options) = PLAIN;
    restore(&dump(&db, dump_options), program, restore_options, &restored);

    let mut session = restored.session();
    assert_eq!(session.call("job_stats()").succeeded()["total"], 301);
    assert_exact(&mut session, "restored");
    count_days(&mut session);
    assert_eq!(restored.see::<i64>("SELECT count(*) FROM foreman.finished_days() WHERE is_counted"), 1);
    assert_exact(&mut session, "counted anew");
    session.run("DELETE FROM foreman.finished_job WHERE id % 2 = 0");
    assert_exact(&mut session, "changed");
}
