//! What workers note of their calls, outside the server and flushed: before a call what is asked, after the reply what
//! was told. A worker that is killed leaves its notes behind, and [`violations`] says what they and the table's own
//! account, taken together, can't have been.
//!
//! Times are in microseconds since 1970. Server and clients read the same clock, as they run on the same machine.

mod check;

pub use check::{End, violations};

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What a worker says of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    Complete,
    /// To be tried again.
    Fail,
    /// For good.
    FailForGood,
    Release,
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    CreateAsked {
        at: i64,
        key: String,
    },
    /// `key` is there where the job was created with one.
    Created {
        job: i64,
        key: Option<String>,
    },
    ClaimAsked {
        at: i64,
        max_jobs: u64,
    },
    /// `until` by the reply, `from` as much earlier as the lease is long: both by the server's clock.
    Leased {
        job: i64,
        token: String,
        from: i64,
        until: i64,
    },
    BeatAsked {
        at: i64,
        job: i64,
        token: String,
    },
    /// `until` is missing where the lease was lost.
    BeatTold {
        job: i64,
        token: String,
        until: Option<i64>,
    },
    FinishAsked {
        at: i64,
        job: i64,
        token: String,
        how: How,
    },
    /// `at`: the server's clock just before it carried out the call. `outcome` in the words of `complete_jobs` and its
    /// like, `unchanged` among them.
    FinishTold {
        at: i64,
        job: i64,
        token: String,
        how: How,
        outcome: String,
    },
    /// The server was killed, with claims not yet on disk.
    Killed {
        at: i64,
    },
    /// A reply that no worker should get.
    Trouble {
        at: i64,
        what: String,
    },
}

/// The notes of one process.
pub struct Ledger {
    file: File,
}

impl Ledger {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Adds entries, in one write, and flushes them to the disk.
    pub fn note(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines)?;
        self.file.sync_data()
    }
}

/// The entries of a ledger. Its process may have been killed in the middle of the last line, which is left out then.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The clock that client and server share.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    since.as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_can_be_read_but_for_a_line_that_is_not_whole() {
        let path = std::env::temp_dir().join(format!("foreman-ledger-{}", std::process::id()));
        let noted = [Entry::ClaimAsked { at: 1, max_jobs: 2 }, Entry::Created { job: 3, key: None }];
        let mut ledger = Ledger::open(&path).expect("a file can be made");
        ledger.note(&noted).expect("it can be written");
        ledger.file.write_all(b"{\"Created\":{\"jo").expect("it can be written");
        let read = read(&path).expect("it can be read");
        std::fs::remove_file(&path).expect("it can be removed");
        assert_eq!(read, noted);
    }
}
