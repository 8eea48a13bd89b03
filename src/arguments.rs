//! Checks of arguments: each gives the value, or names the argument, what came and what is allowed.

use crate::error::Error;
use crate::guc;
use crate::pg::datum::{BigintArray, Jsonb, Text, TextArray, Timestamptz};
use crate::pg::jsonb::{self, Kind, Value};
use crate::pg::xact;
use std::time::Duration;

/// Longest name of a queue, a job type, a key, in characters.
const MAX_NAME: usize = 200;
/// Longest error, reason or description, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Longest note of a heartbeat, in bytes.
pub const MAX_NOTE: usize = 120;
/// Longest lease, in seconds: a week.
const MAX_LEASE: f64 = 604_800.0;
/// Longest pause before another attempt, in seconds: a year.
const MAX_PAUSE: f64 = 31_536_000.0;
/// Most queues that one call looks at.
const MAX_QUEUES: usize = 100;
/// Most members of an array argument.
pub const MAX_MEMBERS: usize = 10_000;
/// Characters take at most four bytes in any server encoding.
const MAX_NAME_OCTETS: usize = MAX_NAME * 4;

const NAME_ALLOWED: &str = "1 to 200 characters, not blank, without control characters";

/// A name that has to be given.
pub fn name(argument: &'static str, value: Option<Text>) -> Result<String, Error> {
    let text = value.ok_or_else(|| Error::invalid(argument, "NULL", NAME_ALLOWED))?;
    // Room for one character more than allowed, so that too many are seen.
    checked_name(argument.into(), &text.to_utf8(MAX_NAME_OCTETS + 4))
}

/// A name that may be left out.
pub fn optional_name(argument: &'static str, value: Option<Text>) -> Result<Option<String>, Error> {
    value.map(|text| name(argument, Some(text))).transpose()
}

/// The rule for names, wherever they come from.
pub fn checked_name(argument: std::borrow::Cow<'static, str>, text: &str) -> Result<String, Error> {
    let blank = text.trim().is_empty();
    if blank || text.chars().any(char::is_control) || text.chars().count() > MAX_NAME {
        return Err(Error::invalid(argument, text, NAME_ALLOWED));
    }
    Ok(text.to_owned())
}

/// A longer text, such as an error or a reason. Kept as it is; only its size is bounded.
pub fn text(argument: &'static str, value: Option<Text>) -> Result<Option<Text>, Error> {
    match value {
        Some(text) if text.octets() > MAX_TEXT => {
            Err(Error::invalid(argument, format!("{} bytes", text.octets()), "at most 65536 bytes"))
        }
        other => Ok(other),
    }
}

/// One of a few words.
pub fn word(argument: &'static str, value: Option<Text>, allowed: &[&'static str]) -> Result<&'static str, Error> {
    let got = value.map(|text| text.to_utf8(MAX_NAME_OCTETS));
    allowed
        .iter()
        .find(|word| Some(**word) == got.as_deref())
        .copied()
        .ok_or_else(|| Error::invalid(argument, got.as_deref().unwrap_or("NULL"), one_of(allowed)))
}

/// The words in a sentence.
pub fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

/// A job's id.
pub fn job_id(value: Option<i64>) -> Result<i64, Error> {
    const ALLOWED: &str = "the id of a job, 1 or more";
    match value {
        Some(id) if id >= 1 => Ok(id),
        Some(id) => Err(Error::invalid("job_id", id, ALLOWED)),
        None => Err(Error::invalid("job_id", "NULL", ALLOWED)),
    }
}

/// Several jobs' ids, sorted: everybody locks rows in that order.
pub fn job_ids(value: Option<BigintArray>) -> Result<Vec<i64>, Error> {
    const ALLOWED: &str = "a one-dimensional array of 1 to 10000 different ids, each 1 or more";
    let invalid = |got: String| Error::invalid("job_ids", got, ALLOWED);
    let array = value.ok_or_else(|| invalid("NULL".to_owned()))?;
    if array.dimensions() != 1 {
        let got = if array.dimensions() == 0 {
            "an empty array".to_owned()
        } else {
            format!("{} dimensions", array.dimensions())
        };
        return Err(invalid(got));
    }
    let members = array.members();
    if members.len() > MAX_MEMBERS {
        return Err(invalid(format!("{} members", members.len())));
    }
    let mut ids = Vec::with_capacity(members.len());
    for member in members {
        match member {
            Some(id) if id >= 1 => ids.push(id),
            Some(id) => return Err(invalid(id.to_string())),
            None => return Err(invalid("a NULL member".to_owned())),
        }
    }
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(format!("{} twice", pair[0]))),
        None => Ok(ids),
    }
}

