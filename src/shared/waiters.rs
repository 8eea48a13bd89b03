//! Who waits for which queue: a table of fixed size in shared memory, here without anything of the server's, so that it
//! can be tried in a unit test. Every method runs under the lock: none raises, allocates, or takes long.
//!
//! A waiter has a seat and watches queues. Whoever made a job ready *chooses* a waiter of the queue; the waiter
//! *acknowledges*, then looks. What is chosen before the acknowledgement is seen by the look after it, and what comes
//! later chooses again: so nothing is missed, and one job wakes one waiter. A waiter that leaves before it has looked
//! passes on what it was chosen for.
//!
//! When the next job of a queue becomes due is kept here as well. Each waiter sleeps no longer than to that moment; the
//! first that finds it past takes the *turn* and looks, the others sleep on. Whoever leaves wakes another of the queue,
//! so that somebody still knows the time.

/// Queues that can be waited for at one time, in all databases; whoever waits for one more has to poll.
pub const MAX_QUEUES: usize = 1024;
/// Sessions that can wait at one time; one more has to poll.
pub const MAX_WAITERS: usize = 1024;

/// A queue of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub database: u32,
    pub queue: i32,
}

/// A queue that is waited for; free when nobody does.
#[derive(Clone, Copy)]
struct Watched {
    key: Key,
    waiters: u32,
    /// When its next job becomes due, as far as somebody has seen, in microseconds since 2000-01-01 UTC; 0: not known.
    due: i64,
    /// When somebody last looked for the waiters, or began to, and found nothing.
    looked_at: i64,
}

/// What a waiter is woken for: a queue's place, counted from 1, so that zeroes are nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    place: u32,
    why: Why,
}

/// Why a waiter is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Why {
    /// For one job that has become ready: each has its own waiter.
    OneJob = 0,
    /// For what is due, however much it is: who finds more than one job wakes the next.
    Due = 1,
}

/// Nothing to be woken for.
const NOTHING: Call = Call { place: 0, why: Why::OneJob };

/// A session that waits.
#[derive(Clone, Copy)]
struct Waiter {
    /// Its place among the server's processes, counted from 1; 0 where the seat is free.
    process: i32,
    /// What it was chosen for and does not know yet.
    chosen: Call,
    /// What it knows of and has not looked for to the end.
    holding: Call,
    /// A bit for the place of each queue that it watches.
    watches: [u64; MAX_QUEUES / 64],
}

/// The table. All zeroes is an empty one.
pub struct Waiters {
    queues: [Watched; MAX_QUEUES],
    waiters: [Waiter; MAX_WAITERS],
    /// Beyond the last queue that was ever there.
    queues_end: usize,
    /// Beyond the last seat that was ever taken.
    waiters_end: usize,
    /// Where the search for the next one to wake begins, so that all have their turn.
    next: usize,
}

/// The processes to wake once the lock is free again.
pub struct Processes {
    numbers: [i32; Processes::MOST],
    count: usize,
}

impl Processes {
    /// More than one waiter's leave can wake: one for each of its queues, and what it was woken for.
    const MOST: usize = 128;

    /// None yet.
    pub fn none() -> Self {
        Self { numbers: [0; Self::MOST], count: 0 }
    }

    /// Adds one; false when there is no room.
    fn add(&mut self, process: i32) -> bool {
        match self.numbers.get_mut(self.count) {
            Some(place) => {
                *place = process;
                self.count += 1;
                true
            }
            None => false,
        }
    }

    /// The processes.
    pub fn numbers(&self) -> &[i32] {
        self.numbers.get(..self.count).unwrap_or_default()
    }
}

/// What came of the wish to watch a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watching {
    /// From now on: what became ready before has to be looked for once more.
    New,
    Already,
    /// The table is full.
    Refused,
}

/// What a waiter has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Look,
    /// Sleep, no longer than to this moment where one is known.
    Sleep(Option<i64>),
}

impl Waiters {
    /// Gives a process a seat; `None` where all are taken.
    pub fn sit(&mut self, process: i32) -> Option<usize> {
        let (seat, waiter) = self.waiters.iter_mut().enumerate().find(|(_, waiter)| waiter.process == 0)?;
        *waiter = Waiter { process: process + 1, chosen: NOTHING, holding: NOTHING, watches: [0; MAX_QUEUES / 64] };
        self.waiters_end = self.waiters_end.max(seat + 1);
        Some(seat)
    }

