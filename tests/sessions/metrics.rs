//! `foreman.metrics()` tells what is there, of this database and in bounded space. What only shared memory counts is
//! missing without preload, and not zero. The formats themselves are read by their own parsers in tests/clients.

use foreman_tests::{Cluster, Database, Reply, Session, Value, json, sqlstate, wait_until};

/// The samples that bear this name, as (labels, value), in the order of the labels.
fn samples(session: &mut Session, name: &str) -> Vec<(String, f64)> {
    let sql = "SELECT labels::text, value FROM foreman.metric_samples WHERE name = $1 ORDER BY 1";
    session.query(sql, &[&name]).expect("the view can be read").iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The one sample of this name whose labels include these.
#[track_caller]
fn sample(session: &mut Session, name: &str, labels: Value) -> f64 {
    let sql = "SELECT value FROM foreman.metric_samples WHERE name = $1 AND labels @> $2";
    session.one(sql, &[&name, &labels])
}

/// The same without labels.
#[track_caller]
fn plain(session: &mut Session, name: &str) -> f64 {
    sample(session, name, json!({}))
}

/// Claims one job of the queue.
fn claimed(session: &mut Session) -> (i64, String) {
    let job = session.call("claim_jobs('q')").succeeded()["jobs"][0].clone();
    (job["job_id"].as_i64().expect("an id"), job["lease_token"].as_str().expect("a token").to_owned())
}

/// Makes a job, lets it look ready for `waited` seconds, and claims it.
fn claimed_after(session: &mut Session, waited: f64) -> (i64, String) {
    session.call("create_job('q')").succeeded();
    session.run(&format!("UPDATE foreman.live_job SET ready_at = clock_timestamp() - interval '{waited} seconds'"));
    claimed(session)
}

/// Lets the job look as if it had run for so long, and completes it.
fn completed_after(session: &mut Session, (id, token): (i64, String), ran: f64) {
    session.run(&format!("UPDATE foreman.live_job SET started_at = clock_timestamp() - interval '{ran} seconds'"));
    session.call(&format!("complete_job({id}, '{token}')")).succeeded();
}

/// How many of a histogram took no longer than this, how many there are, and how long they took in all.
fn histogram(session: &mut Session, name: &str, le: &str) -> (f64, f64, f64) {
    let up_to = sample(session, &format!("{name}_bucket"), json!({"le": le}));
    let all = sample(session, &format!("{name}_bucket"), json!({"le": "+Inf"}));
    assert_eq!(all, plain(session, &format!("{name}_count")));
    (up_to, all, plain(session, &format!("{name}_sum")))
}

#[test]
fn waits_and_runs_are_counted_row_by_row_and_by_the_statements() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    session.maintain();
    for round in 1..=2 {
        let job = claimed_after(&mut session, 20.0);
        completed_after(&mut session, job, 2_000.0);
        let (count, seconds) = (f64::from(round), 1.0);
        let (up_to_10, all, sum) = histogram(&mut session, "foreman_job_wait_seconds", "10.0");
        assert_eq!((up_to_10, all), (0.0, count));
        assert!((sum - 20.0 * count).abs() < seconds * count, "{sum}");
        assert_eq!(histogram(&mut session, "foreman_job_wait_seconds", "30.0").0, count);
        let (up_to_900, all, sum) = histogram(&mut session, "foreman_job_run_seconds", "900.0");
        assert_eq!((up_to_900, all), (0.0, count));
        assert!((sum - 2_000.0 * count).abs() < seconds * count, "{sum}");
        assert_eq!(histogram(&mut session, "foreman_job_run_seconds", "3600.0").0, count);
        // From now on it takes statements.
        if round == 1 {
            session.run(
                "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN COALESCE(NEW, OLD); END';
                 CREATE TRIGGER nothing BEFORE UPDATE OR DELETE ON foreman.live_job
                     FOR EACH ROW EXECUTE FUNCTION nothing()",
            );
        }
    }
}

