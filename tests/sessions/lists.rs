//! A list is read page by page while others work: each job that is there throughout is shown once and only once,
//! whatever is created and finished meanwhile, and the thousandth page costs what the first does.

use std::collections::HashMap;

use foreman_tests::{Cluster, Reply, Session, Value, json};

/// The pages of a list, from the first one on. `arguments` are those of `list_jobs` without the cursor.
struct Pages {
    arguments: String,
    cursor: Option<String>,
    ended: bool,
}

impl Pages {
    fn of(arguments: &str) -> Self {
        Self { arguments: arguments.to_owned(), cursor: None, ended: false }
    }

    fn statement(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("SELECT foreman.list_jobs({}, cursor => '{cursor}')", self.arguments),
            None => format!("SELECT foreman.list_jobs({})", self.arguments),
        }
    }

    /// The ids on the next page; None after the last.
    fn next(&mut self, session: &mut Session) -> Option<Vec<i64>> {
        if self.ended {
            return None;
        }
        let page = session.reply(&self.statement(), &[]).succeeded();
        self.cursor = page["next_cursor"].as_str().map(str::to_owned);
        self.ended = self.cursor.is_none();
        Some(page["jobs"].as_array().expect("a list of jobs").iter().map(Reply::job_id).collect())
    }

    fn all(mut self, session: &mut Session) -> Vec<i64> {
        let mut ids = Vec::new();
        while let Some(page) = self.next(session) {
            ids.extend(page);
        }
        ids
    }
}

fn create(session: &mut Session, jobs: i32) -> Vec<i64> {
    session
        .query(
            "SELECT (foreman.create_job('work', to_jsonb(n))->>'job_id')::bigint FROM generate_series(1, $1) AS n",
            &[&jobs],
        )
        .expect("jobs can be created")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// How often each job was shown.
fn shown(ids: &[i64]) -> HashMap<i64, usize> {
    ids.iter().fold(HashMap::new(), |mut shown, id| {
        *shown.entry(*id).or_default() += 1;
        shown
    })
}

#[test]
fn pages_show_each_job_once_while_jobs_are_created_and_finish() {
    let db = Cluster::shared().database();
    let [mut reader, mut worker] = [db.session(), db.session()];
    let there_throughout = create(&mut worker, 200);
    let mut pages = Pages::of("'work', page_size => 10");
    let (mut seen, mut turn) = (Vec::new(), 0);
    while let Some(page) = pages.next(&mut reader) {
        seen.extend(page);
        turn += 1;
        assert!(turn < 500, "the list comes to its end though jobs are created all the time");
        // Jobs come, and of the old ones some finish: read already, and still to be read.
        if turn <= 40 {
            create(&mut worker, 5);
            for job in [there_throughout[turn], there_throughout[200 - turn]] {
                worker.call(&format!("update_job_success({job}, '1')"));
            }
        }
    }
    let shown = shown(&seen);
    assert!(shown.values().all(|times| *times == 1), "no job is shown twice");
    let missing: Vec<_> = there_throughout.iter().filter(|id| !shown.contains_key(id)).collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
}

#[test]
fn pages_of_one_status_show_each_job_that_keeps_it() {
    let db = Cluster::shared().database();
    let [mut reader, mut worker] = [db.session(), db.session()];
    let jobs = create(&mut worker, 200);
    let mut pages = Pages::of("'work', status => 'pending', page_size => 10");
    let (mut seen, mut turn) = (Vec::new(), 0);
    while let Some(page) = pages.next(&mut reader) {
        seen.extend(page);
        turn += 1;
        assert!(turn < 500, "the list comes to its end");
        if turn <= 20 {
            create(&mut worker, 2);
            worker.call(&format!("update_job_success({}, '1')", jobs[turn * 9])).succeeded();
        }
    }
    let shown = shown(&seen);
    assert!(shown.values().all(|times| *times == 1), "no job is shown twice");
    let pending: Vec<i64> = jobs.iter().copied().filter(|id| !(1..=20).any(|turn| jobs[turn * 9] == *id)).collect();
    assert!(pending.iter().all(|id| shown.contains_key(id)), "each job that stayed pending is shown");
}

#[test]
fn pages_put_together_are_the_list() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let jobs = create(&mut session, 95);
    for job in &jobs[..40] {
        session.call(&format!("update_job_success({job}, '1')")).succeeded();
    }
    for (arguments, expected) in [
        ("'work'", 95),
        ("'work', page_size => 1", 95),
        ("'work', page_size => 100", 95),
        ("'work', status => 'completed', page_size => 7", 40),
        ("'work', status => 'pending', page_size => 5", 55),
        ("'work', status => 'running'", 0),
    ] {
        let ids = Pages::of(arguments).all(&mut session);
        assert_eq!(ids.len(), expected, "list_jobs({arguments})");
        assert_eq!(shown(&ids).len(), expected, "list_jobs({arguments})");
        assert!(ids.is_sorted() || ids.iter().rev().is_sorted(), "list_jobs({arguments}) is in order");
    }
}

