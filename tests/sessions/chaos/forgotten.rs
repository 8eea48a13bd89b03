//! Nothing stays running: a job set running without a claim, by somebody who forgets it, comes back after its queue's
//! max_run.

use foreman_tests::{Cluster, Reply, json, wait_until};

#[test]
fn a_job_set_running_and_forgotten_comes_back_after_the_queues_max_run() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("configure_queue('by hand', max_run_seconds => 0.3, max_attempts => 2)").succeeded();
    let job = session.call("create_job('by hand')").succeeded().job_id();
    let kept = session.call("create_job('by hand')").succeeded().job_id();
    session.call("configure_queue('patient', max_run_seconds => 3600)").succeeded();
    let other = session.call("create_job('patient')").succeeded().job_id();
    for job in [job, kept, other] {
        session.call(&format!("update_job_status({job}, 'running')")).succeeded();
    }
    // Whoever does not forget it ends it as ever.
    session.call(&format!("update_job_status({kept}, 'completed')")).succeeded();

    let rescued = |n: i64, failed: i64| json!({"status": "success", "rescued": n, "failed": failed, "cancelled": 0});
    assert_eq!(session.call("rescue_expired()"), rescued(0, 0), "it may run for longer");
    let over = format!("SELECT lease_expires_at < clock_timestamp() FROM foreman.jobs WHERE job_id = {job}");
    wait_until("the job to have run for too long", || db.see(&over));
    assert_eq!(session.call("rescue_expired()"), rescued(1, 0));
    let look = format!("SELECT status::text || ' ' || attempt FROM foreman.jobs WHERE job_id = {job}");
    assert_eq!(session.one::<String>(&look, &[]), "pending 1");
    session.call(&format!("update_job_status({job}, 'completed')")).succeeded();

    // The same until the attempts are used up, by maintain as well.
    let job = session.call("create_job('by hand')").succeeded().job_id();
    for attempt in 1..=2 {
        session.call(&format!("update_job_status({job}, 'running')")).succeeded();
        let over = format!("SELECT lease_expires_at < clock_timestamp() FROM foreman.jobs WHERE job_id = {job}");
        wait_until("the job to have run for too long", || db.see(&over));
        let reply = session.maintain();
        assert_eq!((&reply["rescued"], &reply["failed"]), (&json!(2 - attempt), &json!(attempt - 1)), "{reply:#}");
    }
    let look = format!("SELECT status::text || ': ' || error FROM foreman.jobs WHERE job_id = {job}");
    assert_eq!(session.one::<String>(&look, &[]), "failed: The lease expired; the attempts are used up.");
    let look = format!("SELECT status::text FROM foreman.jobs WHERE job_id = {other}");
    assert_eq!(session.one::<String>(&look, &[]), "running", "another queue's max_run is another's");
}