    /// Has a waiter watch a queue.
    pub fn watch(&mut self, seat: usize, key: Key) -> Watching {
        let place = match self.place(key) {
            Some(place) => place,
            None => {
                let Some(place) = self.queues.iter().position(|queue| queue.waiters == 0) else {
                    return Watching::Refused;
                };
                self.queues[place] = Watched { key, waiters: 0, due: 0, looked_at: 0 };
                self.queues_end = self.queues_end.max(place + 1);
                place
            }
        };
        let Some(waiter) = self.waiters.get_mut(seat) else { return Watching::Refused };
        if waiter.watches(place) {
            return Watching::Already;
        }
        waiter.watches[place / 64] |= 1 << (place % 64);
        self.queues[place].waiters += 1;
        Watching::New
    }

    /// Where a queue is that somebody watches.
    fn place(&self, key: Key) -> Option<usize> {
        self.queues.iter().take(self.queues_end).position(|queue| queue.waiters > 0 && queue.key == key)
    }

    /// Chooses up to `most` waiters of a queue, as far as there is room; gives how many.
    pub fn choose(&mut self, key: Key, most: u32, why: Why, wake: &mut Processes) -> u32 {
        let Some(place) = self.place(key) else { return 0 };
        (0..most).take_while(|_| self.choose_one(place, why, wake)).count() as u32
    }

    /// Chooses a waiter that is not chosen yet: one that is will look, and see this as well.
    fn choose_one(&mut self, place: usize, why: Why, wake: &mut Processes) -> bool {
        let Some(seat) = self.search(|waiter| waiter.watches(place) && waiter.chosen == NOTHING) else { return false };
        let waiter = &mut self.waiters[seat];
        if !wake.add(waiter.process - 1) {
            return false;
        }
        waiter.chosen = Call { place: place as u32 + 1, why };
        self.next = seat + 1;
        true
    }

    /// The first seat from `next` on whose waiter is one of those.
    fn search(&self, wanted: impl Fn(&Waiter) -> bool) -> Option<usize> {
        let end = self.waiters_end;
        let start = if self.next < end { self.next } else { 0 };
        (start..end).chain(0..start).find(|seat| self.waiters[*seat].process != 0 && wanted(&self.waiters[*seat]))
    }

    /// The waiter is about to look: what it was chosen for until now, its look will see.
    pub fn acknowledge(&mut self, seat: usize) {
        let Some(waiter) = self.waiters.get_mut(seat) else { return };
        if waiter.chosen != NOTHING {
            waiter.holding = waiter.chosen;
            waiter.chosen = NOTHING;
        }
    }

    /// A waiter has seen when the next job of a queue becomes due.
    pub fn will_be_due(&mut self, key: Key, due: i64) {
        if let Some(place) = self.place(key) {
            let queue = &mut self.queues[place];
            queue.due = if queue.due == 0 { due } else { queue.due.min(due) };
        }
    }

    /// The waiter has looked, and there was nothing: nor would another find anything.
    pub fn found_nothing(&mut self, seat: usize, now: i64) {
        if let Some(waiter) = self.waiters.get_mut(seat) {
            waiter.holding = NOTHING;
            waiter.places().for_each(|place| self.queues[place].looked_at = now);
        }
    }

    /// Until when the waiter may sleep on, since others have looked at all of its queues within `longest` microseconds;
    /// `None` where it is to look, and for them as well.
    pub fn rests_until(&mut self, seat: usize, now: i64, longest: i64) -> Option<i64> {
        let waiter = self.waiters.get(seat)?;
        let looked_at = waiter.places().map(|place| self.queues[place].looked_at).min().unwrap_or_default();
        // The clock may have been put back.
        if looked_at <= now && now - looked_at < longest {
            return Some(looked_at + longest);
        }
        waiter.places().for_each(|place| self.queues[place].looked_at = now);
        None
    }

    /// The queues of a database that are waited for, as far as there is room.
    pub fn waited_for(&self, database: u32, queues: &mut Vec<i32>) {
        let watched = self.queues.iter().take(self.queues_end);
        let here = watched.filter(|queue| queue.waiters > 0 && queue.key.database == database);
        let room = queues.capacity() - queues.len();
        queues.extend(here.map(|queue| queue.key.queue).take(room));
    }

    /// Somebody has looked on behalf of those who wait for a queue.
    pub fn has_been_looked_at(&mut self, key: Key, now: i64) {
        if let Some(place) = self.place(key) {
            self.queues[place].looked_at = now;
        }
    }

    /// The waiter has found work and is about to leave with it. `more` is a queue that had further jobs, which the
    /// next waiter is woken for, unless each job wakes one of its own.
    pub fn found(&mut self, seat: usize, more: Option<Key>) {
        let place = more.and_then(|key| self.place(key));
        if let Some(waiter) = self.waiters.get_mut(seat) {
            let has_its_own = waiter.holding.place != 0 && waiter.holding.why == Why::OneJob;
            waiter.holding = match place {
                Some(place) if !has_its_own => Call { place: place as u32 + 1, why: Why::Due },
                _ => NOTHING,
            };
        }
    }

