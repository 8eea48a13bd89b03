//! What a walk through a range comes by, as far as the floor needs to know.

use super::{Blocked, Position, Range, Walked};

/// The walk so far.
pub struct Track {
    clear_to: Position,
    /// Behind the last entry.
    reached: Position,
    first: Option<Position>,
    /// The entries that it begins with and one transaction holds.
    run: Option<(Position, Position, u64)>,
    /// The first one behind the run.
    behind: Option<Position>,
}

impl Track {
    /// At the beginning.
    pub fn of(range: &Range) -> Track {
        Track { clear_to: range.from, reached: range.from, first: None, run: None, behind: None }
    }

    /// Nothing pending is here.
    pub fn not_pending(&mut self, place: Position) {
        self.reached = place.next();
        if self.first.is_none() {
            self.clear_to = place.next();
        }
    }

    /// A job that the snapshot sees pending, and the transaction that has it locked, if one has.
    pub fn pending(&mut self, place: Position, holder: Option<u64>) {
        self.reached = place.next();
        if self.behind.is_some() {
            return;
        }
        match (self.first, &mut self.run, holder) {
            (None, _, Some(holder)) => self.run = Some((place, place, holder)),
            (Some(_), Some((_, last, holder)), Some(other)) if *holder == other => *last = place,
            (Some(_), ..) => self.behind = Some(place),
            (None, ..) => {}
        }
        if self.first.is_none() {
            self.first = Some(place);
            self.clear_to = place;
        }
    }

    /// The index has no more in this range.
    pub fn has_ended(&mut self, range: &Range) {
        if self.first.is_none() && range.to < Position::LAST {
            self.clear_to = range.to.next();
        }
    }

    /// Whether nothing pending was met.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// What to tell the floor.
    pub fn walked(&self) -> Walked {
        let behind = self.behind.unwrap_or(self.reached);
        let blocked = self.run.map(|(first, last, holder)| Blocked { first, last, holder, behind });
        Walked { clear_to: self.clear_to, blocked }
    }
}
