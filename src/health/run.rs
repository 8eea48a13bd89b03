//! Runs the checks: each apart from the others, so that one that can't be made costs only itself.

use super::check::{Check, Measure, Run, Status, grade};
use super::checks::CHECKS;
use super::families::jobs::Figures;
use super::families::sessions::Sessions;
use super::samples;
use super::slow::{self, Kept};
use super::thresholds::{self, Configured, Thresholds};
use crate::error::Error;
use crate::guard;
use crate::pg::spi::{self, Connection};
use crate::pg::{activity, compat, process, xact};
use std::time::{Duration, Instant};

/// A lock that a check has to wait longer for, in milliseconds, is somebody's incident, which is when health is asked for.
pub const LOCK_TIMEOUT: i32 = 50;
/// After so much was lost to checks that failed, no further one is begun: some ten that all waited for a lock.
const MOST_LOST: Duration = Duration::from_millis(500);
/// Nor after so long in all: at two seconds the call would end without a document. What is merely slow, such as the first
/// call on a cold server, is told until then.
const LONGEST: Duration = Duration::from_millis(1_500);

/// What a call has used up of its time, and what it has read by then.
struct Budget {
    started: Instant,
    /// By checks that failed.
    lost: Duration,
    figures: Option<Figures>,
    sessions: Option<Result<Sessions, Error>>,
}

/// What became of a check.
pub struct Finding {
    pub check: &'static Check,
    pub thresholds: Thresholds,
    pub status: Status,
    /// What may be told of it.
    pub measure: Measure,
    /// The check that tells of the cause of what this one finds.
    pub caused_by: Option<&'static str>,
    /// The checks that tell of its effects.
    pub causes: Vec<&'static str>,
}

/// What became of all checks.
pub struct Findings {
    /// Worst first, then by name.
    pub list: Vec<Finding>,
    /// Whether what an administrator has configured could be read; the built-in thresholds were in force if not.
    pub configured: bool,
    /// What was read of jobs, if a check has looked at them.
    pub figures: Option<Figures>,
    /// What was read of sessions, if a check has looked at them.
    pub sessions: Option<Result<Sessions, Error>>,
}

/// Makes all checks that can be made here.
pub fn run() -> Findings {
    // The server copies the sessions once a transaction: who polls in one would see the same figures for ever.
    activity::look_anew();
    let mut budget = Budget { started: Instant::now(), lost: Duration::ZERO, figures: None, sessions: None };
    // Where no background worker takes readings, whoever asks does. Without one, rates are unknown.
    if samples::is_due(process::database()) {
        let _ = probe(samples::take);
    }
    let configured = probe(thresholds::configured);
    let is_read = configured.is_ok();
    let configured = configured.unwrap_or_default();
    let mut kept = slow::kept();
    let mut list: Vec<Finding> =
        CHECKS.iter().map(|check| Finding::of(check, &configured, &mut kept, &mut budget)).collect();
    link(&mut list);
    list.sort_by_key(|finding| (finding.rank(), finding.check.name));
    Findings { list, configured: is_read, figures: budget.figures, sessions: budget.sessions }
}

/// Joins the checks that blame the same one: the first that raises an alarm for it is the cause of the others.
fn link(list: &mut [Finding]) {
    for effect in 1..list.len() {
        let (before, rest) = list.split_at_mut(effect);
        let Some(effect) = rest.first_mut().filter(|effect| effect.is_alarm() && effect.measure.culprit.is_some())
        else {
            continue;
        };
        let blames_the_same =
            |cause: &&mut Finding| cause.is_alarm() && cause.measure.culprit == effect.measure.culprit;
        if let Some(cause) = before.iter_mut().find(blames_the_same) {
            effect.caused_by = Some(cause.check.name);
            cause.causes.push(effect.check.name);
        }
    }
}

/// A step that may fail for itself alone.
pub fn probe<T>(step: impl Fn() -> T) -> Result<T, Error> {
    guard::probe(LOCK_TIMEOUT, step)
}

/// Why a check is not made here, if it isn't.
fn why_skipped(check: &Check, thresholds: &Thresholds) -> Option<String> {
    if !thresholds.enabled {
        return Some(thresholds.note.clone().unwrap_or_else(|| "disabled by foreman.configure_check".to_owned()));
    }
    if compat::MAJOR_VERSION < check.from_version {
        return Some(format!("PostgreSQL {} and later can tell", check.from_version));
    }
    (xact::in_recovery() && !check.on_standby).then(|| "says nothing on a standby".to_owned())
}

