//! The partitions of finished jobs come and go while jobs end.

use crate::figures::end_jobs;
use foreman_tests::{Cluster, Reply, wait_until};

#[test]
fn jobs_of_one_transaction_end_before_and_after_their_day_gets_its_partition() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        let db = Cluster::shared().database();
        let mut session = db.session();
        let jobs: Vec<i64> = (0..3).map(|_| session.call("create_job('q')").succeeded().job_id()).collect();
        session.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        let mut end = |job| session.call(&format!("update_job_status({job}, 'completed')")).succeeded();
        end(jobs[0]);
        let made = db.session().maintain();
        assert!(made["partitions_made"].as_i64() > Some(0), "{made:#}");
        end(jobs[1]);
        end(jobs[2]);
        session.run("COMMIT");
        db.session().maintain();
        let kept: i64 = db.see("SELECT count(*) FROM foreman.finished_job WHERE status = 'completed'");
        assert_eq!(kept, 3, "{isolation}");
        assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.finished_rest"), 0, "{isolation}");
    }
}

#[test]
fn a_day_that_is_over_is_frozen_to_its_last_page_by_autovacuum() {
    let cluster = Cluster::start(&["autovacuum_naptime = '1s'"]);
    let db = cluster.database();
    let mut session = db.session();
    // Too few to have autovacuum come for them otherwise.
    end_jobs(&mut session, 1, 500);
    let written_by: i64 = db.see("SELECT max(xmin::text::bigint) FROM foreman.finished_job");
    session.maintain();
    wait_until("the day to be frozen", || {
        db.see(&format!(
            "SELECT relpages > 0 AND relallvisible = relpages AND relfrozenxid::text::bigint > {written_by}
               FROM pg_class JOIN foreman.finished_days() ON partition = oid
              WHERE day = (now() AT TIME ZONE 'UTC')::date - 1"
        ))
    });
}