    /// What the waiter has to do now. Takes the turn of a queue that has a job due.
    pub fn next(&mut self, seat: usize, now: i64) -> Next {
        let Some(waiter) = self.waiters.get_mut(seat) else { return Next::Look };
        if waiter.chosen != NOTHING {
            return Next::Look;
        }
        let mut first: Option<i64> = None;
        for place in waiter.places() {
            let due = self.queues[place].due;
            if due != 0 && due <= now {
                self.queues[place].due = 0;
                self.waiters[seat].chosen = Call { place: place as u32 + 1, why: Why::Due };
                return Next::Look;
            }
            if due != 0 {
                first = Some(first.map_or(due, |first| first.min(due)));
            }
        }
        Next::Sleep(first)
    }

    /// Frees the seat, and passes on what its waiter leaves undone.
    pub fn leave(&mut self, seat: usize, wake: &mut Processes) {
        let Some(waiter) = self.waiters.get_mut(seat) else { return };
        let left = *waiter;
        waiter.process = 0;
        for place in left.places() {
            self.queues[place].waiters = self.queues[place].waiters.saturating_sub(1);
            let is_known = self.queues[place].waiters > 0 && self.queues[place].due != 0;
            if let Some(other) = self.search(|waiter| is_known && waiter.watches(place)) {
                wake.add(self.waiters[other].process - 1);
            }
        }
        for call in [left.chosen, left.holding] {
            if call.place != 0 {
                self.choose_one(call.place as usize - 1, call.why, wake);
            }
        }
    }
}

