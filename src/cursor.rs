//! Opaque cursors of lists: where the page ended, sealed together with what the list was asked for.

use crate::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A cursor that continues after `position`, in lists asked for with the same `query`.
pub fn seal(position: &str, query: &[Option<&str>]) -> String {
    let hex: String = position.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.{:016x}", checksum(position, query))
}

/// The position in a cursor. One of another list, or a mangled one, is refused.
pub fn open(cursor: &str, query: &[Option<&str>]) -> Result<String, Error> {
    position(cursor)
        .filter(|position| seal(position, query) == cursor)
        .ok_or_else(|| Error::invalid("cursor", cursor, "the next_cursor of a reply to the same query, or NULL"))
}

/// The position as it was sealed.
fn position(cursor: &str) -> Option<String> {
    let hex = cursor.split_once('.')?.0.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    String::from_utf8(bytes?).ok()
}

/// Binds a position to its query. No secret: it guards against mistakes, and rights are checked elsewhere.
fn checksum(position: &str, query: &[Option<&str>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (position, query).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_with_its_own_query() {
        let cursor = seal("42", &[Some("mail"), None]);
        assert_eq!(open(&cursor, &[Some("mail"), None]).ok().as_deref(), Some("42"));
        assert!(open(&cursor, &[Some("other"), None]).is_err());
        for mangled in ["", ".", "4", "zz.0", "é.1", &cursor[1..], &format!("{cursor}0")] {
            assert!(open(mangled, &[Some("mail"), None]).is_err(), "{mangled}");
        }
    }
}
