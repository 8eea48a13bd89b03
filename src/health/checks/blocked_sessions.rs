//! Sessions that wait for a lock, and who is at the root.

use crate::health::check::{Check, Direction, Measure, Run, Status, decimals};
use crate::health::families::horizon;
use crate::health::families::sessions::{Kind, Session, Sessions};
use crate::pg::datum::quoted;
use crate::pg::document::Member;
use crate::pg::spi::{Connection, Row, Statement};
use pgrx::pg_sys;
use serde_json::Value;
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
    run: Run::Sessions(|sessions, connection| Some(measure(sessions, connection))),
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
static PREPARED: Statement = Statement::new(
    c"SELECT x.gid, x.database, x.owner
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
      WHERE NOT w.granted
        AND w.pid OPERATOR(pg_catalog.=) $1
      ORDER BY x.prepared
      LIMIT 1",
    &[pg_sys::INT4OID],
);

/// How many are told of.
const TOLD: usize = 10;
/// Of how many it is asked for whom they wait, as the statement has it.
const MOST: i64 = 200;

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

    /// As one of the longest.
    fn told(&self) -> Member {
        Member::Object(vec![
            ("pid", Member::Value(self.pid.into())),
            ("seconds", decimals(self.seconds, 3)),
            ("blocked_by", Member::Value(self.blockers.clone().into())),
        ])
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

/// Who a root is.
struct Told {
    name: String,
    /// The same with the application and the state of a session.
    description: String,
    remedy: Option<String>,
    member: Member,
}

/// The check.
fn measure(sessions: &Sessions, connection: &Connection) -> Measure {
    const NONE: &str = "No session waits for a lock.";
    // The lock table is long where there may be many connections; who waits for a lock is told with his session. Not in the
    // moment in which the server looks whether he waits in a circle: such a wait is seen by the next call.
    if !sessions.may_wait_for_locks() {
        return Measure::none(NONE);
    }
    let rows = connection.run(&WAITS, &[]);
    let waiting = rows.first().and_then(|row| row.bigint(3)).unwrap_or(0);
    let waits: Vec<Wait> = rows.iter().filter_map(|row| Wait::of(&row)).collect();
    let Some(longest) = waits.first() else { return Measure::none(NONE) };
    let told: Vec<Told> = roots(&waits).iter().map(|root| root.told(sessions, connection)).collect();
    let at_the_root = match told.first() {
        Some(root) => format!("At the root is {}.", root.description),
        None => "They wait for each other, or the lock has just been freed.".to_owned(),
    };
    Measure {
        value: Some(longest.seconds),
        meaning: Some(format!(
            "Sessions that wait for a lock: {waiting}, the longest for {:.1} s. {at_the_root}",
            longest.seconds
        )),
        remedy: told.first().and_then(|root| root.remedy.clone()),
        culprit: told.first().map(|root| root.name.clone()),
        subjects: Some(Member::Object(vec![
            ("waiting", Member::Value(waiting.into())),
            ("truncated", Member::Value((waiting > MOST).into())),
            ("roots", Member::Array(told.into_iter().map(|root| root.member).collect())),
            ("longest_waits", Member::Array(waits.iter().take(TOLD).map(Wait::told).collect())),
        ])),
        ..Measure::default()
    }
}

/// As `Session::identity` has it, of none.
fn nobody() -> Vec<(&'static str, Member)> {
    ["backend_start", "database", "role", "application", "state"].map(|name| (name, Member::Value(Value::Null))).into()
}

impl Root {
    fn told(&self, sessions: &Sessions, connection: &Connection) -> Told {
        let rows = (self.pid == 0).then(|| connection.run(&PREPARED, &[&self.waiter]));
        let prepared = rows.as_ref().and_then(|rows| rows.first());
        let session = sessions.processes.iter().find(|process| process.pid == self.pid);
        let text = |text: Option<String>| Member::Value(text.into());
        let identity = session.map_or_else(nobody, Session::identity);
        let (name, remedy, mut members) = match (prepared, session) {
            (Some(row), _) => {
                let (gid, database) = (row.text(1).unwrap_or_default(), row.text(2).unwrap_or_default());
                let remedy = horizon::prepared_remedy(&gid, &database);
                let owner = [("database", text(Some(database))), ("role", text(row.text(3)))];
                (horizon::prepared_name(&gid), Some(remedy), identity.into_iter().chain(owner).collect())
            }
            (None, Some(session)) => (session.name(), session.remedy(), identity),
            (None, None) => (format!("pid {}", self.pid), None, identity),
        };
        let open_for = session.and_then(|session| session.transaction_seconds);
        members.extend([
            ("pid", Member::Value(self.pid.into())),
            ("blocks", Member::Value(self.blocks.into())),
            ("depth", Member::Value(self.depth.into())),
            ("longest_wait_seconds", decimals(self.seconds, 3)),
            ("transaction_seconds", open_for.map_or(Member::Value(Value::Null), |seconds| decimals(seconds, 3))),
            ("holder", text(Some(name.clone()))),
            ("remedy", text(remedy.clone())),
        ]);
        let client = session.filter(|session| session.kind == Kind::Client && !session.state.is_empty());
        let described = client.map(|session| {
            format!("{name} (application {}, {})", quoted(&session.application), session.state)
        });
        Told { description: described.unwrap_or_else(|| name.clone()), name, remedy, member: Member::Object(members) }
    }
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
