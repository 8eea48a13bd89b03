//! A job to be created, checked: from a call's arguments or from a member of `create_jobs`.

use crate::arguments;
use crate::error::Error;
use crate::jobs::iso_time;
use crate::pg::datum::{Jsonb, Text, Timestamptz};
use crate::pg::document;
use crate::pg::jsonb::{self, Kind, Value};
use std::borrow::Cow;

/// What to do about a unique key that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    Skip,
    Error,
    Replace,
}

impl OnDuplicate {
    /// The words for them, in the order of the enum.
    pub const WORDS: [&str; 3] = ["skip", "error", "replace"];

    /// The one of this word, which was checked before.
    pub fn of_word(word: &str) -> Self {
        match word {
            "error" => OnDuplicate::Error,
            "replace" => OnDuplicate::Replace,
            _ => OnDuplicate::Skip,
        }
    }
}

/// A job to be created.
pub struct NewJob {
    pub queue: String,
    pub payload: Jsonb,
    pub job_type: Option<String>,
    /// `None`: the queue's.
    pub priority: Option<i32>,
    pub run_at: Option<Timestamptz>,
    pub unique_key: Option<String>,
    pub on_duplicate: OnDuplicate,
    pub max_attempts: Option<i32>,
    pub metadata: Jsonb,
}

/// The arguments of `create_job` as they came.
pub struct Arguments {
    pub queue: Option<Text>,
    pub payload: Option<Jsonb>,
    pub job_type: Option<Text>,
    pub priority: Option<i32>,
    pub run_at: Option<Timestamptz>,
    pub unique_key: Option<Text>,
    pub on_duplicate: Option<Text>,
    pub max_attempts: Option<i32>,
    pub metadata: Option<Jsonb>,
    pub options: Option<Jsonb>,
}

/// Most attempts that a job may have.
pub const MAX_ATTEMPTS: i64 = 1000;
/// Priorities; 0 is taken first.
pub const PRIORITIES: std::ops::RangeInclusive<i64> = 0..=9;

impl Arguments {
    /// Checks them all.
    pub fn check(&self) -> Result<NewJob, Error> {
        arguments::no_options(self.options)?;
        Ok(NewJob {
            queue: arguments::name("queue", self.queue)?,
            payload: arguments::json("payload", self.payload)?,
            job_type: arguments::optional_name("job_type", self.job_type)?,
            priority: arguments::optional_within("priority", self.priority, PRIORITIES)?,
            run_at: arguments::run_at("run_at", self.run_at)?,
            unique_key: arguments::optional_name("unique_key", self.unique_key)?,
            on_duplicate: OnDuplicate::of_word(arguments::word(
                "on_duplicate",
                self.on_duplicate,
                &OnDuplicate::WORDS,
            )?),
            max_attempts: arguments::optional_within("max_attempts", self.max_attempts, 1..=MAX_ATTEMPTS)?,
            metadata: arguments::object("metadata", self.metadata)?,
        })
    }
}

/// The members of a job in `create_jobs`.
const MEMBERS: [&str; 9] =
    ["queue", "payload", "job_type", "priority", "run_at", "unique_key", "on_duplicate", "max_attempts", "metadata"];

/// The checked jobs of a JSON array.
pub fn from_array(jobs: Option<Jsonb>) -> Result<Vec<NewJob>, Error> {
    const ALLOWED: &str = "a JSON array of 1 to 10000 objects";
    let jobs = jobs.ok_or_else(|| Error::invalid("jobs", "NULL", ALLOWED))?;
    if jsonb::kind(jobs) != Kind::Array {
        return Err(Error::invalid("jobs", arguments::kind_name(jsonb::kind(jobs)), ALLOWED));
    }
    let (mut checked, nothing) = (Vec::new(), document::object(&[]));
    for (index, (_, member)) in jsonb::members(jobs).enumerate() {
        if index >= arguments::MAX_MEMBERS {
            return Err(Error::invalid("jobs", "more than 10000 members", ALLOWED));
        }
        checked.push(from_member(index, &member, nothing)?);
    }
    if checked.is_empty() { Err(Error::invalid("jobs", "an empty array", ALLOWED)) } else { Ok(checked) }
}

