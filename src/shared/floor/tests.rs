//! Random schedules of everything that makes jobs ready and takes them: whatever the order, no job that a claim could have
//! is passed over.

use super::{Blocked, Floor, Look, MAX_RANGES, Position, Range, Track, Walked};

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
    Pending,
    /// Claimed by a transaction that has not ended.
    Taken(u64),
    Gone,
}

/// What is to be walked.
enum Looked {
    At(Box<Look>),
    /// A look back: what looks pass over, from one place to another.
    Back(Vec<(Position, Position)>),
}

/// A claim between its look and its end.
struct Claim {
    holder: u64,
    looked: Looked,
    /// What its snapshot saw of each job that was there.
    seen: Option<Vec<(Position, Job)>>,
}

struct World {
    random: Random,
    floor: Floor,
    now: i64,
    jobs: Vec<(Position, Job)>,
    /// Committed, and not told yet.
    untold: Vec<Position>,
    claims: Vec<Claim>,
    transactions: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let floor = Floor::default();
        World {
            random,
            floor,
            now: 1_000_000,
            jobs: Vec::new(),
            untold: Vec::new(),
            claims: Vec::new(),
            transactions: 0,
        }
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
            _ => {
                self.untold.push(position);
                Job::Pending
            }
        };
    }

    fn tell(&mut self) {
        if !self.untold.is_empty() {
            let which = self.random.below(self.untold.len());
            let position = self.untold.swap_remove(which);
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
            self.claim(Looked::At(Box::new(look)));
        }
    }

    fn claim(&mut self, looked: Looked) {
        let holder = self.transaction();
        self.claims.push(Claim { holder, looked, seen: None });
    }

    /// One at a time, of some of what is hidden; and what the one before has found was told of by the next.
    fn begin_look_back(&mut self) {
        let is_told = self.floor.late.count == 0 || self.untold.is_empty();
        if is_told && !self.claims.iter().any(|claim| matches!(claim.looked, Looked::Back(_))) {
            let mut stretches: Vec<(Position, Position)> = Vec::new();
            let begins =
                |stretches: &Vec<(Position, Position)>| stretches.last().map_or(Position::FIRST, |last| last.1.next());
            while let Some(stretch) = self.floor.hidden_from(begins(&stretches), self.now) {
                stretches.push(stretch);
            }
            self.claim(Looked::Back(stretches));
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
        let Claim { holder, looked, seen } = self.claims.remove(claim);
        let seen = seen.unwrap_or_default();
        let look = match looked {
            Looked::At(look) => look,
            Looked::Back(stretches) => return self.look_back(&stretches, &seen),
        };
        let (mut is_empty, mut is_done, mut next_due) = (true, false, i64::MAX);
        for range in look.walks() {
            if is_done {
                is_empty = false;
                break;
            }
            let (track, took, due) = self.walk_range(&range, &seen, holder);
            is_empty &= track.is_empty();
            is_done = took;
            next_due = next_due.min(due);
            self.floor.settle(&look, &range, &track.walked(), self.now);
        }
        if is_empty && !is_done && look.has_open() {
            self.floor.is_empty_until(&look, next_due);
        }
    }

    /// Tells of the jobs that a look back could take.
    fn look_back(&mut self, stretches: &[(Position, Position)], seen: &[(Position, Job)]) {
        let could = |at: &Position, job: &Job| {
            let is_pending = matches!(job, Job::Pending | Job::Taken(_)) && self.jobs[at.id as usize].1 == Job::Pending;
            is_pending && at.at <= self.now && stretches.iter().any(|(from, to)| from <= at && at <= to)
        };
        let met: Vec<Position> = seen.iter().filter(|(at, job)| could(at, job)).map(|(at, _)| *at).collect();
        met.iter().for_each(|place| self.floor.meets(*place, self.now));
    }

    /// What it has found, whether it took one, and when the next one is due.
    fn walk_range(&mut self, range: &Range, seen: &[(Position, Job)], holder: u64) -> (Track, bool, i64) {
        let mut track = Track::of(range);
        let in_range = |position: &Position| range.from <= *position && *position <= range.to;
        for (position, job) in seen.iter().filter(|(position, _)| in_range(position)) {
            if position.at > self.now {
                return (track, false, position.at);
            }
            if !matches!(job, Job::Pending | Job::Taken(_)) {
                track.not_pending(*position);
                continue;
            }
            let place = position.id as usize;
            let by = if let Job::Taken(by) = self.jobs[place].1 { Some(by) } else { None };
            track.pending(*position, by);
            if self.jobs[place].1 == Job::Pending {
                self.jobs[place].1 = Job::Taken(holder);
                return (track, true, i64::MAX);
            }
        }
        track.has_ended(range);
        (track, false, i64::MAX)
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
            8 if self.random.one_in(4) => self.begin_look_back(),
            8..=9 => self.begin_claim(),
            10..=11 => self.snapshot(),
            12..=13 => self.walk(),
            _ if self.random.one_in(2) => self.end_claim(),
            _ => {}
        }
    }

    /// Each job that a claim could have is where the next look goes, or will once it is due; and where all were told of,
    /// no look back has found one before.
    fn check(&self, seed: u64, step: usize) {
        for (position, job) in &self.jobs {
            let is_told = *job == Job::Pending && !self.untold.contains(position);
            let is_hidden = is_told && self.floor.hides(*position, self.now.max(position.at));
            assert!(!is_hidden, "seed {seed}, step {step}: {position:?} in {:?}", self.floor);
        }
        assert!(self.floor.found == 0 || !self.untold.is_empty(), "seed {seed}, step {step}: {:?}", self.floor);
    }

    /// The floor says anything, and knows of what is held.
    fn misplace_the_floor(&mut self) {
        let mut place = || Position { at: self.now - 500_000 + self.random.below(1_000_000) as i64, id: 0 };
        self.floor.open.from = place();
        self.floor.next_due = place().at;
        for range in self.floor.ranges[..self.floor.count].iter_mut().filter(|range| range.holder == 0) {
            (range.from, range.to) = (place(), place());
        }
        self.floor.tidy();
    }

    /// Whether all that is under way comes to its end, and a few looks back and the claims between them get all jobs.
    fn comes_to_its_end(&mut self) -> bool {
        while self.jobs.iter().any(|(_, job)| matches!(job, Job::Unseen)) {
            self.end_write();
        }
        while !self.untold.is_empty() {
            self.tell();
        }
        for round in 0..8 * self.jobs.len() {
            self.now += 50_000;
            self.commit_prepared();
            self.end_claim();
            if round % 2 == 0 {
                self.begin_look_back()
            } else {
                self.begin_claim()
            }
            self.snapshot();
            self.walk();
        }
        self.jobs.iter().all(|(_, job)| *job == Job::Gone)
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
fn a_floor_that_is_wrong_all_the_time_loses_no_job() {
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
            world.misplace_the_floor();
        }
        assert!(world.comes_to_its_end(), "seed {seed}: {:?}", world.floor);
    }
}