impl Finding {
    /// Makes a check.
    fn of(check: &'static Check, configured: &Configured, kept: &mut Kept, budget: &mut Budget) -> Finding {
        let thresholds = Thresholds::of(check, configured);
        if let Some(reason) = why_skipped(check, &thresholds) {
            return Finding::new(check, thresholds, Status::Skipped, Measure::because(reason));
        }
        let measure = match check.run {
            Run::Slow(_) => kept.of(check),
            Run::Fast(_) | Run::Jobs(_) | Run::Sessions(_) if let Some(reason) = budget.why_spent() => {
                Measure::because(reason)
            }
            Run::Fast(measure) => budget.measured(measure),
            Run::Jobs(measure) => budget.counted(measure),
            Run::Sessions(measure) => budget.seen(measure),
        };
        Finding::new(check, thresholds, Status::Unknown, measure).judged()
    }

    /// One that is linked to no other.
    fn new(check: &'static Check, thresholds: Thresholds, status: Status, measure: Measure) -> Finding {
        Finding { check, thresholds, status, measure, caused_by: None, causes: Vec::new() }
    }

    /// What is visible can be bad enough already; only what looks well is in doubt where something is hidden.
    fn judged(mut self) -> Finding {
        let Thresholds { warn, fail, .. } = self.thresholds;
        self.status = match self.measure.value.map(|value| grade(value, warn, fail, self.check.direction)) {
            None if self.measure.meaning.is_some() => Status::Skipped,
            None => Status::Unknown,
            Some(Status::Pass) if self.measure.reason.is_some() => Status::Unknown,
            Some(status) => status.max(self.check.worst),
        };
        match self.status {
            Status::Skipped => self.measure = Measure::because(self.measure.meaning.unwrap_or_default()),
            Status::Unknown => {
                let Measure { reason, reveal, age, took, .. } = self.measure;
                self.measure = Measure { reason, remedy: reveal, age, took, ..Measure::default() };
            }
            Status::Pass => self.measure.remedy = None,
            Status::Warn | Status::Fail => {}
        }
        self
    }

    /// Whether it warns or fails, and nobody has asked for silence.
    pub fn is_alarm(&self) -> bool {
        self.status <= Status::Warn && !self.thresholds.muted
    }

    /// Its place among the others: a muted one is told with those that pass.
    fn rank(&self) -> Status {
        if self.thresholds.muted { self.status.max(Status::Pass) } else { self.status }
    }
}

impl Budget {
    /// Why no further check is begun, if none is.
    fn why_spent(&self) -> Option<String> {
        if self.lost > MOST_LOST {
            return Some(format!("checks that failed before it took more than {} ms", MOST_LOST.as_millis()));
        }
        (self.started.elapsed() > LONGEST)
            .then(|| format!("the checks before it took more than {} ms", LONGEST.as_millis()))
    }

    /// What a check measures.
    fn measured(&mut self, measure: fn(&Connection) -> Option<Measure>) -> Measure {
        let began = Instant::now();
        let (measured, is_lost) = answered(probe(|| spi::connect(measure)));
        self.timed(measured, is_lost, began)
    }

    /// What a check says of sessions: the first such one reads them.
    fn seen(&mut self, measure: fn(&Sessions, &Connection) -> Option<Measure>) -> Measure {
        let began = Instant::now();
        let is_first = self.sessions.is_none();
        let (measured, is_lost) = match self.sessions.get_or_insert_with(Sessions::read) {
            Ok(sessions) => answered(probe(|| spi::connect(|connection| measure(sessions, connection)))),
            Err(error) => (Measure::failed(error), is_first),
        };
        self.timed(measured, is_lost, began)
    }

    /// What a check says of jobs: the first such one reads them.
    fn counted(&mut self, measure: fn(&Figures) -> Measure) -> Measure {
        let began = Instant::now();
        let is_first = self.figures.is_none();
        let figures = self.figures.get_or_insert_with(Figures::read);
        let (measured, is_lost) = (measure(figures), is_first && !figures.is_whole());
        self.timed(measured, is_lost, began)
    }

    /// A measure with the time that it took, which was lost if it failed.
    fn timed(&mut self, measured: Measure, is_lost: bool, began: Instant) -> Measure {
        let took = began.elapsed();
        if is_lost {
            self.lost += took;
        }
        Measure { took: Some(took.as_secs_f64() * 1e3), ..measured }
    }
}

/// What a check measured or why it could not, and whether it failed.
fn answered(answer: Result<Option<Measure>, Error>) -> (Measure, bool) {
    match answer {
        Ok(Some(measure)) => (measure, false),
        Ok(None) => (Measure::because("the server gave no answer".to_owned()), false),
        Err(error) => (Measure::failed(&error), true),
    }
}