impl Waiter {
    /// Whether it watches the queue at a place.
    fn watches(&self, place: usize) -> bool {
        self.watches.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// The places of the queues that it watches.
    fn places(&self) -> impl Iterator<Item = usize> + use<> {
        let watches = self.watches;
        watches.into_iter().enumerate().flat_map(|(index, word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(index * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: Key = Key { database: 1, queue: 7 };
    const PRINT: Key = Key { database: 1, queue: 8 };

    /// An empty table, as the server makes it.
    fn empty() -> Box<Waiters> {
        // SAFETY: all zeroes is an empty table.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// A waiter of process `process` that watches `keys` and has looked.
    fn waiter(table: &mut Waiters, process: i32, keys: &[Key]) -> usize {
        let seat = table.sit(process).expect("a seat");
        for key in keys {
            assert_eq!(table.watch(seat, *key), Watching::New);
        }
        seat
    }

    /// Whom this wakes.
    fn woken(work: impl FnOnce(&mut Processes)) -> Vec<i32> {
        let mut wake = Processes::none();
        work(&mut wake);
        wake.numbers().to_vec()
    }

    /// Whom a job wakes.
    fn for_a_job(table: &mut Waiters, key: Key) -> Vec<i32> {
        woken(|wake| assert_eq!(table.choose(key, 1, Why::OneJob, wake) as usize, wake.numbers().len()))
    }

    #[test]
    fn one_job_wakes_one_waiter_and_the_next_job_another() {
        let mut table = empty();
        let seats = [10, 11, 12].map(|process| waiter(&mut table, process, &[MAIL]));
        let mut all = Vec::new();
        for _ in 0..3 {
            all.extend(for_a_job(&mut table, MAIL));
        }
        all.sort_unstable();
        assert_eq!(all, [10, 11, 12]);
        assert!(for_a_job(&mut table, MAIL).is_empty(), "all will look");
        table.acknowledge(seats[1]);
        assert_eq!(for_a_job(&mut table, MAIL), [11]);
    }

    #[test]
    fn a_job_of_another_queue_or_database_wakes_nobody() {
        let mut table = empty();
        waiter(&mut table, 10, &[MAIL]);
        let other = Key { database: 2, ..MAIL };
        for key in [PRINT, other] {
            assert!(for_a_job(&mut table, key).is_empty());
        }
    }

    #[test]
    fn a_waiter_that_leaves_before_it_has_looked_passes_it_on() {
        for acknowledged in [false, true] {
            let mut table = empty();
            let seats = [10, 11].map(|process| waiter(&mut table, process, &[MAIL, PRINT]));
            let first = for_a_job(&mut table, MAIL);
            let (leaver, other) = if first == [10] { (0, 11) } else { (1, 10) };
            if acknowledged {
                table.acknowledge(seats[leaver]);
            }
            assert_eq!(woken(|wake| table.leave(seats[leaver], wake)), [other]);
        }
    }

    #[test]
    fn a_waiter_that_has_looked_passes_nothing_on() {
        let mut table = empty();
        let seats = [10, 11].map(|process| waiter(&mut table, process, &[MAIL]));
        let first = for_a_job(&mut table, MAIL);
        let leaver = if first == [10] { seats[0] } else { seats[1] };
        table.acknowledge(leaver);
        table.found(leaver, Some(MAIL));
        assert!(woken(|wake| table.leave(leaver, wake)).is_empty(), "the other jobs have waiters of their own");
    }

    #[test]
    fn one_of_many_takes_the_turn_of_what_is_due_and_wakes_the_next_if_it_was_more() {
        let mut table = empty();
        let seats = [10, 11, 12].map(|process| waiter(&mut table, process, &[MAIL]));
        table.will_be_due(MAIL, 900);
        table.will_be_due(MAIL, 500);
        table.will_be_due(MAIL, 700);
        assert_eq!(table.next(seats[0], 499), Next::Sleep(Some(500)));
        assert_eq!(table.next(seats[1], 500), Next::Look);
        assert_eq!(table.next(seats[0], 500), Next::Sleep(None), "the turn is taken");
        table.acknowledge(seats[1]);
        table.will_be_due(MAIL, 700);
        table.found(seats[1], Some(MAIL));
        let next = woken(|wake| table.leave(seats[1], wake));
        assert_eq!(next.len(), 2, "one to look, one to know of 700: {next:?}");
        assert_eq!(table.next(seats[0], 600) == Next::Look, table.next(seats[2], 600) != Next::Look);
    }

    #[test]
    fn one_of_many_looks_for_all_when_it_is_time_to_look_in_any_case() {
        let mut table = empty();
        let seats = [10, 11, 12].map(|process| waiter(&mut table, process, &[MAIL]));
        let both = waiter(&mut table, 13, &[MAIL, PRINT]);
        seats.iter().for_each(|seat| table.found_nothing(*seat, 1000));
        assert_eq!(table.rests_until(seats[0], 1009, 10), Some(1010));
        assert_eq!(table.rests_until(seats[0], 1010, 10), None);
        assert_eq!(table.rests_until(seats[1], 1010, 10), Some(1020), "the first looks for it");
        assert_eq!(table.rests_until(both, 1011, 10), None, "nobody looks at the other queue");
        assert_eq!(table.rests_until(seats[2], 1012, 10), Some(1021));
        assert_eq!(table.rests_until(seats[2], 900, 10), None, "the clock was put back");
    }

    #[test]
    fn who_looks_for_all_is_told_of_the_queues_and_lets_the_waiters_rest() {
        let mut table = empty();
        let seat = waiter(&mut table, 10, &[MAIL, PRINT]);
        let mut queues = Vec::with_capacity(8);
        table.waited_for(MAIL.database + 1, &mut queues);
        assert_eq!(queues, [0; 0]);
        table.waited_for(MAIL.database, &mut queues);
        assert_eq!(queues, [MAIL.queue, PRINT.queue]);
        table.has_been_looked_at(MAIL, 1000);
        assert_eq!(table.rests_until(seat, 1005, 10), None, "nobody looks at the other queue");
        [MAIL, PRINT].iter().for_each(|key| table.has_been_looked_at(*key, 1010));
        assert_eq!(table.rests_until(seat, 1015, 10), Some(1020));
        table.waited_for(MAIL.database, &mut queues);
        assert_eq!(queues.len(), 4);
        let mut none = Vec::new();
        table.waited_for(MAIL.database, &mut none);
        assert_eq!(none, [0; 0], "nothing is allocated");
    }

    #[test]
    fn a_queue_that_nobody_waits_for_any_more_makes_room() {
        let mut table = empty();
        let seat = table.sit(10).expect("a seat");
        for queue in 0..MAX_QUEUES as i32 {
            assert_eq!(table.watch(seat, Key { database: 1, queue }), Watching::New);
        }
        let one_more = Key { database: 2, queue: 1 };
        assert_eq!(table.watch(seat, one_more), Watching::Refused);
        table.leave(seat, &mut Processes::none());
        let seat = table.sit(11).expect("a seat");
        assert_eq!(table.watch(seat, one_more), Watching::New);
        assert_eq!(table.watch(seat, one_more), Watching::Already);
    }

    #[test]
    fn when_all_seats_are_taken_one_more_is_refused() {
        let mut table = empty();
        let seats: Vec<_> = (0..MAX_WAITERS as i32).map(|process| table.sit(process)).collect();
        assert!(seats.iter().all(Option::is_some));
        assert_eq!(table.sit(9999), None);
    }
}