/// The name of a member's argument in messages.
fn path(index: usize, key: &str) -> Cow<'static, str> {
    if key.is_empty() { format!("jobs[{index}]") } else { format!("jobs[{index}].{key}") }.into()
}

/// One checked job of the array. Missing members and JSON null are the defaults of `create_job`.
fn from_member(index: usize, member: &Value, nothing: Jsonb) -> Result<NewJob, Error> {
    if member.kind() != Kind::Object {
        return Err(Error::invalid(path(index, ""), arguments::shown(member), "a JSON object"));
    }
    let mut job = NewJob {
        queue: String::new(),
        payload: nothing,
        job_type: None,
        priority: None,
        run_at: None,
        unique_key: None,
        on_duplicate: OnDuplicate::Skip,
        max_attempts: None,
        metadata: nothing,
    };
    for (key, value) in jsonb::members_of(member) {
        let key = key.unwrap_or_default();
        let at = || path(index, &key);
        match key.as_str() {
            unknown if !MEMBERS.contains(&unknown) => {
                return Err(Error::invalid(path(index, ""), unknown, format!("made of {}", MEMBERS.join(", "))));
            }
            // JSON null is a payload like any other.
            "payload" => job.payload = arguments::sized_json(at(), value.to_jsonb())?,
            _ if value.kind() == Kind::Null => {}
            "queue" => job.queue = name(at(), &value)?,
            "job_type" => job.job_type = Some(name(at(), &value)?),
            "unique_key" => job.unique_key = Some(name(at(), &value)?),
            "priority" => job.priority = Some(integer(at(), &value, PRIORITIES)?),
            "max_attempts" => job.max_attempts = Some(integer(at(), &value, 1..=MAX_ATTEMPTS)?),
            "run_at" => job.run_at = arguments::run_at(at(), Some(time(at(), &value)?))?,
            "on_duplicate" => job.on_duplicate = on_duplicate(at(), &value)?,
            "metadata" if value.kind() == Kind::Object => job.metadata = arguments::sized_json(at(), value.to_jsonb())?,
            _ => return Err(Error::invalid(at(), arguments::shown(&value), "a JSON object")),
        }
    }
    if job.queue.is_empty() {
        return Err(Error::invalid(path(index, "queue"), "nothing", "given: the name of a queue"));
    }
    Ok(job)
}

/// A name inside a member.
fn name(argument: Cow<'static, str>, value: &Value) -> Result<String, Error> {
    match value.kind() {
        Kind::String => arguments::checked_name(argument, &value.scalar_text(1024).unwrap_or_default()),
        _ => Err(Error::invalid(argument, arguments::shown(value), "a string")),
    }
}

/// A whole number inside a member.
fn integer(argument: Cow<'static, str>, value: &Value, range: std::ops::RangeInclusive<i64>) -> Result<i32, Error> {
    match value.integer() {
        Some(number) => arguments::within(argument, Some(number), range).map(|number| number as i32),
        None => {
            let allowed = format!("a whole number from {} to {}", range.start(), range.end());
            Err(Error::invalid(argument, arguments::shown(value), allowed))
        }
    }
}

/// A point in time inside a member: text as the server reads it.
fn time(argument: Cow<'static, str>, value: &Value) -> Result<Timestamptz, Error> {
    let text = value.scalar_text(64).filter(|_| value.kind() == Kind::String);
    text.as_deref()
        .and_then(iso_time::parse)
        .map(Timestamptz::at)
        .ok_or_else(|| Error::invalid(argument, arguments::shown(value), "a string in ISO 8601 with a time zone"))
}

/// The word for duplicates inside a member.
fn on_duplicate(argument: Cow<'static, str>, value: &Value) -> Result<OnDuplicate, Error> {
    let word = value.scalar_text(64).filter(|_| value.kind() == Kind::String).unwrap_or_default();
    if OnDuplicate::WORDS.contains(&word.as_str()) {
        Ok(OnDuplicate::of_word(&word))
    } else {
        Err(Error::invalid(argument, arguments::shown(value), arguments::one_of(&OnDuplicate::WORDS)))
    }
}