#[test]
fn what_becomes_of_jobs_is_counted_by_what_it_is() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    session.call("create_jobs('[{\"queue\": \"q\"}, {\"queue\": \"q\"}, {\"queue\": \"q\"}]')").succeeded();
    (0..3).for_each(|_| drop(session.call("create_job('q')").succeeded()));
    let mut end = |call: &str| {
        let (id, token) = claimed(&mut session);
        session.call(&call.replace("JOB", &format!("{id}, '{token}'"))).succeeded();
    };
    ["complete_job(JOB)", "fail_job(JOB, 'e', final => true)", "fail_job(JOB, 'e', 3600)"]
        .into_iter()
        .for_each(&mut end);
    end("release_job(JOB)");
    let (id, _) = claimed(&mut session);
    session.call(&format!("cancel_job({id}, 'c')")).succeeded();
    claimed(&mut session);
    session.run(
        "UPDATE foreman.live_job SET lease_expires_at = '2020-01-01', lease_seconds = 0.001 WHERE status = 'running'",
    );
    // The worker may be faster.
    session.call("rescue_expired()").succeeded();
    let ended = samples(&mut session, "foreman_jobs_ended_total");
    let of = |status: &str| (format!("{{\"status\": \"{status}\"}}"), 1.0);
    assert_eq!(ended, [of("cancelled"), of("completed"), of("failed")]);
    for (name, count) in [("created", 6.0), ("retried", 1.0), ("released", 1.0), ("rescued", 1.0)] {
        assert_eq!(plain(&mut session, &format!("foreman_jobs_{name}_total")), count, "{name}");
    }
    assert_eq!(plain(&mut session, "foreman_job_wait_seconds_count"), 6.0);
    let states = samples(&mut session, "foreman_queue_jobs");
    let of = |state: &str, jobs| (format!("{{\"queue\": \"q\", \"state\": \"{state}\"}}"), jobs);
    assert_eq!(states, [of("ready", 2.0), of("running", 0.0), of("scheduled", 1.0)]);
    assert_eq!(samples(&mut session, "foreman_queue_ended_jobs").iter().map(|(_, jobs)| jobs).sum::<f64>(), 3.0);
    let kept = sample(&mut session, "foreman_queue_ended_jobs", json!({"queue": "q", "status": "cancelled"}));
    assert_eq!(kept, 1.0);
}

#[test]
fn another_databases_jobs_are_not_counted_here() {
    let [one, other] = [(); 2].map(|()| Cluster::preloaded().database());
    let mut session = one.session();
    session.call("create_job('q')").succeeded();
    assert_eq!(plain(&mut session, "foreman_jobs_created_total"), 1.0);
    assert_eq!(plain(&mut other.session(), "foreman_jobs_created_total"), 0.0);
}

#[test]
fn calls_and_their_errors_are_counted_with_zeros_for_what_did_not_happen() {
    // A cluster of its own: calls are counted in all databases together.
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'"]);
    let db = cluster.database();
    let mut session = db.session();
    assert_eq!(sample(&mut session, "foreman_calls_total", json!({"function": "create_job"})), 0.0);
    session.call("create_job('q')").succeeded();
    session.call("create_job('')").failed_with("INVALID_PARAMS");
    assert_eq!(sample(&mut session, "foreman_calls_total", json!({"function": "create_job"})), 2.0);
    let mut errors =
        |code: &str| sample(&mut session, "foreman_call_errors_total", json!({"function": "create_job", "code": code}));
    assert_eq!((errors("INVALID_PARAMS"), errors("DB_DEADLOCK")), (1.0, 0.0));
    assert!(sample(&mut session, "foreman_call_seconds_total", json!({"function": "create_job"})) > 0.0);
}

#[test]
fn without_preload_what_shared_memory_counts_is_missing_and_the_rest_is_there() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    session.call("create_job('q')").succeeded();
    assert_eq!(plain(&mut session, "foreman_preloaded"), 0.0);
    let shared = "SELECT count(*) FROM foreman.metric_samples WHERE name ~
        '^foreman_(job_|jobs_|call_|calls_|slow_|shared_|worker_|waiting_|queue_floor)'";
    assert_eq!(session.one::<i64>(shared, &[]), 0);
    assert_eq!(sample(&mut session, "foreman_queue_jobs", json!({"queue": "q", "state": "ready"})), 1.0);
    assert_eq!(sample(&mut session, "foreman_check_up", json!({"check": "connections"})), 1.0);
    assert_eq!(plain(&mut Cluster::preloaded().database().session(), "foreman_preloaded"), 1.0);
}

#[test]
fn a_check_that_can_not_be_made_has_no_status_and_is_told_as_down() {
    let db = Cluster::shared().database();
    db.session().run("CREATE ROLE watcher LOGIN");
    db.session().call("grant_access('watcher', 'monitor')").succeeded();
    let mut session = db.session();
    session.run("SET ROLE watcher");
    let about = json!({"check": "connections"});
    // In the view, which shows the sessions that its reader may see; the function sees them all.
    assert_eq!(sample(&mut session, "foreman_check_up", about.clone()), 0.0);
    let status = "SELECT count(*) FROM foreman.metric_samples
        WHERE name IN ('foreman_check_status', 'foreman_check_value') AND labels @> $1";
    assert_eq!(session.one::<i64>(status, &[&about]), 0);
    let text: String = session.one("SELECT foreman.metrics()", &[]);
    assert!(text.contains("\nforeman_check_up{check=\"connections\"} 1\n"), "{text}");
    session.run("RESET ROLE; DROP OWNED BY watcher; DROP ROLE watcher");
}

/// Makes so many queues with a waiting job in each.
fn make_queues(session: &mut Session, queues: i64) {
    let sql = format!("SELECT count(foreman.create_job('q' || n)) FROM generate_series(1, {queues}) AS n");
    assert_eq!(session.one::<i64>(&sql, &[]), queues);
}

