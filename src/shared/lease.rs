//! What the heartbeats of leases have told since their rows were written: a part of the table, without anything of the
//! server's.
//!
//! An entry belongs to one version of a job's row, named by its token and by when the lease expires as it says. Whoever
//! writes another takes over what is here; if that is rolled back, the entry is the row's as before. So nobody ever has to
//! take an entry away: one whose version is no longer there is asked for by nobody, and its place is free once it expires.

/// Bytes of a note.
pub const MAX_NOTE: usize = 120;
/// Places in which an entry may be: those behind the one that its token says.
pub const WINDOW: usize = 16;
/// Stands for what was not told, in the place of a percentage or of a length.
const NOTHING: i32 = -1;

/// A version of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub database: u32,
    pub token: [u8; 16],
    /// When the lease expires as the row says, in microseconds since 2000-01-01 UTC.
    pub row_expires_at: i64,
}

/// A heartbeat.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub expires_at: i64,
    /// `None`: as it was.
    pub progress: Option<i32>,
    pub note: Option<&'a [u8]>,
}

/// What was told of a lease. Free where the database is 0.
#[derive(Clone, Copy)]
pub struct Entry {
    key: Key,
    job_id: i64,
    expires_at: i64,
    progress: i32,
    note: Note,
}

/// A note, or that there is none.
#[derive(Clone, Copy)]
pub struct Note {
    length: i32,
    bytes: [u8; MAX_NOTE],
}

impl Note {
    /// None.
    const NONE: Note = Note { length: NOTHING, bytes: [0; MAX_NOTE] };

    /// A copy; what is too long is cut.
    fn of(text: &[u8]) -> Self {
        let mut note = Note { length: 0, ..Note::NONE };
        for (to, from) in note.bytes.iter_mut().zip(text) {
            *to = *from;
            note.length += 1;
        }
        note
    }

    /// Its text.
    pub fn text(&self) -> Option<&[u8]> {
        usize::try_from(self.length).ok().and_then(|length| self.bytes.get(..length))
    }
}

/// A lease that has the place which another wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    pub key: Key,
    pub job_id: i64,
}

impl Key {
    /// A number that is another for each lease. Tokens are random, but for two of their middle bytes.
    pub fn hash(&self) -> u32 {
        let [a, b, c, d, ..] = self.token;
        u32::from_ne_bytes([a, b, c, d])
    }

    /// The places in a part that the lease's entry may be in.
    fn window(&self, length: usize) -> impl Iterator<Item = usize> + use<> {
        let [.., a, b, c, d] = self.token;
        let first = u32::from_ne_bytes([a, b, c, d]) as usize;
        (0..WINDOW.min(length)).map(move |offset| (first + offset) % length)
    }

    /// Where the entry is.
    fn place(&self, part: &[Entry]) -> Option<usize> {
        self.window(part.len()).find(|place| part[*place].key == *self)
    }
}

impl Entry {
    /// A new one, of which nothing is told.
    fn new(key: Key, job_id: i64) -> Self {
        Entry { key, job_id, expires_at: i64::MIN, progress: NOTHING, note: Note::NONE }
    }

    /// Takes what is told; a lease never gets shorter.
    fn tell(&mut self, told: &Told) {
        self.expires_at = self.expires_at.max(told.expires_at);
        self.progress = told.progress.unwrap_or(self.progress);
        self.note = told.note.map_or(self.note, Note::of);
    }

    /// When the lease expires.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// Whether its place is not free for another.
    pub fn is_in_use(&self, now: i64) -> bool {
        self.key.database != 0 && self.expires_at > now
    }

    /// The last progress that was told.
    pub fn progress(&self) -> Option<i32> {
        (self.progress != NOTHING).then_some(self.progress)
    }

    /// The last note that was told.
    pub fn note(&self) -> Note {
        self.note
    }
}

/// The entry of a lease, if it has one.
pub fn find<'p>(part: &'p [Entry], key: &Key) -> Option<&'p Entry> {
    key.place(part).map(|place| &part[place])
}

/// Notes a heartbeat; false where no place is to be had.
pub fn tell(part: &mut [Entry], key: Key, job_id: i64, told: &Told, now: i64) -> bool {
    let place = key.place(part).or_else(|| {
        let free = key.window(part.len()).find(|place| !part[*place].is_in_use(now))?;
        part[free] = Entry::new(key, job_id);
        Some(free)
    });
    place.map(|place| part[place].tell(told)).is_some()
}

/// The leases that have the places in which this one's entry may be.
pub fn tenants(part: &[Entry], key: &Key) -> [Option<Tenant>; WINDOW] {
    let mut tenants = [None; WINDOW];
    for (tenant, place) in tenants.iter_mut().zip(key.window(part.len())) {
        let Entry { key, job_id, .. } = part[place];
        *tenant = (key.database != 0).then_some(Tenant { key, job_id });
    }
    tenants
}

