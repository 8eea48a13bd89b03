//! Readings of counters, one a `foreman.sample_interval` for each database, the last 120 of them: what only counts up is told
//! as what it grew by in between.
//!
//! A reading follows another only where no statistics were reset in between and no counter has fallen; else it begins anew.
//! A crash of the server empties all. What is read is the caller's: nothing here knows where it comes from.

use crate::pg::shmem::Guarded;
use std::time::Duration;

/// Readings that are kept: two hours, one a minute.
const LENGTH: usize = 120;
/// Databases that have a place. All of it takes 1.3 MB.
const MAX_DATABASES: usize = 64;
/// A database whose turn came last so long ago has lost its place to who needs one, in microseconds.
const KEPT: i64 = 2 * 3600 * 1_000_000;
/// Readings whose last one is so many intervals old tell nothing of now.
const STALE: u32 = 5;

macro_rules! figures {
    ($($(#[$doc:meta])* $figure:ident,)*) => {
        /// What a reading holds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Figure {
            $($(#[$doc])* $figure,)*
        }

        impl Figure {
            /// All of them, in the order of the values.
            pub const ALL: &[Figure] = &[$(Figure::$figure,)*];
        }
    };
}

figures! {
    Commits,
    Rollbacks,
    BlocksHit,
    BlocksRead,
    TempBytes,
    Deadlocks,
    Conflicts,
    /// Jobs that left the live ones, in whatever way.
    JobsEnded,
    /// Jobs that are ready in queues that are not paused.
    JobsReady,
    CheckpointsTimed,
    CheckpointsRequested,
    /// Leases taken back.
    Rescued,
    /// Jobs that only a look back has found, of the queues that have floors now.
    FloorMisses,
    /// Readings in which all sessions could be seen.
    SessionLooks,
    /// Sessions that ran a statement then, and those of them that waited for something.
    Running,
    OnLocks,
    OnLightweight,
    OnDisk,
    OnProcesses,
}

impl Figure {
    /// Whether it also becomes less while nothing begins anew.
    fn may_fall(self) -> bool {
        matches!(self, Figure::JobsReady | Figure::FloorMisses)
    }

    /// Whether what is read is how many there are at that moment, and kept is the sum of all readings.
    fn is_summed(self) -> bool {
        use Figure::{OnDisk, OnLightweight, OnLocks, OnProcesses, Running, SessionLooks};
        matches!(self, SessionLooks | Running | OnLocks | OnLightweight | OnDisk | OnProcesses)
    }
}

/// How many there are.
pub const FIGURES: usize = Figure::ALL.len();

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// In microseconds since 2000-01-01 UTC.
    pub at: i64,
    /// When what is read was last reset, the statistics of the database and of the server; 0: never.
    pub resets: [i64; 3],
    pub values: [i64; FIGURES],
}

/// A database's readings. All zeroes is a free place.
#[derive(Clone, Copy)]
struct Ring {
    database: u32,
    /// How many were ever taken.
    taken: usize,
    /// When somebody last had a turn to take one.
    turn_at: i64,
    samples: [Sample; LENGTH],
}

/// What lies in shared memory.
pub struct Table {
    rings: Guarded<[Ring; MAX_DATABASES]>,
}

/// Two readings, and how many lie between them, the later one counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub from: Sample,
    pub to: Sample,
    pub steps: usize,
}

/// Why there is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Preload,
    Place,
    /// There is one reading so far, since the start, a crash or a reset of the statistics.
    Second,
    Fresh,
}

/// No reading.
const NOTHING: Sample = Sample { at: 0, resets: [0; 3], values: [0; FIGURES] };

impl Sample {
    /// Whether what counts up has done so from this reading to a later one.
    fn leads_to(&self, later: &Sample) -> bool {
        let grew = |figure: &Figure| figure.may_fall() || self.of(*figure) <= later.of(*figure);
        self.at < later.at && self.resets == later.resets && Figure::ALL.iter().all(grew)
    }

    /// A value.
    fn of(&self, figure: Figure) -> i64 {
        self.values[figure as usize]
    }
}

impl Span {
    /// What a figure grew by.
    pub fn growth(&self, figure: Figure) -> f64 {
        (self.to.of(figure) - self.from.of(figure)) as f64
    }

    /// The same, for each minute.
    pub fn per_minute(&self, figure: Figure) -> f64 {
        self.growth(figure) / self.minutes()
    }