#[test]
fn a_cursor_of_another_query_or_a_mangled_one_is_refused() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    create(&mut session, 50);
    let page = session.call("list_jobs('work', 'pending')").succeeded();
    let cursor = page["next_cursor"].as_str().expect("more than one page");
    session.call(&format!("list_jobs('work', 'pending', cursor => '{cursor}')")).succeeded();

    let swapped: String = cursor.chars().rev().collect();
    let cut = &cursor[..cursor.len() - 1];
    for call in [
        format!("list_jobs('other', 'pending', cursor => '{cursor}')"),
        format!("list_jobs('work', 'running', cursor => '{cursor}')"),
        format!("list_jobs('work', cursor => '{cursor}')"),
        format!("list_jobs('work', 'pending', cursor => '{swapped}')"),
        format!("list_jobs('work', 'pending', cursor => '{cut}')"),
        format!("list_jobs('work', 'pending', cursor => '{cursor}{cursor}')"),
        "list_jobs('work', 'pending', cursor => 'x')".to_owned(),
        "list_jobs('work', 'pending', cursor => '')".to_owned(),
        "list_jobs('work', 'pending', cursor => 'ü')".to_owned(),
    ] {
        let reply = session.call(&call).failed_with("INVALID_PARAMS");
        assert_eq!(reply["argument"], "cursor", "{call}: {reply:#}");
    }
    for size in ["0", "101", "-1", "2147483647"] {
        let reply = session.call(&format!("list_jobs('work', page_size => {size})")).failed_with("INVALID_PARAMS");
        assert_eq!(reply["argument"], "page_size", "{reply:#}");
        assert!(reply["allowed"].to_string().contains("100"), "{reply:#}");
    }
}

/// The shared buffers that reading a page touches.
fn buffers(session: &mut Session, statement: &str) -> i64 {
    // Once before, so that the caches of the session are filled and only the reading counts.
    session.reply(statement, &[]).succeeded();
    let plan: Value = session.one(&format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}"), &[]);
    let of = |what: &str| plan[0]["Plan"][what].as_i64().expect("a number of buffers");
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

#[test]
fn the_thousandth_page_costs_the_buffers_of_the_first() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    // Live jobs, finished jobs in partitions, and finished jobs that came too early for one.
    create(&mut session, 4000);
    session.run("SELECT foreman.update_job_success(job_id, '1') FROM foreman.jobs WHERE job_id % 4 = 0");
    session.maintain();
    create(&mut session, 8000);
    session.run(
        "SELECT foreman.update_job_success(job_id, '1') FROM foreman.jobs WHERE job_id % 4 = 1 AND status = 'pending'",
    );
    for table in ["live_job", "finished_job", "finished_rest"] {
        session.run(&format!("VACUUM (ANALYZE) foreman.{table}"));
    }
    for (arguments, page) in [
        ("'work', page_size => 10", 1000),
        ("'work', status => 'pending', page_size => 5", 1000),
        ("'work', status => 'completed', page_size => 3", 1000),
        ("null, page_size => 10", 1000),
    ] {
        let mut pages = Pages::of(arguments);
        let first = buffers(&mut session, &pages.statement());
        for n in 1..page {
            assert!(pages.next(&mut session).is_some(), "list_jobs({arguments}) has a page {n}");
        }
        assert!(!pages.ended, "list_jobs({arguments}) has a page {page}");
        let last = buffers(&mut session, &pages.statement());
        // Which leaf of an index a page begins in is chance; a cost that grows with the number of the page is not.
        assert!(last <= first + first / 2 + 10, "list_jobs({arguments}): page 1 {first} buffers, page {page} {last}");
    }
}

#[test]
fn a_job_is_found_by_its_id_in_every_place_it_can_be() {
    let db = Cluster::shared().database();
    let mut session = db.session();
    let jobs = create(&mut session, 3);
    session.call(&format!("update_job_success({}, '1')", jobs[0])).succeeded();
    session.maintain();
    session.call(&format!("update_job_success({}, '1')", jobs[1])).succeeded();
    let statuses: Vec<Value> = jobs
        .iter()
        .map(|job| {
            session.call(&format!("get_job({job})")).succeeded();
            session.reply("SELECT to_jsonb(status::text) FROM foreman.jobs WHERE job_id = $1", &[job])
        })
        .collect();
    assert_eq!(statuses, [json!("completed"), json!("completed"), json!("pending")]);
}