/// Frees the place of a lease that is over.
pub fn forget(part: &mut [Entry], key: &Key) {
    if let Some(place) = key.place(part) {
        part[place].key.database = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows.
    const LENGTH: usize = 2 * WINDOW;

    /// A lease's part of the table, with nothing in it.
    fn empty() -> Vec<Entry> {
        let key = Key { database: 0, token: [0; 16], row_expires_at: 0 };
        vec![Entry { expires_at: 0, ..Entry::new(key, 0) }; LENGTH]
    }

    fn key(token: u8) -> Key {
        Key { database: 1, token: [token; 16], row_expires_at: 100 }
    }

    fn until(expires_at: i64) -> Told<'static> {
        Told { expires_at, progress: None, note: None }
    }

    /// A lease whose entry belongs into the same window as that of all others made here.
    fn neighbour(number: u8) -> Key {
        let mut token = [0; 16];
        token[0] = number;
        Key { token, ..key(0) }
    }

    /// As many as the window has places.
    fn neighbours() -> impl Iterator<Item = Key> {
        (1..=WINDOW as u8).map(neighbour)
    }

    #[test]
    fn an_entry_is_as_large_as_the_documents_say() {
        assert_eq!(size_of::<Entry>(), 176);
    }

    #[test]
    fn a_heartbeat_makes_a_lease_longer_and_never_shorter() {
        let mut part = empty();
        for (told, expires_at) in [(200, 200), (150, 200), (300, 300)] {
            assert!(tell(&mut part, key(1), 1, &until(told), 0));
            assert_eq!(find(&part, &key(1)).unwrap().expires_at(), expires_at);
        }
        assert!(find(&part, &key(2)).is_none());
    }

    #[test]
    fn what_is_not_told_again_stays() {
        let mut part = empty();
        let mut tell_of = |progress, note| {
            assert!(tell(&mut part, key(1), 1, &Told { expires_at: 200, progress, note }, 0));
            let entry = find(&part, &key(1)).unwrap();
            (entry.progress(), entry.note().text().map(<[u8]>::to_vec))
        };
        let text = |note: &[u8]| Some(note.to_vec());
        assert_eq!(tell_of(None, None), (None, None));
        assert_eq!(tell_of(Some(0), Some(b"page one")), (Some(0), text(b"page one")));
        assert_eq!(tell_of(Some(40), None), (Some(40), text(b"page one")));
        assert_eq!(tell_of(None, Some(b"two")), (Some(40), text(b"two")));
        assert_eq!(tell_of(None, Some(b"")), (Some(40), text(b"")));
        assert_eq!(tell_of(None, Some(&[b'x'; MAX_NOTE])), (Some(40), text(&[b'x'; MAX_NOTE])));
    }

    #[test]
    fn an_entry_is_of_one_version_of_one_row_in_one_database() {
        let mut part = empty();
        assert!(tell(&mut part, key(1), 1, &until(200), 0));
        for other in [Key { database: 2, ..key(1) }, Key { row_expires_at: 101, ..key(1) }, key(2)] {
            assert!(find(&part, &other).is_none(), "{other:?}");
        }
        // Each has one of its own.
        assert!(tell(&mut part, Key { row_expires_at: 250, ..key(1) }, 1, &until(300), 0));
        assert_eq!(find(&part, &key(1)).unwrap().expires_at(), 200);
    }

    #[test]
    fn a_full_window_says_whose_it_is_until_one_expires_or_is_forgotten() {
        let mut part = empty();
        for (job_id, key) in neighbours().enumerate() {
            assert!(tell(&mut part, key, job_id as i64, &until(200 + job_id as i64), 0));
        }
        let late = neighbour(100);
        assert!(!tell(&mut part, late, 99, &until(300), 199));
        let tenants = tenants(&part, &late);
        assert!(tenants.iter().flatten().map(|tenant| tenant.key).eq(neighbours()), "{tenants:?}");
        assert!(tell(&mut part, key(WINDOW as u8), 100, &until(300), 199), "another window has room");

        assert!(tell(&mut part, late, 99, &until(300), 200));
        let mut others = neighbours();
        assert!(find(&part, &others.next().unwrap()).is_none(), "it has expired");
        let forgotten = others.next().unwrap();
        forget(&mut part, &forgotten);
        assert!(find(&part, &forgotten).is_none());
        assert!(tell(&mut part, forgotten, 1, &until(300), 200));
        // The others have stayed, one that has expired too while nobody wants its place.
        assert!(others.all(|key| find(&part, &key).is_some()));
    }
}