    /// How long it is.
    pub fn minutes(&self) -> f64 {
        (self.to.at - self.from.at) as f64 / 60e6
    }
}

impl Ring {
    /// The reading that was taken so many before the last.
    fn back(&self, number: usize) -> Option<&Sample> {
        let place = self.taken.checked_sub(number + 1).filter(|_| number < LENGTH)?;
        self.samples.get(place % LENGTH)
    }

    /// Whether it is time to take one; the next turn is then an interval later. A turn that comes to nothing is lost.
    fn take_turn(&mut self, now: i64, interval: i64) -> bool {
        // The clock may have been put back.
        let is_time = self.turn_at == 0 || self.turn_at > now || now - self.turn_at >= interval;
        if is_time {
            self.turn_at = now;
        }
        is_time
    }

    /// Keeps a reading in the place of the oldest.
    fn keep(&mut self, mut sample: Sample) {
        let last = self.back(0).copied().unwrap_or(NOTHING);
        for figure in Figure::ALL.iter().filter(|figure| figure.is_summed()) {
            sample.values[*figure as usize] += last.of(*figure);
        }
        if let Some(place) = self.samples.get_mut(self.taken % LENGTH) {
            *place = sample;
            self.taken += 1;
        }
    }

    /// From the last reading back for so many, as far as each leads to the next.
    fn span(&self, most: usize, now: i64, interval: i64) -> Result<Span, Missing> {
        let to = self.back(0).ok_or(Missing::Second)?;
        if to.at > now || now - to.at > interval.saturating_mul(i64::from(STALE)) {
            return Err(Missing::Fresh);
        }
        let mut span = Span { from: *to, to: *to, steps: 0 };
        while span.steps < most
            && let Some(earlier) = self.back(span.steps + 1)
            && earlier.leads_to(&span.from)
        {
            span = Span { from: *earlier, steps: span.steps + 1, ..span };
        }
        if span.steps > 0 { Ok(span) } else { Err(Missing::Second) }
    }
}

/// The place of a database: its own, a free one, or one whose database has not been heard of for long.
fn place(rings: &mut [Ring; MAX_DATABASES], database: u32, now: i64) -> Option<&mut Ring> {
    let is_free = |ring: &Ring| ring.database == 0 || (now - ring.turn_at).abs() > KEPT;
    let own = rings.iter().position(|ring| ring.database == database);
    let place = own.or_else(|| rings.iter().position(is_free))?;
    let ring = rings.get_mut(place)?;
    if own.is_none() {
        *ring = Ring { database, taken: 0, turn_at: 0, samples: [NOTHING; LENGTH] };
    }
    Some(ring)
}

/// Works on a database's readings.
fn with<R>(database: u32, now: i64, work: impl FnOnce(&mut Ring) -> R) -> Result<R, Missing> {
    let area = super::area().ok_or(Missing::Preload)?;
    area.samples.rings.with(|rings| place(rings, database, now).map(work)).ok_or(Missing::Place)
}

/// An interval in microseconds.
fn micros(interval: Duration) -> i64 {
    i64::try_from(interval.as_micros()).unwrap_or(i64::MAX)
}

/// Whether the caller is to take a reading now. Nobody else is told so before the interval has passed.
pub fn take_turn(database: u32, now: i64, interval: Duration) -> bool {
    with(database, now, |ring| ring.take_turn(now, micros(interval))).unwrap_or_default()
}

/// Keeps a reading.
pub fn keep(database: u32, sample: Sample) {
    // Without preload, or without a place, there is nowhere to keep it.
    let _ = with(database, sample.at, |ring| ring.keep(sample));
}

