//! Lists of leases in bulk calls: JSON arrays of objects, checked member by member, sorted by job.

use super::finish::Ending;
use super::heartbeat::Beat;
use super::iso_time;
use super::settle::{Settlement, Verdict};
use crate::arguments;
use crate::error::Error;
use crate::pg::datum::{Jsonb, Text, Timestamptz};
use crate::pg::jsonb::{self, Kind, Value};
use std::borrow::Cow;

/// What a list's members say of each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Completed,
    Failed,
    /// Each member says it by its `outcome`.
    Outcome,
}

/// The words of `outcome`.
const OUTCOMES: [&str; 3] = ["completed", "failed", "released"];

/// A list's name, and what its members may have.
struct List {
    argument: &'static str,
    members: &'static [&'static str],
    may_be_empty: bool,
}

impl Said {
    /// What a list of this kind is made of.
    fn list(self) -> List {
        let (argument, members, may_be_empty): (_, &[_], _) = match self {
            Said::Completed => ("leases", &["job_id", "lease_token", "result"], false),
            Said::Failed => ("leases", &["job_id", "lease_token", "error", "retry_in_seconds", "final"], false),
            Said::Outcome => (
                "outcomes",
                &["job_id", "lease_token", "outcome", "result", "error", "retry_in_seconds", "final", "run_at"],
                true,
            ),
        };
        List { argument, members, may_be_empty }
    }
}

/// A member under way: all that any list's may say.
#[derive(Default)]
struct Member {
    job_id: Option<i64>,
    lease_token: Option<String>,
    outcome: Option<&'static str>,
    result: Option<Jsonb>,
    error: Option<Text>,
    retry_in: Option<f64>,
    is_final: bool,
    run_at: Option<Timestamptz>,
    extend_seconds: Option<f64>,
    progress: Option<i32>,
    note: Option<Text>,
}

/// The settlements of a list, sorted by job.
pub fn settlements(document: Option<Jsonb>, said: Said) -> Result<Vec<Settlement>, Error> {
    let list = said.list();
    let members = members(document, &list)?;
    let mut settlements = Vec::with_capacity(members.len());
    for (index, member) in members.into_iter().enumerate() {
        let word = match said {
            Said::Completed => "completed",
            Said::Failed => "failed",
            Said::Outcome => member.outcome.ok_or_else(|| {
                Error::invalid(path(&list, index, "outcome"), "nothing", arguments::one_of(&OUTCOMES))
            })?,
        };
        let verdict = match word {
            "completed" => Verdict::Completed,
            "failed" => Verdict::Failed { retry_in: member.retry_in, is_final: member.is_final },
            _ => Verdict::Released { run_at: member.run_at },
        };
        out_of_place(&list, index, word, &member)?;
        let (job_id, lease_token) = lease(&list, index, &member)?;
        let ending = Ending { result: member.result.filter(|_| word == "completed"), error: member.error };
        settlements.push(Settlement { job_id, lease_token, verdict, ending });
    }
    settlements.sort_unstable_by_key(|settlement| settlement.job_id);
    once(&list, settlements.iter().map(|settlement| settlement.job_id))?;
    Ok(settlements)
}

/// The heartbeats of a list, sorted by job.
pub fn beats(document: Option<Jsonb>) -> Result<Vec<Beat>, Error> {
    let list = List {
        argument: "leases",
        members: &["job_id", "lease_token", "extend_seconds", "progress", "note"],
        may_be_empty: false,
    };
    let mut beats = Vec::new();
    for (index, member) in members(document, &list)?.into_iter().enumerate() {
        let (job_id, lease_token) = lease(&list, index, &member)?;
        let Member { extend_seconds, progress, note, .. } = member;
        beats.push(Beat { job_id, lease_token, extend_seconds, progress, note });
    }
    beats.sort_unstable_by_key(|beat| beat.job_id);
    once(&list, beats.iter().map(|beat| beat.job_id))?;
    Ok(beats)
}

/// Refuses what does not go with an outcome: it would be lost without a word.
fn out_of_place(list: &List, index: usize, outcome: &str, member: &Member) -> Result<(), Error> {
    let fields = [
        ("result", member.result.is_some_and(|result| jsonb::kind(result) != Kind::Null), "completed"),
        ("error", member.error.is_some(), "failed"),
        ("retry_in_seconds", member.retry_in.is_some(), "failed"),
        ("final", member.is_final, "failed"),
        ("run_at", member.run_at.is_some(), "released"),
    ];
    match fields.into_iter().find(|(_, is_there, belongs)| *is_there && *belongs != outcome) {
        Some((key, _, belongs)) => {
            let allowed = format!("left out, or the outcome {belongs}");
            Err(Error::invalid(path(list, index, key), "a value", allowed))
        }
        None => Ok(()),
    }
}

/// The job and its token, which each member has to have.
fn lease(list: &List, index: usize, member: &Member) -> Result<(i64, String), Error> {
    let missing = |key: &str, what: &'static str| Error::invalid(path(list, index, key), "nothing", what);
    let job_id = member.job_id.ok_or_else(|| missing("job_id", "given: the id of a job"))?;
    let token = member.lease_token.clone();
    Ok((job_id, token.ok_or_else(|| missing("lease_token", "given: the token of the lease"))?))
}

