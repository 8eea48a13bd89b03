//! The floor of one priority of a queue: below which positions of the ready index nothing is to be found. Here without
//! anything of the server's, so that a model of the claim protocol can run it; docs/claiming.md has the argument.
//!
//! It is a few closed ranges and one open end. A claim *looks*, then takes its snapshot, then walks what the look gave it,
//! and says which part of that was *clear*. Whoever makes a job ready says so when his commit can be seen: it has
//! *arrived*. What arrives between a look and its clearing bounds the clearing; what arrives later, below the open end,
//! is a range of its own. So neither an abort nor a late commit needs more than that, and a floor that is wrong costs time
//! and no job.

#[path = "floor/track.rs"]
mod track;

pub use track::Track;

/// A place in the ready index, within its queue and priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// `ready_at`, in microseconds since 2000-01-01 UTC.
    pub at: i64,
    pub id: i64,
}

impl Position {
    /// Before all others.
    pub const FIRST: Position = Position { at: i64::MIN, id: i64::MIN };
    /// Behind all others.
    pub const LAST: Position = Position { at: i64::MAX, id: i64::MAX };

    /// The one right behind.
    pub fn next(self) -> Position {
        Position { id: self.id.saturating_add(1), ..self }
    }

    /// The one right before.
    fn previous(self) -> Position {
        Position { id: self.id.saturating_sub(1), ..self }
    }
}

/// Closed ranges that are kept apart; with more, the two that lie closest become one.
pub const MAX_RANGES: usize = 8;
/// Arrivals that are remembered one by one. More of them during one claim, and it clears nothing.
const RECENT: usize = 16;
/// Microseconds: what lies closer together is walked as one. Fewer dead entries lie between than a descent costs.
const NEAR: i64 = 5_000;
/// Microseconds that the beginning of a range may stay behind a locked entry, before that becomes a range of its own. As
/// many dead entries as are made meanwhile are walked by each claim.
const STUCK: i64 = 50_000;
/// Microseconds within which whoever has committed says what has arrived. It follows at once, unless the process is held up.
const TELLS_WITHIN: i64 = 10_000_000;

/// Where something may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    pub from: Position,
    /// The last one that belongs to it.
    pub to: Position,
    /// The transaction until whose end nothing here can be had; 0 is none.
    pub holder: u64,
    /// Since when it begins where it does.
    since: i64,
}

/// What a claim is to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Look {
    ranges: [Range; MAX_RANGES],
    count: usize,
    /// Some way below the open end, for who does not rely on what has been told.
    below: Option<Range>,
    /// The open end; `None` where nothing is due there yet.
    open: Option<Range>,
    /// How many have arrived by now.
    arrivals: u64,
}

impl Look {
    /// The closed ranges in their order.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// Whether the open end is to be walked.
    pub fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// All that can be walked: neither what somebody holds, nor twice what the last two have as well.
    pub fn walks(&self) -> impl Iterator<Item = Range> {
        let rest = self.below.or(self.open).map_or(Position::LAST, |range| range.from);
        let ranges = self.ranges().iter().filter(move |range| range.holder == 0 && range.from < rest);
        ranges.chain(&self.below).chain(&self.open).copied()
    }

    /// Whether this is what lies below the open end, which may be left half-way.
    pub fn is_below(&self, range: &Range) -> bool {
        self.below.as_ref() == Some(range)
    }

    /// What is to be walked before the open end where what lies below it was left there.
    pub fn behind(&self, place: Position) -> impl Iterator<Item = Range> {
        let open = self.open.map_or(Position::LAST, |open| open.from);
        let ranges =
            self.ranges().iter().filter(move |range| range.holder == 0 && place < range.to && range.from < open);
        ranges.map(move |range| Range { from: range.from.max(place), ..*range })
    }
}

/// A run of entries that one other transaction has locked, at the beginning of what is not clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocked {
    pub first: Position,
    pub last: Position,
    pub holder: u64,
    /// The first entry behind that is not clear either.
    pub behind: Position,
}