/// The last readings, up to so many, as far as they can be compared.
pub fn span(database: u32, most: usize, now: i64, interval: Duration) -> Result<Span, Missing> {
    with(database, now, |ring| ring.span(most, now, micros(interval)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn ring() -> Box<Ring> {
        Box::new(Ring { database: 1, taken: 0, turn_at: 0, samples: [NOTHING; LENGTH] })
    }

    /// The reading of a minute, with so many commits.
    fn sample(minute: i64, commits: i64) -> Sample {
        let mut sample = Sample { at: minute * MINUTE, ..NOTHING };
        sample.values[Figure::Commits as usize] = commits;
        sample
    }

    /// Over how many readings, and how many commits a minute.
    fn told(ring: &Ring, most: usize, minute: i64) -> Result<(usize, f64), Missing> {
        ring.span(most, minute * MINUTE, MINUTE).map(|span| (span.steps, span.per_minute(Figure::Commits)))
    }

    #[test]
    fn a_rate_takes_two_readings_that_are_fresh() {
        let mut ring = ring();
        assert_eq!(told(&ring, 10, 1), Err(Missing::Second));
        ring.keep(sample(1, 100));
        assert_eq!(told(&ring, 10, 1), Err(Missing::Second));
        ring.keep(sample(3, 120));
        assert_eq!(told(&ring, 10, 3), Ok((1, 10.0)));
        assert_eq!(told(&ring, 10, 8), Ok((1, 10.0)));
        assert_eq!(told(&ring, 10, 9), Err(Missing::Fresh));
        assert_eq!(told(&ring, 10, 2), Err(Missing::Fresh));
    }

    #[test]
    fn after_a_reset_or_a_value_that_fell_it_begins_anew() {
        let mut ring = ring();
        ring.keep(sample(1, 100));
        ring.keep(sample(2, 110));
        ring.keep(sample(3, 5));
        assert_eq!(told(&ring, 10, 3), Err(Missing::Second));
        ring.keep(sample(4, 9));
        assert_eq!(told(&ring, 10, 4), Ok((1, 4.0)));
        // More was counted since the reset than before it.
        ring.keep(Sample { resets: [1, 0, 0], ..sample(5, 500) });
        assert_eq!(told(&ring, 10, 5), Err(Missing::Second));
        ring.keep(Sample { resets: [1, 0, 0], ..sample(6, 501) });
        assert_eq!(told(&ring, 10, 6), Ok((1, 1.0)));
    }

    #[test]
    fn jobs_that_are_ready_and_queues_with_floors_may_become_fewer() {
        for figure in [Figure::JobsReady, Figure::FloorMisses] {
            let mut ring = ring();
            for (minute, value) in [(1, 50), (2, 20)] {
                let mut taken = sample(minute, 1);
                taken.values[figure as usize] = value;
                ring.keep(taken);
            }
            let span = ring.span(10, 2 * MINUTE, MINUTE).expect("a span");
            assert!((span.growth(figure) + 30.0).abs() < 1e-9);
        }
    }

    #[test]
    fn sessions_seen_at_something_are_added_up() {
        let mut ring = ring();
        for (minute, running) in [(1, 4), (2, 7), (3, 1)] {
            let mut taken = sample(minute, 1);
            taken.values[Figure::Running as usize] = running;
            ring.keep(taken);
        }
        let span = ring.span(10, 3 * MINUTE, MINUTE).expect("a span");
        assert!((span.growth(Figure::Running) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn it_keeps_two_hours_and_goes_no_further_back_than_asked() {
        let mut ring = ring();
        for minute in 1..=300 {
            ring.keep(sample(minute, minute * minute));
        }
        assert_eq!(told(&ring, 1, 300), Ok((1, 599.0)));
        assert_eq!(told(&ring, 10, 300), Ok((10, 590.0)));
        assert_eq!(told(&ring, 1_000, 300).map(|(steps, _)| steps), Ok(LENGTH - 1));
    }

    #[test]
    fn a_turn_comes_once_an_interval_and_at_once_after_the_clock_was_put_back() {
        let mut ring = ring();
        let turns = [10, 10, 11, 70, 71, 60].map(|second| ring.take_turn(second * 1_000_000, MINUTE));
        assert_eq!(turns, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_database_more_takes_the_place_of_one_that_was_not_heard_of_for_two_hours() {
        // On the heap from the start: a test's stack is small.
        let mut rings: Box<[Ring; MAX_DATABASES]> =
            vec![*ring(); MAX_DATABASES].into_boxed_slice().try_into().unwrap_or_else(|_| panic!("as many"));
        for database in 1..=MAX_DATABASES as u32 {
            rings[database as usize - 1] = Ring { database, turn_at: KEPT, ..*ring() };
        }
        assert!(place(&mut rings, 1_000, 2 * KEPT).is_none());
        rings[7].turn_at = KEPT - 1;
        assert!(place(&mut rings, 1_000, 2 * KEPT).is_some_and(|ring| ring.taken == 0 && ring.turn_at == 0));
        assert_eq!(rings[7].database, 1_000);
    }
}
