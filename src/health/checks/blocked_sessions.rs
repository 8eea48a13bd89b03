//! Sessions that wait for a lock, and who is at the root.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::datum::{Array, Jsonb};
use crate::pg::spi::{Connection, Row, Rows, Statement};
use pgrx::pg_sys;
use std::collections::{HashMap, HashSet, VecDeque};

pub const CHECK: Check = Check {
    name: "blocked_sessions",
    unit: "seconds",
    direction: Direction::Above,
    warn: Some(60.0),
    fail: Some(120.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "For how long a session has been waiting for a lock, and who is at the root: blocks others and does not wait.",
    advice: "End the root's transaction by the remedy: the others go on by themselves. foreman.blocking shows all roots.",
    run: Run::Fast(|connection| Some(measure(connection))),
};

// The lock table is open to every role. pg_blocking_pids takes exclusive hold of it for a moment, so it is asked only for
// sessions that wait, and for at most 200 of them. waitstart is NULL for the first moment, which GREATEST makes 0.
static WAITS: Statement = Statement::new(
    c"SELECT w.pid,
             GREATEST(0, EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) w.waitstart)::double precision),
             w.sessions, pg_catalog.pg_blocking_pids(w.pid)::text
      FROM (
          SELECT l.pid, l.waitstart, pg_catalog.count(*) OVER () AS sessions
          FROM pg_catalog.pg_lock_status() AS l
          WHERE NOT l.granted
            AND l.pid IS NOT NULL
          ORDER BY l.waitstart, l.pid
          LIMIT 200
      ) AS w",
    &[],
);

// A prepared transaction is pid 0 to whoever waits for it. Which one it is, is seen from the lock that it holds of what is
// waited for: it holds that in no process, and beside the lock of its own number.
static ROOTS: Statement = Statement::new(
    c"WITH asked AS MATERIALIZED (
          SELECT a.pid, a.blocks, a.depth, a.seconds, a.waiter
          FROM ROWS FROM (
              pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)
          ) AS a (pid, blocks, depth, seconds, waiter)
      ), root AS MATERIALIZED (
          SELECT a.blocks, a.depth, pg_catalog.round(a.seconds::numeric, 3) AS longest_wait_seconds, a.pid,
                 s.backend_start, COALESCE(s.database, p.database) AS database, COALESCE(s.role, p.owner) AS role,
                 s.application, s.state, pg_catalog.round(s.transaction_seconds::numeric, 3) AS transaction_seconds,
                 CASE WHEN p.gid IS NULL THEN pg_catalog.format('pid %s', a.pid)
                      ELSE pg_catalog.format('prepared transaction %L', p.gid) END AS holder,
                 CASE WHEN p.gid IS NULL THEN s.remedy
                      ELSE pg_catalog.format(
                          'ROLLBACK PREPARED %L; -- or COMMIT PREPARED, in database %I, by its owner or a superuser; what it did is lost',
                          p.gid, p.database) END AS remedy
          FROM asked AS a
          LEFT JOIN foreman.client_sessions AS s ON s.pid OPERATOR(pg_catalog.=) a.pid
          LEFT JOIN LATERAL (
              SELECT x.gid, x.database, x.owner
              FROM pg_catalog.pg_locks AS w
              JOIN pg_catalog.pg_locks AS h
                  ON h.granted AND h.pid IS NULL
                  AND h.locktype OPERATOR(pg_catalog.=) w.locktype
                  AND h.database IS NOT DISTINCT FROM w.database
                  AND h.relation IS NOT DISTINCT FROM w.relation
                  AND h.page IS NOT DISTINCT FROM w.page
                  AND h.tuple IS NOT DISTINCT FROM w.tuple
                  AND h.transactionid::text IS NOT DISTINCT FROM w.transactionid::text
                  AND h.classid IS NOT DISTINCT FROM w.classid
                  AND h.objid IS NOT DISTINCT FROM w.objid
                  AND h.objsubid IS NOT DISTINCT FROM w.objsubid
              JOIN pg_catalog.pg_locks AS t
                  ON t.granted AND t.pid IS NULL
                  AND t.locktype OPERATOR(pg_catalog.=) 'transactionid'
                  AND t.virtualtransaction OPERATOR(pg_catalog.=) h.virtualtransaction
              JOIN pg_catalog.pg_prepared_xacts AS x ON x.transaction OPERATOR(pg_catalog.=) t.transactionid
              WHERE a.pid OPERATOR(pg_catalog.=) 0
                AND NOT w.granted
                AND w.pid OPERATOR(pg_catalog.=) a.waiter
              ORDER BY x.prepared
              LIMIT 1
          ) AS p ON true
      )
      SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r) ORDER BY r.blocks DESC, r.pid),
             (pg_catalog.array_agg(r.holder ORDER BY r.blocks DESC, r.pid))[1],
             (pg_catalog.array_agg(
                 r.holder OPERATOR(pg_catalog.||) CASE
                     WHEN r.state IS NULL THEN ''
                     ELSE pg_catalog.format(' (application %L, %s)', r.application, r.state)
                 END ORDER BY r.blocks DESC, r.pid))[1],
             (pg_catalog.array_agg(r.remedy ORDER BY r.blocks DESC, r.pid))[1]
      FROM root AS r",
    &[
        pg_sys::INT4ARRAYOID,
        pg_sys::INT8ARRAYOID,
        pg_sys::INT8ARRAYOID,
        pg_sys::FLOAT8ARRAYOID,
        pg_sys::INT4ARRAYOID,
    ],
);