/// What a walk has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Walked {
    /// The snapshot saw nothing pending between the range's beginning and here.
    pub clear_to: Position,
    pub blocked: Option<Blocked>,
}

/// The floor. It is changed under a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Floor {
    ranges: [Range; MAX_RANGES],
    count: usize,
    open: Range,
    arrivals: u64,
    recent: [Position; RECENT],
    /// Nothing is due at the open end before.
    next_due: i64,
    /// Jobs that only a look back has found.
    found: u64,
    late: Late,
}

/// What the last look back has found where a look would not have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Late {
    first: Position,
    last: Position,
    count: u64,
    since: i64,
}

/// A range that is not in use.
const UNUSED: Range = Range { from: Position::FIRST, to: Position::FIRST, holder: 0, since: 0 };
/// Nothing was found late.
const NONE_LATE: Late = Late { first: Position::LAST, last: Position::FIRST, count: 0, since: 0 };

impl Default for Floor {
    /// Where nothing is known.
    fn default() -> Self {
        let open = Range { from: Position::FIRST, to: Position::LAST, holder: 0, since: 0 };
        let (ranges, recent) = ([UNUSED; MAX_RANGES], [Position::FIRST; RECENT]);
        Floor { ranges, count: 0, open, arrivals: 0, recent, next_due: i64::MIN, found: 0, late: NONE_LATE }
    }
}

impl Floor {
    /// What a claim at `now` is to walk; `None` where nothing is to be found. Its snapshot has to be taken after.
    pub fn look(&self, now: i64) -> Option<Look> {
        let open = (self.next_due <= now).then_some(self.open);
        let look = Look { open, ..self.all() };
        (self.count > 0 || open.is_some()).then_some(look)
    }

    /// The same for somebody who has made something ready here himself, and has not told yet.
    pub fn look_from(&self, own: Position) -> Look {
        let open = Range { from: self.open.from.min(own), ..self.open };
        Look { open: Some(open), ..self.all() }
    }

    /// What somebody is to walk who does not rely on what has been told: from `back` microseconds below the open end on.
    pub fn look_below(&self, back: i64) -> Look {
        let from = Position { at: self.open.from.at.saturating_sub(back), id: i64::MIN };
        let below = Range { from, to: self.open.from.previous(), ..self.open };
        Look { below: (back > 0 && from < self.open.from).then_some(below), ..self.all() }
    }

    /// All that has been told of, and the open end.
    fn all(&self) -> Look {
        let (ranges, count, arrivals) = (self.ranges, self.count, self.arrivals);
        Look { ranges, count, below: None, open: Some(self.open), arrivals }
    }

    /// The first stretch from a place on that looks at this time pass over, for a look back to walk: from where to where,
    /// inclusive. Its snapshot has to be taken after.
    pub fn hidden_from(&self, place: Position, now: i64) -> Option<(Position, Position)> {
        let (mut from, last) = (place, self.last_hidden(now));
        for range in self.ranges().iter().filter(|range| range.holder == 0 && range.from <= last) {
            if from < range.from {
                return Some((from, range.from.previous()));
            }
            from = from.max(range.to.next());
        }
        (from <= last && from < Position::LAST).then_some((from, last))
    }

    /// The last place that a look at this time may pass over.
    fn last_hidden(&self, now: i64) -> Position {
        if self.next_due <= now { self.open.from.previous() } else { Position::LAST }
    }

    /// A look back meets a job that it could take. From now on looks go there, if they passed it over: nobody has told of it,
    /// or is just about to. It is counted, but where a transaction held the place that may just have ended.
    pub fn meets(&mut self, place: Position, now: i64) {
        if self.hidden_from(place, now).is_none_or(|(from, _)| from != place) {
            return;
        }
        let is_late = u64::from(self.hides(place, now));
        let before = if self.late.since == now { self.late } else { NONE_LATE };
        self.enter(Range { from: place, to: place, holder: 0, since: now });
        self.found += is_late;
        let (first, last) = (before.first.min(place), before.last.max(place));
        self.late = Late { first, last, count: before.count + is_late, since: now };
    }