/// A whole number within a range; NULL where there is a default.
pub fn within(
    argument: impl Into<std::borrow::Cow<'static, str>>,
    value: Option<i64>,
    range: std::ops::RangeInclusive<i64>,
) -> Result<i64, Error> {
    match value {
        Some(number) if range.contains(&number) => Ok(number),
        other => {
            let got = other.map_or("NULL".to_owned(), |number| number.to_string());
            Err(Error::invalid(argument, got, format!("{} to {}", range.start(), range.end())))
        }
    }
}

/// The same where NULL leaves the value to somebody else.
pub fn optional_within(
    argument: impl Into<std::borrow::Cow<'static, str>>,
    value: Option<i32>,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<i32>, Error> {
    match value {
        Some(number) => within(argument, Some(number.into()), range).map(|_| value),
        None => Ok(None),
    }
}

/// A number within a range, infinity where `most` is that; NULL leaves the value to somebody else.
pub fn optional_number(
    argument: impl Into<std::borrow::Cow<'static, str>>,
    value: Option<f64>,
    least: f64,
    most: f64,
    what: &str,
) -> Result<Option<f64>, Error> {
    match value {
        Some(number) if !(number >= least && number <= most) => {
            let most = if most.is_infinite() { "'infinity'".to_owned() } else { most.to_string() };
            let got = if number.is_infinite() {
                format!("{}infinity", if number > 0.0 { "" } else { "-" })
            } else {
                number.to_string()
            };
            Err(Error::invalid(argument, got, format!("{what} from {least} to {most}")))
        }
        other => Ok(other),
    }
}

/// The length of a lease; NULL is the queue's, or the lease's own.
pub fn lease_seconds(
    argument: impl Into<std::borrow::Cow<'static, str>>,
    value: Option<f64>,
) -> Result<Option<f64>, Error> {
    optional_number(argument, value, 0.1, MAX_LEASE, "a number of seconds")
}

/// A pause before another attempt; NULL is the queue's backoff.
pub fn pause(argument: impl Into<std::borrow::Cow<'static, str>>, value: Option<f64>) -> Result<Option<f64>, Error> {
    optional_number(argument, value, 0.0, MAX_PAUSE, "a number of seconds")
}

/// A note of a heartbeat.
pub fn note(value: Option<Text>) -> Result<Option<Text>, Error> {
    match value {
        Some(text) if text.octets() > MAX_NOTE => {
            Err(Error::invalid("note", format!("{} bytes", text.octets()), "at most 120 bytes"))
        }
        other => Ok(other),
    }
}

/// The names of several queues, in the order given.
pub fn queues(value: Option<TextArray>) -> Result<Vec<String>, Error> {
    const ALLOWED: &str = "a one-dimensional array of 1 to 100 different names of queues";
    let invalid = |got: String| Error::invalid("queues", got, ALLOWED);
    let array = value.ok_or_else(|| invalid("NULL".to_owned()))?;
    match array.dimensions() {
        1 => {}
        0 => return Err(invalid("an empty array".to_owned())),
        several => return Err(invalid(format!("{several} dimensions"))),
    }
    let mut names: Vec<String> = Vec::new();
    for (index, member) in array.members().into_iter().enumerate() {
        if index >= MAX_QUEUES {
            return Err(invalid(format!("more than {MAX_QUEUES} members")));
        }
        let text = member.ok_or_else(|| invalid("a NULL member".to_owned()))?;
        let name = checked_name(format!("queues[{}]", index + 1).into(), &text.to_utf8(MAX_NAME_OCTETS + 4))?;
        if names.contains(&name) {
            return Err(invalid(format!("{name} twice")));
        }
        names.push(name);
    }
    Ok(names)
}

/// A boolean that has to be given.
pub fn yes_or_no(argument: &'static str, value: Option<bool>) -> Result<bool, Error> {
    value.ok_or_else(|| Error::invalid(argument, "NULL", "true or false"))
}

/// The size of a page.
pub fn page_size(value: Option<i32>) -> Result<i64, Error> {
    within("page_size", value.map(i64::from), 1..=100)
}

/// A number of seconds above 0 and up to `most`.
pub fn seconds(argument: &'static str, value: Option<f64>, most: f64) -> Result<Option<Duration>, Error> {
    match value {
        None => Ok(None),
        Some(number) if number > 0.0 && number <= most => Ok(Some(Duration::from_secs_f64(number))),
        Some(number) => Err(Error::invalid(argument, number, format!("a number of seconds above 0 and up to {most}"))),
    }
}

/// When a job is to run. The ends of the calendar are mistakes, not wishes.
pub fn run_at(
    argument: impl Into<std::borrow::Cow<'static, str>>,
    value: Option<Timestamptz>,
) -> Result<Option<Timestamptz>, Error> {
    /// Microseconds in a hundred years, leap days left out.
    const CENTURY: i64 = 100 * 365 * 86_400 * 1_000_000;
    match value {
        Some(at) if at.microseconds() < 0 || at.microseconds() > xact::clock() + CENTURY => {
            Err(Error::invalid(argument, at.to_utf8(), "a time from 2000-01-01 UTC to a hundred years from now"))
        }
        other => Ok(other),
    }
}

/// Any JSON, within the size that the server's settings allow. SQL NULL is refused, JSON null is not.
pub fn json(argument: &'static str, value: Option<Jsonb>) -> Result<Jsonb, Error> {
    let document = value.ok_or_else(|| Error::invalid(argument, "NULL", "JSON (for nothing: '{}' or 'null')"))?;
    sized_json(argument.into(), document)
}

/// The size rule for documents, wherever they come from.
pub fn sized_json(argument: std::borrow::Cow<'static, str>, document: Jsonb) -> Result<Jsonb, Error> {
    let (size, most) = (document.octets(), guc::max_payload_bytes());
    if size > most {
        let allowed = format!("at most {most} bytes as jsonb (foreman.max_payload_bytes)");
        return Err(Error::invalid(argument, format!("{size} bytes"), allowed));
    }
    Ok(document)
}

/// JSON that may be left out.
pub fn optional_json(argument: &'static str, value: Option<Jsonb>) -> Result<Option<Jsonb>, Error> {
    value.map(|document| sized_json(argument.into(), document)).transpose()
}

/// A JSON object, such as metadata.
pub fn object(argument: &'static str, value: Option<Jsonb>) -> Result<Jsonb, Error> {
    let invalid = |got: &str| Error::invalid(argument, got, "a JSON object (for nothing: '{}')");
    let document = json(argument, Some(value.ok_or_else(|| invalid("NULL"))?))?;
    match jsonb::kind(document) {
        Kind::Object => Ok(document),
        kind => Err(invalid(kind_name(kind))),
    }
}

/// Options of a function that knows none yet: a place for what comes later, without a new signature.
pub fn no_options(value: Option<Jsonb>) -> Result<(), Error> {
    let Some(options) = value.filter(|options| !jsonb::is_empty_object(*options)) else { return Ok(()) };
    match jsonb::members(object("options", Some(options))?).next() {
        None => Ok(()),
        Some((key, _)) => {
            Err(Error::invalid("options", key.unwrap_or_default(), "empty: this function knows no options yet"))
        }
    }
}

/// A cursor as it came; whether it fits is seen when it is opened.
pub fn cursor(value: Option<Text>) -> Option<String> {
    /// Longer than the cursor of the longest key.
    const MAX_CURSOR: usize = 2048;
    value.map(|text| text.to_utf8(MAX_CURSOR))
}

/// A lease token as `claim_jobs` gives it, where there may be none.
pub fn lease_token(value: Option<Text>) -> Result<Option<String>, Error> {
    value.map(|text| token("lease_token".into(), text.to_utf8(64))).transpose()
}

/// The token of a lease that the caller holds.
pub fn held_lease(value: Option<Text>) -> Result<String, Error> {
    lease_token(value)?.ok_or_else(|| Error::invalid("lease_token", "NULL", TOKEN_ALLOWED))
}

const TOKEN_ALLOWED: &str = "a lease token as it was given";

/// The rule for tokens, wherever they come from. In lower case, as the server writes them.
pub fn token(argument: std::borrow::Cow<'static, str>, text: String) -> Result<String, Error> {
    let is_uuid = text.len() == 36
        && text.char_indices().all(|(place, c)| match place {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        });
    if is_uuid { Ok(text.to_ascii_lowercase()) } else { Err(Error::invalid(argument, text, TOKEN_ALLOWED)) }
}

/// What a document is, in words.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

/// A value inside a document, shortened for a message.
pub fn shown(value: &Value) -> String {
    match value.kind() {
        Kind::Array | Kind::Object => kind_name(value.kind()).to_owned(),
        Kind::Null => "null".to_owned(),
        _ => value.scalar_text(MAX_NAME_OCTETS).unwrap_or_default(),
    }
}
