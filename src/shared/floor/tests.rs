//! Random schedules of everything that makes jobs ready and takes them: whatever the order, no job that a claim could have
//! is passed over.

use super::{Blocked, Floor, Look, Position, Range, Walked};

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// A job as the index has it.
#[derive(Clone, Copy, PartialEq)]
enum Job {
    /// Made ready by a transaction that has not committed.
    Unseen,
    /// The same, prepared.
    Prepared(u64),
    /// Committed, and not told yet.
    Untold,
    Pending,
    /// Claimed by a transaction that has not ended.
    Taken(u64),
    Gone,
}

/// A claim between its look and its end.
struct Claim {
    holder: u64,
    look: Look,
    /// What its snapshot saw of each job that was there.
    seen: Option<Vec<(Position, Job)>>,
}

struct World {
    random: Random,
    floor: Floor,
    now: i64,
    jobs: Vec<(Position, Job)>,
    claims: Vec<Claim>,
    transactions: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        World { random, floor: Floor::default(), now: 1_000_000, jobs: Vec::new(), claims: Vec::new(), transactions: 0 }
    }

    fn transaction(&mut self) -> u64 {
        self.transactions += 1;
        self.transactions
    }

    /// A job is written: now, later, or as of a clock that was put back.
    fn write(&mut self) {
        let at = match self.random.below(10) {
            0 => self.now + self.random.below(200_000) as i64,
            1 => self.now - self.random.below(200_000) as i64,
            _ => self.now,
        };
        let id = self.jobs.len() as i64;
        self.jobs.push((Position { at, id }, Job::Unseen));
    }

    fn pick(&mut self, wanted: impl Fn(&Job) -> bool) -> Option<usize> {
        let places: Vec<usize> = (0..self.jobs.len()).filter(|place| wanted(&self.jobs[*place].1)).collect();
        (!places.is_empty()).then(|| places[self.random.below(places.len())])
    }

    /// What was written commits, rolls back, or is prepared.
    fn end_write(&mut self) {
        let Some(place) = self.pick(|job| *job == Job::Unseen) else { return };
        let position = self.jobs[place].0;
        self.jobs[place].1 = match self.random.below(10) {
            0 => Job::Gone,
            // With more of them than ranges it takes a look back.
            1 if self.jobs.iter().filter(|(_, job)| matches!(job, Job::Prepared(_))).count() < 3 => {
                let holder = self.transaction();
                self.floor.arrived(position, position, holder, self.now);
                Job::Prepared(holder)
            }
            _ => Job::Untold,
        };
    }

    fn tell(&mut self) {
        if let Some(place) = self.pick(|job| *job == Job::Untold) {
            let position = self.jobs[place].0;
            self.jobs[place].1 = Job::Pending;
            self.floor.arrived(position, position, 0, self.now);
        }
    }

    /// Nobody tells.
    fn commit_prepared(&mut self) {
        if let Some(place) = self.pick(|job| matches!(job, Job::Prepared(_))) {
            self.jobs[place].1 = Job::Pending;
        }
    }

    fn is_running(&self, holder: u64) -> bool {
        self.jobs.iter().any(|(_, job)| matches!(job, Job::Prepared(by) | Job::Taken(by) if *by == holder))
    }

    fn begin_claim(&mut self) {
        let holders =
            self.floor.look(self.now).map(|look| look.ranges().iter().map(|range| range.holder).collect::<Vec<_>>());
        let ended: Vec<u64> =
            holders.into_iter().flatten().filter(|holder| *holder != 0 && !self.is_running(*holder)).collect();
        if !ended.is_empty() {
            self.floor.release(&ended);
        }
        if let Some(look) = self.floor.look(self.now) {
            let holder = self.transaction();
            self.claims.push(Claim { holder, look, seen: None });
        }
    }

    fn snapshot(&mut self) {
        let count = self.claims.len();
        if count > 0 {
            let claim = self.random.below(count);
            if self.claims[claim].seen.is_none() {
                let mut seen = self.jobs.clone();
                seen.sort_unstable_by_key(|(position, _)| *position);
                self.claims[claim].seen = Some(seen);
            }
        }
    }

    /// Walks what it saw, takes one, and tells the floor.
    fn walk(&mut self) {
        let Some(claim) = self.claims.iter().position(|claim| claim.seen.is_some()) else { return };
        let Claim { holder, look, seen } = self.claims.remove(claim);
        let seen = seen.unwrap_or_default();
        let (mut is_empty, mut is_done, mut next_due) = (true, false, i64::MAX);
        for range in look.walks() {
            if is_done {
                is_empty = false;
                break;
            }
            let (walked, took, due) = self.walk_range(&range, &seen, holder);
            is_empty &= walked.1;
            is_done = took;
            next_due = next_due.min(due);
            self.floor.settle(&look, &range, &walked.0, self.now);
        }
        if is_empty && !is_done && look.has_open() {
            self.floor.is_empty_until(&look, next_due);
        }
    }

    fn walk_range(&mut self, range: &Range, seen: &[(Position, Job)], holder: u64) -> ((Walked, bool), bool, i64) {
        let (mut clear_to, mut first, mut run, mut behind) =
            (range.from, None, None::<(Position, Position, u64)>, None);
        let (mut took, mut due, mut reached) = (false, i64::MAX, range.from);
        let in_range = |position: &Position| range.from <= *position && *position <= range.to;
        for (position, job) in seen.iter().filter(|(position, _)| in_range(position)) {
            if position.at > self.now {
                due = position.at;
                break;
            }
            reached = position.next();
            if !matches!(job, Job::Untold | Job::Pending | Job::Taken(_)) {
                if first.is_none() {
                    clear_to = position.next();
                }
                continue;
            }
            let place = position.id as usize;
            let is = self.jobs[place].1;
            match (first, &mut run, is) {
                (None, _, Job::Taken(by)) => run = Some((*position, *position, by)),
                (Some(_), Some((_, last, held)), Job::Taken(by)) if *held == by && behind.is_none() => {
                    *last = *position
                }
                (Some(_), Some(_), _) if behind.is_none() => behind = Some(*position),
                _ => {}
            }
            if first.is_none() {
                first = Some(*position);
                clear_to = *position;
            }
            if matches!(is, Job::Untold | Job::Pending) {
                // One that is not told yet is told by its own transaction all the same.
                if is == Job::Pending {
                    self.jobs[place].1 = Job::Taken(holder);
                    took = true;
                    break;
                }
            }
        }
        if first.is_none() && range.to < Position::LAST && due == i64::MAX {
            clear_to = range.to.next();
        }
        let blocked =
            run.map(|(first, last, holder)| Blocked { first, last, holder, behind: behind.unwrap_or(reached) });
        ((Walked { clear_to, blocked }, first.is_none()), took, due)
    }

    /// A claim's transaction ends: the job is gone, or it is pending again and nobody tells.
    fn end_claim(&mut self) {
        if let Some(place) = self.pick(|job| matches!(job, Job::Taken(_))) {
            let Job::Taken(holder) = self.jobs[place].1 else { return };
            let then = if self.random.one_in(4) { Job::Pending } else { Job::Gone };
            for (_, job) in self.jobs.iter_mut().filter(|(_, job)| *job == Job::Taken(holder)) {
                *job = then;
            }
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(20_000) as i64;
        match self.random.below(16) {
            0..=2 => self.write(),
            3..=4 => self.end_write(),
            5..=6 => self.tell(),
            7 if self.random.one_in(4) => self.commit_prepared(),
            8..=9 => self.begin_claim(),
            10..=11 => self.snapshot(),
            12..=13 => self.walk(),
            _ if self.random.one_in(2) => self.end_claim(),
            _ => {}
        }
    }

    /// Each job that a claim could have is where the next look goes, or will once it is due.
    fn check(&self, seed: u64, step: usize) {
        let pending = self.jobs.iter().filter(|(_, job)| *job == Job::Pending);
        for (position, _) in pending {
            assert!(!self.floor.hides(*position), "seed {seed}, step {step}: {position:?} in {:?}", self.floor);
        }
    }
}