/// Refuses a list that names a job twice; the ids are sorted.
fn once(list: &List, ids: impl Iterator<Item = i64>) -> Result<(), Error> {
    let ids: Vec<i64> = ids.collect();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::invalid(list.argument, format!("job {} twice", pair[0]), "a list of different jobs")),
        None => Ok(()),
    }
}

/// The name of a member's argument in messages.
fn path(list: &List, index: usize, key: &str) -> Cow<'static, str> {
    let argument = list.argument;
    if key.is_empty() { format!("{argument}[{index}]") } else { format!("{argument}[{index}].{key}") }.into()
}

/// The checked members of a list.
fn members(document: Option<Jsonb>, list: &List) -> Result<Vec<Member>, Error> {
    let least = if list.may_be_empty { 0 } else { 1 };
    let invalid = |got: &str| {
        let allowed = format!("a JSON array of {least} to {} objects", arguments::MAX_MEMBERS);
        Error::invalid(list.argument, got, allowed)
    };
    let document = document.ok_or_else(|| invalid("NULL"))?;
    if jsonb::kind(document) != Kind::Array {
        return Err(invalid(arguments::kind_name(jsonb::kind(document))));
    }
    let mut checked = Vec::new();
    for (index, (_, value)) in jsonb::members(document).enumerate() {
        if index >= arguments::MAX_MEMBERS {
            return Err(invalid("more than 10000 members"));
        }
        checked.push(member(list, index, &value)?);
    }
    if checked.len() < least { Err(invalid("an empty array")) } else { Ok(checked) }
}

/// One checked member. JSON null is as good as left out, but as a result.
fn member(list: &List, index: usize, object: &Value) -> Result<Member, Error> {
    if object.kind() != Kind::Object {
        return Err(Error::invalid(path(list, index, ""), arguments::shown(object), "a JSON object"));
    }
    let mut member = Member::default();
    for (key, value) in jsonb::members_of(object) {
        let key = key.unwrap_or_default();
        let at = || path(list, index, &key);
        let refused = |allowed: &'static str| Error::invalid(at(), arguments::shown(&value), allowed);
        match key.as_str() {
            unknown if !list.members.contains(&unknown) => {
                return Err(Error::invalid(
                    path(list, index, ""),
                    unknown,
                    format!("made of {}", list.members.join(", ")),
                ));
            }
            "result" => member.result = Some(arguments::sized_json(at(), value.to_jsonb())?),
            _ if value.kind() == Kind::Null => {}
            "job_id" => {
                let id = value.integer().filter(|id| *id >= 1);
                member.job_id = Some(id.ok_or_else(|| refused("the id of a job, 1 or more"))?);
            }
            "lease_token" => member.lease_token = Some(arguments::token(at(), string(&value, 64).unwrap_or_default())?),
            "outcome" => {
                let word = string(&value, 64).unwrap_or_default();
                let known = OUTCOMES.into_iter().find(|known| *known == word);
                member.outcome = Some(
                    known
                        .ok_or_else(|| Error::invalid(at(), arguments::shown(&value), arguments::one_of(&OUTCOMES)))?,
                );
            }
            "error" => {
                member.error =
                    Some(text(&value, arguments::MAX_TEXT).ok_or_else(|| refused("a string of at most 65536 bytes"))?)
            }
            "note" => {
                member.note =
                    Some(text(&value, arguments::MAX_NOTE).ok_or_else(|| refused("a string of at most 120 bytes"))?)
            }
            "retry_in_seconds" => {
                member.retry_in =
                    arguments::pause(at(), Some(number(&value).ok_or_else(|| refused("a number of seconds"))?))?
            }
            "extend_seconds" => {
                let seconds = number(&value).ok_or_else(|| refused("a number of seconds"))?;
                member.extend_seconds = arguments::lease_seconds(at(), Some(seconds))?;
            }
            "progress" => {
                let percent = value.integer().and_then(|percent| i32::try_from(percent).ok());
                let percent = percent.ok_or_else(|| refused("a whole number from 0 to 100"))?;
                member.progress = arguments::optional_within(at(), Some(percent), 0..=100)?;
            }
            "final" => member.is_final = value.boolean().ok_or_else(|| refused("a boolean"))?,
            _ => {
                let time = string(&value, 64).as_deref().and_then(iso_time::parse).map(Timestamptz::at);
                let time = time.ok_or_else(|| refused("a string in ISO 8601 with a time zone"))?;
                member.run_at = arguments::run_at(at(), Some(time))?;
            }
        }
    }
    Ok(member)
}

/// A string's text.
fn string(value: &Value, limit: usize) -> Option<String> {
    value.scalar_text(limit).filter(|_| value.kind() == Kind::String)
}

/// A string as a text datum, if it is no longer than that.
fn text(value: &Value, most: usize) -> Option<Text> {
    let bytes = value.string_bytes().filter(|bytes| bytes.len() <= most)?;
    Some(Text::from_server(bytes))
}

/// A number.
fn number(value: &Value) -> Option<f64> {
    value.scalar_text(64).filter(|_| value.kind() == Kind::Number)?.parse().ok()
}