#[test]
fn queues_beyond_the_hundredth_are_told_as_one_and_no_series_twice() {
    let db = Cluster::preloaded().database();
    let mut session = db.session();
    session.call("create_job('_other')").succeeded();
    make_queues(&mut session, 120);
    let other = json!({"queue": "_other", "state": "ready"});
    assert_eq!(sample(&mut session, "foreman_queue_jobs", other), 22.0, "21 that are left, and the one of that name");
    assert_eq!(samples(&mut session, "foreman_queue_jobs").len(), 3 * 100);
    assert_eq!(plain(&mut session, "foreman_metrics_dropped_series"), 8.0 * 21.0);
    for queue in ["q1", "q120"] {
        session.call(&format!("configure_queue('{queue}', ready_target_seconds => 60)")).succeeded();
    }
    let targets = samples(&mut session, "foreman_queue_ready_target_seconds");
    assert_eq!(targets, [("{\"queue\": \"q1\"}".to_owned(), 60.0)], "those that are told as one have none in common");
    let twice =
        "SELECT count(*) FROM (SELECT FROM foreman.metric_samples GROUP BY name, labels HAVING count(*) > 1) AS s";
    assert_eq!(session.one::<i64>(twice, &[]), 0);
    let of_a_queue = "SELECT count(*) FROM foreman.metric_samples WHERE labels ->> 'queue' = 'q2'
        AND name NOT LIKE 'foreman_queue_floor%'";
    assert_eq!(session.one::<i64>(of_a_queue, &[]), 8, "what dropped_series counts for each");
}

#[test]
fn no_label_names_a_process_a_statement_or_an_application() {
    let db = Cluster::preloaded().database();
    let mut session = db.session_with(&[("application_name", "s3cr3t")]);
    session.call("execute('SELECT ''s3cr3t''')").succeeded();
    let names: Vec<String> = session.one(
        "SELECT array_agg(DISTINCT k ORDER BY k) FROM foreman.metric_samples, jsonb_object_keys(labels) AS k",
        &[],
    );
    let known = [
        "check",
        "code",
        "function",
        "le",
        "postgresql",
        "queue",
        "setting",
        "state",
        "status",
        "step",
        "table",
        "unit",
        "version",
    ];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    assert!(!session.one::<String>("SELECT foreman.metrics()", &[]).contains("s3cr3t"));
}

#[test]
fn a_format_that_there_is_not_is_raised_whatever_on_error_says() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    for (format, on_error) in [("'xml'", "return"), ("NULL", "return"), ("'xml'", "raise")] {
        session.set("foreman.on_error", on_error);
        let error = session.query_one(&format!("SELECT foreman.metrics({format})"), &[]).expect_err("it is raised");
        assert_eq!(sqlstate(&error), "JF004", "{format}");
        let message = error.as_db_error().expect("the server's").message().to_owned();
        assert!(message.contains("prometheus, openmetrics"), "{message}");
    }
}

#[test]
fn a_scrape_does_not_wait_for_who_has_a_table_locked() {
    let db = Cluster::shared().database();
    let (mut session, mut locker) = (db.session(), db.session());
    session.call("create_job('q')").succeeded();
    locker.run("BEGIN; LOCK TABLE foreman.live_job");
    let error = session.query_one("SELECT foreman.metrics()", &[]).expect_err("it is raised");
    assert_eq!(sqlstate(&error), "55P03");
    locker.run("COMMIT");
    assert!(session.one::<String>("SELECT foreman.metrics()", &[]).contains("\nforeman_preloaded 0\n"));
}

/// When the worker took a step of upkeep last, as metrics tell it.
fn last_run(db: &Database) -> f64 {
    let step = json!({"step": "make_partitions"});
    sample(&mut db.session(), "foreman_worker_step_last_run_timestamp_seconds", step)
}

#[test]
fn what_the_background_worker_did_here_is_told_step_by_step() {
    let cluster = Cluster::start(&["shared_preload_libraries = 'pg_foreman'", "foreman.upkeep_interval = '100ms'"]);
    let db = cluster.database();
    wait_until("a visit of the worker", || last_run(&db) > 0.0);
    let mut session = db.session();
    let age: f64 = session.one("SELECT extract(epoch FROM clock_timestamp())::double precision", &[]);
    assert!((age - last_run(&db)).abs() < 60.0);
    let step = json!({"step": "make_partitions"});
    assert!(sample(&mut session, "foreman_worker_step_runs_total", step.clone()) >= 1.0);
    assert!(sample(&mut session, "foreman_worker_step_seconds_total", step.clone()) > 0.0);
    assert_eq!(sample(&mut session, "foreman_worker_step_errors_total", step), 0.0);
    assert_eq!(plain(&mut session, "foreman_partitions_ahead"), 7.0);
}