#[test]
fn what_only_a_look_back_finds_is_counted_once_and_claims_go_there() {
    let at = |at| Position { at, id: 0 };
    let mut floor = Floor::default();
    floor.clear(Position::FIRST, at(900_000), 1_000_000);
    for _ in 0..2 {
        [at(300_000), at(500_000), at(950_000)].iter().for_each(|place| floor.meets(*place, 1_000_000));
    }
    assert_eq!(floor.found(), 2);
    let walks = |floor: &Floor| -> Vec<(Position, Position)> {
        let look = floor.look(1_000_000).expect("something to walk");
        look.walks().map(|range| (range.from, range.to)).collect()
    };
    let there = [300_000, 500_000].map(|place| (at(place), at(place)));
    assert_eq!(walks(&floor), [there[0], there[1], (at(900_000), Position::LAST)]);
    // One that its own transaction tells of was only seen a moment before that.
    floor.clear(Position::FIRST, at(900_000), 1_000_000);
    floor.meets(at(700_000), 1_000_001);
    assert_eq!(floor.found(), 3);
    floor.arrived(at(600_000), at(800_000), 0, 1_000_001);
    assert_eq!(floor.found(), 2);
    // Nor is anything that is due found late by a floor where nothing was.
    floor.clear(Position::FIRST, at(900_000), 1_000_000);
    let look = floor.look_below(0);
    floor.is_empty_until(&look, i64::MAX);
    floor.meets(at(950_000), 1_000_000);
    assert_eq!(floor.found(), 3, "a floor that waits for what was told of");
    assert_eq!(walks(&floor), [(at(900_000), Position::LAST)]);
}

#[test]
fn a_look_back_goes_through_all_that_looks_pass_over_and_through_nothing_else() {
    for seed in 0..2_000 {
        let mut world = World::new(seed);
        for _ in 0..50 {
            world.step();
            world.misplace_the_floor();
        }
        let mut stretches: Vec<(Position, Position)> = Vec::new();
        let mut from = Position::FIRST;
        while let Some(stretch) = world.floor.hidden_from(from, world.now) {
            stretches.push(stretch);
            from = stretch.1.next();
        }
        for number in 0..1_000 {
            let place = Position { at: world.now - 1_000_000 + number * 2_000, id: 0 };
            let is_there = stretches.iter().any(|(from, to)| *from <= place && place <= *to);
            let look = world.floor.look(world.now);
            let walks = look.is_some_and(|look| look.walks().any(|range| range.from <= place && place <= range.to));
            assert_eq!(is_there, !walks, "seed {seed}, {place:?}: {:?}", world.floor);
        }
    }
}

#[test]
fn what_lies_under_a_prepared_transaction_is_found_and_does_not_keep_the_floor_from_being_saved() {
    let at = |at| Position { at, id: 0 };
    let mut floor = Floor::default();
    floor.arrived(Position::FIRST, Position::LAST, 7, 1_000_000);
    floor.clear(Position::FIRST, at(900_000), 1_000_000);
    assert_eq!(floor.lowest(), at(900_000));
    floor.meets(at(300_000), 1_000_000);
    let look = floor.look(1_000_000).expect("something to walk");
    assert!(look.walks().any(|range| range.from == at(300_000)), "{floor:?}");
    assert_eq!((floor.lowest(), floor.found()), (at(300_000), 0));
}

#[test]
fn a_floor_that_was_saved_begins_there_or_where_something_has_arrived_meanwhile() {
    let at = |at| Position { at, id: 0 };
    let mut floor = Floor::default();
    floor.arrived(at(700), at(800), 0, 1_000);
    floor.begin_at(at(900));
    assert_eq!(floor.lowest(), at(700));
    assert!(floor.hides(at(600), 1_000));
    // More have arrived than are remembered.
    let mut floor = Floor::default();
    (0..20).for_each(|number| floor.arrived(at(800 + number), at(800 + number), 0, 1_000));
    floor.begin_at(at(900));
    assert_eq!(floor.lowest(), Position::FIRST);
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
        assert!(look.ranges().len() <= MAX_RANGES);
    }
    for late in 1..=20 {
        assert!(!floor.hides(at(late * 100_000), 10_000_000));
    }
    assert_eq!(floor.open.from, at(9_000_000), "the open end lies farther than they from each other");
}