    /// At the open end something is due then, which nobody has told of.
    pub fn is_due(&mut self, at: i64) {
        self.next_due = self.next_due.min(at);
    }

    /// How many jobs only a look back has found.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Whether a look at this time passes a place over, and not because a transaction holds what is there.
    pub fn hides(&self, place: Position, now: i64) -> bool {
        let is_in = |range: &Range| range.from <= place && place <= range.to;
        let is_open = self.open.from <= place && self.next_due <= now;
        !is_open && !self.ranges().iter().any(is_in)
    }

    /// The closed ranges in their order.
    fn ranges(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// When the next one is due at the open end, as far as is known.
    pub fn next_due(&self) -> i64 {
        self.next_due
    }

    /// A transaction has made entries in these places pending, and all can see it by now; or only once `holder`, if it is
    /// not 0, has ended.
    pub fn arrived(&mut self, from: Position, to: Position, holder: u64, now: i64) {
        self.take_back(from, to, now);
        self.enter(Range { from, to, holder, since: now });
    }

    /// Something is pending in this range, below the open end or where that is.
    fn enter(&mut self, range: Range) {
        self.note(range.from);
        self.next_due = self.next_due.min(range.from.at);
        if range.holder != 0 || range.from < self.open.from {
            self.insert(range);
        }
    }

    /// What arrives was seen before it was told of, if a look back has just found it.
    fn take_back(&mut self, from: Position, to: Position, now: i64) {
        let Late { first, last, count, since } = self.late;
        if from <= last && first <= to && now - since < TELLS_WITHIN {
            self.found -= count;
            self.late = NONE_LATE;
        }
    }

    /// Remembers that something arrives here.
    fn note(&mut self, place: Position) {
        self.recent[(self.arrivals % RECENT as u64) as usize] = place;
        self.arrivals += 1;
    }

    /// These transactions have ended: what they held can be walked. It arrives now: a snapshot that is older does not see
    /// what a prepared one has made ready.
    pub fn release(&mut self, holders: &[u64]) {
        for place in 0..self.count {
            let range = &mut self.ranges[place];
            if holders.contains(&range.holder) {
                range.holder = 0;
                let from = range.from;
                self.note(from);
                self.next_due = self.next_due.min(from.at);
            }
        }
        self.tidy();
    }

    /// Of a floor of which nothing is known yet: nothing is pending below this place but what has arrived meanwhile, as far
    /// as somebody remembers.
    pub fn begin_at(&mut self, place: Position) {
        self.open.from = place.min(self.lowest_since(0));
    }

    /// The lowest place where something may be pending, but for what was prepared before anything was known: it holds
    /// everything, and will after each start.
    pub fn lowest(&self) -> Position {
        let known = self.ranges().iter().filter(|range| range.holder == 0 || range.from > Position::FIRST);
        known.map(|range| range.from).fold(self.open.from, Position::min)
    }

    /// A walk of a range that `look` gave has found this; its snapshot is younger than the look.
    pub fn settle(&mut self, look: &Look, range: &Range, walked: &Walked, now: i64) {
        let bound = self.lowest_since(look.arrivals);
        self.clear(range.from, walked.clear_to.min(bound), now);
        if let Some(blocked) = walked.blocked {
            self.set_apart(&Blocked { behind: blocked.behind.min(bound), ..blocked }, now);
        }
    }

    /// Everything that `look` gave was walked to its end and there was nothing pending; the next one is due then.
    pub fn is_empty_until(&mut self, look: &Look, next_due: i64) {
        if self.arrivals == look.arrivals && self.ranges().iter().all(|range| range.holder != 0) {
            self.next_due = next_due;
        }
    }

    /// The lowest place where something has arrived since there were so many arrivals.
    fn lowest_since(&self, arrivals: u64) -> Position {
        let new = self.arrivals.saturating_sub(arrivals);
        if new > RECENT as u64 {
            return Position::FIRST;
        }
        let recent = (self.arrivals - new..self.arrivals).map(|number| self.recent[(number % RECENT as u64) as usize]);
        recent.min().unwrap_or(Position::LAST)
    }

    /// Nothing is pending from `from` up to `until`, exclusive.
    fn clear(&mut self, from: Position, until: Position, now: i64) {
        let is_cleared = |range: &Range| range.holder == 0 && from <= range.from && range.from < until;
        let open = &mut self.open;
        let ranges = self.ranges[..self.count].iter_mut();
        ranges.chain([open]).filter(|range| is_cleared(range)).for_each(|range| {
            range.from = until;
            range.since = now;
        });
        self.tidy();
    }

    /// Where a range has long begun with entries that one transaction holds, they are a range of its own.
    fn set_apart(&mut self, blocked: &Blocked, now: i64) {
        let is_stuck = |range: &&mut Range| {
            range.holder == 0 && range.from == blocked.first && now - range.since > STUCK && blocked.last < range.to
        };
        let open = &mut self.open;
        let stuck = self.ranges[..self.count].iter_mut().chain([open]).find(is_stuck);
        // Some are left for what is prepared, and for what comes late.
        let has_room = self.count < MAX_RANGES / 2;
        if let Some(range) = stuck.filter(|_| has_room && blocked.last < blocked.behind) {
            range.from = blocked.behind;
            range.since = now;
            self.insert(Range { from: blocked.first, to: blocked.last, holder: blocked.holder, since: now });
        }
    }

    /// Adds a range, for which two others become one where there are too many.
    fn insert(&mut self, range: Range) {
        if self.count == MAX_RANGES {
            self.join_closest();
        }
        let place = self.ranges[..self.count].partition_point(|other| other.from <= range.from);
        self.ranges.copy_within(place..self.count, place + 1);
        self.ranges[place] = range;
        self.count += 1;
        self.tidy();
    }

    /// Makes one of the two ranges without a holder, the open end among them, that lie closest together. Where all have
    /// one, which takes as many transactions left open, the first goes without: what it holds is found by a look back.
    fn join_closest(&mut self) {
        let free = |floor: &Floor, place: &usize| floor.ranges[*place].holder == 0;
        let gap = |place: &usize| self.after(*place).from.at.saturating_sub(self.ranges[*place].to.at);
        let place = (0..self.count).filter(|place| free(self, place)).min_by_key(gap).unwrap_or_default();
        self.join(place);
    }

    /// The place of the next range without a holder; `None` is the open end.
    fn next_free(&self, place: usize) -> Option<usize> {
        (place + 1..self.count).find(|next| self.ranges[*next].holder == 0)
    }

    /// The next range without a holder.
    fn after(&self, place: usize) -> Range {
        self.next_free(place).map_or(self.open, |next| self.ranges[next])
    }

    /// Makes one of the range at a place and the next one without a holder.
    fn join(&mut self, place: usize) {
        let range = self.ranges[place];
        let next = match self.next_free(place) {
            Some(next) => &mut self.ranges[next],
            None => &mut self.open,
        };
        (next.from, next.to, next.since) = (range.from.min(next.from), range.to.max(next.to), range.since);
        self.ranges.copy_within(place + 1..self.count, place);
        self.count -= 1;
        self.ranges[self.count] = UNUSED;
    }

    /// Drops what has nothing in it, and joins what lies close together.
    fn tidy(&mut self) {
        let open = self.open.from;
        let mut kept = 0;
        for place in 0..self.count {
            let range = self.ranges[place];
            if range.from <= range.to && (range.holder != 0 || range.from < open) {
                self.ranges[kept] = range;
                kept += 1;
            }
        }
        self.ranges[kept..self.count].fill(UNUSED);
        self.count = kept;
        self.ranges[..kept].sort_unstable_by_key(|range| range.from);
        let is_close = |floor: &Floor, place: usize| {
            let (range, next) = (floor.ranges[place], floor.after(place));
            let is_near = next.from <= range.to || next.from.at.saturating_sub(range.to.at) < NEAR;
            range.holder == 0 && is_near
        };
        while let Some(place) = (0..self.count).find(|place| is_close(self, *place)) {
            self.join(place);
        }
    }
}

#[cfg(test)]
#[path = "floor/tests.rs"]
mod tests;