static SUBJECTS: Statement = Statement::new(
    c"SELECT pg_catalog.jsonb_build_object(
          'waiting', $1,
          'truncated', $1 OPERATOR(pg_catalog.>) 200,
          'roots', COALESCE($2, '[]'),
          'longest_waits', (
              SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                  'pid', w.pid, 'seconds', pg_catalog.round(w.seconds::numeric, 3),
                  'blocked_by', pg_catalog.to_jsonb(w.blockers::pg_catalog.int4[]))
                  ORDER BY w.seconds DESC, w.pid)
              FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS w (pid, seconds, blockers)))",
    &[pg_sys::INT8OID, pg_sys::JSONBOID, pg_sys::INT4ARRAYOID, pg_sys::FLOAT8ARRAYOID, pg_sys::TEXTARRAYOID],
);

/// How many are told of.
const TOLD: usize = 10;

/// A session that waits, and for whom.
struct Wait {
    pid: i32,
    seconds: f64,
    blockers: Vec<i32>,
}

/// One that blocks others and does not wait; 0 is a prepared transaction.
struct Root {
    pid: i32,
    /// Sessions that wait behind it, for itself or for each other.
    blocks: i64,
    /// How many waits the longest way to it has, each session going the shortest.
    depth: i64,
    seconds: f64,
    /// One that waits for itself.
    waiter: i32,
}

impl Wait {
    /// Reads a row.
    fn of(row: &Row<'_>) -> Option<Wait> {
        let blockers = row.text(4)?.trim_matches(['{', '}']).split(',').filter_map(|pid| pid.parse().ok()).collect();
        Some(Wait { pid: row.integer(1)?, seconds: row.double(2)?, blockers })
    }
}

/// Those at the root, worst first. Not each pair is told: 130 waiters for one row have 8,386 of them, since who came before
/// counts as well, and a single root.
fn roots(waits: &[Wait]) -> Vec<Root> {
    let waiting: HashSet<i32> = waits.iter().map(|wait| wait.pid).collect();
    let mut behind: HashMap<i32, Vec<&Wait>> = HashMap::new();
    for wait in waits {
        wait.blockers.iter().for_each(|blocker| behind.entry(*blocker).or_default().push(wait));
    }
    let mut roots: Vec<Root> =
        behind.keys().filter(|pid| !waiting.contains(pid)).filter_map(|pid| root(*pid, &behind)).collect();
    roots.sort_by_key(|root| (-root.blocks, root.pid));
    roots.truncate(TOLD);
    roots
}

/// Goes from a root to all that wait behind it.
fn root(pid: i32, behind: &HashMap<i32, Vec<&Wait>>) -> Option<Root> {
    let mut seen = HashSet::new();
    let mut root = Root { pid, blocks: 0, depth: 0, seconds: 0.0, waiter: behind.get(&pid)?.first()?.pid };
    let mut next = VecDeque::from([(pid, 0)]);
    while let Some((blocker, depth)) = next.pop_front() {
        for wait in behind.get(&blocker).into_iter().flatten().filter(|wait| seen.insert(wait.pid)) {
            root.blocks += 1;
            root.depth = depth + 1;
            root.seconds = root.seconds.max(wait.seconds);
            next.push_back((wait.pid, depth + 1));
        }
    }
    Some(root)
}

