//! The partitions of finished jobs come and go while jobs end.

use foreman_tests::{Cluster, Reply};

#[test]
fn jobs_of_one_transaction_end_before_and_after_their_day_gets_its_partition() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        let db = Cluster::shared().database();
        let mut session = db.session();
        let jobs: Vec<i64> = (0..3).map(|_| session.call("create_job('q')").succeeded().job_id()).collect();
        session.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        let mut end = |job| session.call(&format!("update_job_status({job}, 'completed')")).succeeded();
        end(jobs[0]);
        let made = db.session().call("maintain()").succeeded();
        assert!(made["partitions_made"].as_i64() > Some(0), "{made:#}");
        end(jobs[1]);
        end(jobs[2]);
        session.run("COMMIT");
        db.session().call("maintain()").succeeded();
        let kept: i64 = db.see("SELECT count(*) FROM foreman.finished_job WHERE status = 'completed'");
        assert_eq!(kept, 3, "{isolation}");
        assert_eq!(db.see::<i64>("SELECT count(*) FROM foreman.finished_rest"), 0, "{isolation}");
    }
}
