//! The launcher: keeps the time, and sends workers to the databases that are due. Connected to no database itself.

use super::process::{self, Started};
use crate::guc;
use crate::pg::{databases, latch, log, xact};
use crate::shared::workers::{self, MAX_VISITS, Outcome};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Between two looks at the list of databases, where there is reason for more.
const LIST_PAUSE: Duration = Duration::from_secs(1);
/// Intervals between two visits to a database without the extension.
const INTERVALS_WITHOUT: u32 = 6;
/// The longest pause after failures, which doubles with each.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a visit that made way for somebody, and where the server has no room for a process.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// When a database is to be visited.
struct Schedule {
    next: Instant,
    failures: u32,
}

/// A visit under way.
struct Visit {
    database: u32,
    with_upkeep: bool,
    process: Started,
}

/// All that the launcher knows.
struct Launcher {
    databases: HashMap<u32, Schedule>,
    visits: [Option<Visit>; MAX_VISITS],
    listed_at: Option<Instant>,
    /// No worker is started before, since the server had no room.
    not_before: Instant,
}

/// Runs until the server ends it.
pub fn run() -> ! {
    workers::launcher_is_here();
    let mut launcher = Launcher {
        databases: HashMap::new(),
        visits: [const { None }; MAX_VISITS],
        listed_at: None,
        not_before: Instant::now(),
    };
    loop {
        process::reload_settings();
        launcher.collect();
        launcher.list();
        launcher.send_out();
        latch::sleep(launcher.pause());
    }
}

impl Launcher {
    /// Looks which visits have ended, and when the next one is to be.
    fn collect(&mut self) {
        for place in 0..MAX_VISITS {
            if let Some(visit) = self.visits[place].take_if(|visit| visit.process.has_ended()) {
                let outcome = workers::outcome(place);
                self.reschedule(&visit, outcome);
                if outcome == Outcome::None {
                    // Perhaps the database is there no longer.
                    self.listed_at = None;
                }
            }
        }
    }

    /// Plans the next visit.
    fn reschedule(&mut self, visit: &Visit, outcome: Outcome) {
        let interval = guc::upkeep_interval();
        let Some(schedule) = self.databases.get_mut(&visit.database) else { return };
        let failed = matches!(outcome, Outcome::None | Outcome::Failed);
        schedule.failures = if failed { schedule.failures.saturating_add(1) } else { 0 };
        let pause = match outcome {
            Outcome::Done if !visit.with_upkeep => return,
            Outcome::Done => interval,
            Outcome::NoExtension => interval * INTERVALS_WITHOUT,
            Outcome::Left => interval.min(SHORT_PAUSE),
            Outcome::None | Outcome::Failed => {
                (interval * (1 << schedule.failures.min(10))).min(LONGEST_PAUSE).max(interval)
            }
        };
        schedule.next = Instant::now() + pause;
        workers::set_next_visit(visit.database, xact::clock() + pause.as_micros() as i64);
    }

    /// Reads which databases there are, now and then.
    fn list(&mut self) {
        let now = Instant::now();
        if self.listed_at.is_some_and(|at| now < at + LIST_PAUSE) {
            return;
        }
        self.listed_at = Some(now);
        let found = process::transaction(c"list the databases", databases::connectable);
        self.databases.retain(|oid, _| found.contains(oid));
        for oid in &found {
            self.databases.entry(*oid).or_insert(Schedule { next: now, failures: 0 });
        }
        workers::keep(|oid| found.contains(&oid));
    }

    /// Starts workers for what is due, the longest overdue first.
    fn send_out(&mut self) {
        let now = Instant::now();
        if let Some(schedule) = workers::take_new().and_then(|database| self.databases.get_mut(&database)) {
            schedule.next = now;
        }
        let mut due: Vec<(Instant, u32, bool)> = self
            .databases
            .iter()
            .filter(|(oid, schedule)| schedule.next <= now && !self.is_visited(**oid))
            .map(|(oid, schedule)| (schedule.next, *oid, true))
            .collect();
        due.sort_unstable();
        let notify: Vec<u32> = workers::marked().filter(|oid| !self.is_visited(*oid)).collect();
        for oid in notify {
            if self.databases.contains_key(&oid) && !due.iter().any(|(_, other, _)| *other == oid) {
                due.insert(0, (now, oid, false));
            }
        }
        for (_, database, with_upkeep) in due {
            if !self.start(database, with_upkeep) {
                return;
            }
        }
    }

    /// Whether a worker is there.
    fn is_visited(&self, database: u32) -> bool {
        self.visits.iter().flatten().any(|visit| visit.database == database)
    }

    /// Starts a worker; false where no more can be started now.
    fn start(&mut self, database: u32, with_upkeep: bool) -> bool {
        let now = Instant::now();
        let under_way = self.visits.iter().flatten().count();
        let place = self.visits.iter().position(Option::is_none).filter(|_| under_way < guc::max_workers());
        let Some(place) = place else {
            // One that only waits for more to notify makes room.
            (0..MAX_VISITS).filter(|place| self.visits[*place].is_some()).for_each(workers::ask_to_leave);
            return false;
        };
        if now < self.not_before {
            return false;
        }
        workers::plan_visit(place, database, with_upkeep);
        match Started::start(super::WORKER, place) {
            Some(process) => {
                self.visits[place] = Some(Visit { database, with_upkeep, process });
                true
            }
            None => {
                log::to_server("no room for a background worker: max_worker_processes is too low".to_owned());
                self.not_before = now + SHORT_PAUSE.max(guc::upkeep_interval());
                false
            }
        }
    }

    /// How long there is nothing to do, unless the latch says otherwise: it does when a worker has ended, when something
    /// is to be notified, and when the settings are to be read anew.
    fn pause(&self) -> Duration {
        let now = Instant::now();
        let interval = guc::upkeep_interval();
        let waiting = self.databases.iter().filter(|(oid, _)| !self.is_visited(**oid));
        let next = waiting.map(|(_, schedule)| schedule.next.saturating_duration_since(now)).min();
        let next = next.unwrap_or(interval).min(interval);
        // What is due and could not be started has to wait for the end of a visit, or for room.
        if next.is_zero() { SHORT_PAUSE.min(interval) } else { next }
    }
}