impl Floor {
    /// Whether a look would pass this over when it is due.
    fn hides(&self, position: Position) -> bool {
        let is_in = |range: &Range| range.from <= position && position <= range.to;
        let is_seen = self.open.from <= position && self.next_due <= position.at;
        !is_seen && !self.ranges[..self.count].iter().any(is_in)
    }
}

#[test]
fn no_job_is_passed_over_whatever_the_order() {
    for seed in 0..4_000 {
        let mut world = World::new(seed);
        for step in 0..400 {
            world.step();
            world.check(seed, step);
        }
    }
}

#[test]
fn the_floor_follows_what_is_taken_and_a_stuck_job_stays_behind() {
    let mut floor = Floor::default();
    let at = |at| Position { at, id: at };
    let claim = |floor: &mut Floor, first: i64, blocked: Option<Blocked>, now: i64| {
        let look = floor.look(now).expect("something to walk");
        let open = look.walks().last().expect("the open end");
        floor.settle(&look, &open, &Walked { clear_to: at(first), blocked }, now);
        open.from
    };
    claim(&mut floor, 100, None, 1_000);
    assert_eq!(claim(&mut floor, 200, None, 2_000), at(100));
    let stuck = |behind| Some(Blocked { first: at(200), last: at(200), holder: 7, behind: at(behind) });
    assert_eq!(claim(&mut floor, 200, stuck(300), 3_000), at(200));
    assert_eq!(claim(&mut floor, 200, stuck(90_000), 200_000), at(200));
    assert_eq!(claim(&mut floor, 95_000, None, 200_000), at(90_000), "what is held does not keep the floor");
    let look = floor.look(200_000).expect("something to walk");
    assert_eq!(look.ranges().iter().map(|range| range.holder).collect::<Vec<_>>(), [7]);
    floor.release(&[7]);
    let look = floor.look(200_000).expect("something to walk");
    assert_eq!(look.walks().map(|range| range.from).collect::<Vec<_>>(), [at(200), at(95_000)]);
}

#[test]
fn what_arrives_late_is_a_range_and_with_too_many_the_closest_become_one() {
    let mut floor = Floor::default();
    let at = |at| Position { at, id: 0 };
    let look = floor.look(10_000_000).expect("something to walk");
    let open = look.walks().last().expect("the open end");
    floor.settle(&look, &open, &Walked { clear_to: at(9_000_000), blocked: None }, 10_000_000);
    for late in 1..=20 {
        floor.arrived(at(late * 100_000), at(late * 100_000), 0, 10_000_000);
        let look = floor.look(10_000_000).expect("something to walk");
        assert!(look.ranges().len() <= super::MAX_RANGES);
    }
    for late in 1..=20 {
        assert!(!floor.hides(at(late * 100_000)));
    }
    assert_eq!(floor.open.from, at(9_000_000), "the open end lies farther than they from each other");
}