/// The check.
fn measure(connection: &Connection) -> Measure {
    let rows = connection.run(&WAITS, &[]);
    let sessions = rows.first().and_then(|row| row.bigint(3)).unwrap_or(0);
    let waits: Vec<Wait> = rows.iter().filter_map(|row| Wait::of(&row)).collect();
    let Some(longest) = waits.first() else {
        return Measure {
            value: Some(0.0),
            meaning: Some("No session waits for a lock.".to_owned()),
            ..Measure::default()
        };
    };
    let roots = roots(&waits);
    let told = connection.run(
        &ROOTS,
        &[
            &Array::of(roots.iter().map(|root| Some(root.pid))),
            &Array::of(roots.iter().map(|root| Some(root.blocks))),
            &Array::of(roots.iter().map(|root| Some(root.depth))),
            &Array::of(roots.iter().map(|root| Some(root.seconds))),
            &Array::of(roots.iter().map(|root| Some(root.waiter))),
        ],
    );
    let text = |column| told.first().and_then(|row| row.text(column));
    let at_the_root = match text(3) {
        Some(holder) => format!("At the root is {holder}."),
        None => "They wait for each other, or the lock has just been freed.".to_owned(),
    };
    Measure {
        value: Some(longest.seconds),
        meaning: Some(format!(
            "Sessions that wait for a lock: {sessions}, the longest for {:.1} s. {at_the_root}",
            longest.seconds
        )),
        remedy: text(4),
        subjects: subjects(connection, sessions, &told, &waits),
        culprit: text(2),
        ..Measure::default()
    }
}

/// Those at the root, and those that wait longest.
fn subjects(connection: &Connection, sessions: i64, roots: &Rows, waits: &[Wait]) -> Option<Jsonb> {
    let longest = &waits[..waits.len().min(TOLD)];
    let blockers: Vec<String> = longest.iter().map(|wait| format!("{{{}}}", joined(&wait.blockers))).collect();
    let blockers: Vec<&str> = blockers.iter().map(String::as_str).collect();
    let rows = connection.run(
        &SUBJECTS,
        &[
            &sessions,
            &roots.first().and_then(|row| row.jsonb(1)),
            &Array::of(longest.iter().map(|wait| Some(wait.pid))),
            &Array::of(longest.iter().map(|wait| Some(wait.seconds))),
            &Array::of_names(&blockers),
        ],
    );
    rows.first().and_then(|row| row.jsonb(1))
}

/// Pids in a row.
fn joined(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that has waited for as many seconds as its pid.
    fn wait(pid: i32, blockers: &[i32]) -> Wait {
        Wait { pid, seconds: f64::from(pid), blockers: blockers.to_vec() }
    }

    /// Each root's pid, how many it blocks and how deep.
    fn told(waits: &[Wait]) -> Vec<(i32, i64, i64)> {
        roots(waits).iter().map(|root| (root.pid, root.blocks, root.depth)).collect()
    }

    #[test]
    fn a_chain_has_one_root_and_its_depth() {
        assert_eq!(told(&[wait(2, &[1]), wait(3, &[2]), wait(4, &[3])]), [(1, 3, 3)]);
    }

    #[test]
    fn who_queued_before_is_no_root_and_makes_no_depth() {
        let waits: Vec<Wait> = (2..=200).map(|pid| wait(pid, &(1..pid).collect::<Vec<_>>())).collect();
        assert_eq!(told(&waits), [(1, 199, 1)]);
    }

    #[test]
    fn who_waits_for_several_is_behind_each_of_them() {
        assert_eq!(told(&[wait(3, &[1, 2]), wait(4, &[2]), wait(5, &[0])]), [(2, 2, 1), (0, 1, 1), (1, 1, 1)]);
    }

    #[test]
    fn a_circle_has_no_root() {
        assert_eq!(told(&[wait(1, &[2]), wait(2, &[1])]), []);
    }
}
