//! What the ledgers of all workers and the table at the end can't say together, if the promises hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Entry, How};

/// The error of a job that ended because nobody finished it.
const EXPIRED: &str = "The lease expired; the attempts are used up.";

/// A job as the table has it when all is over.
#[derive(Clone, Debug)]
pub struct End {
    pub status: String,
    /// Workers give the token of their lease as the result.
    pub result: Option<String>,
    pub error: Option<String>,
    pub key: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
}

/// A finish that was asked for, and what came back, if anything did.
struct Finish {
    asked_at: i64,
    how: How,
    told: Option<Told>,
}

struct Told {
    at: i64,
    outcome: String,
}

impl Finish {
    fn outcome(&self) -> &str {
        self.told.as_ref().map_or("", |told| &told.outcome)
    }

    /// The server did it and said so.
    fn accepted(&self) -> bool {
        matches!(self.outcome(), "completed" | "failed" | "pending" | "cancelled")
    }

    /// The job ended by it.
    fn ended(&self) -> bool {
        self.accepted() && self.outcome() != "pending"
    }

    /// The earliest moment at which it may have ended the lease; none if it did not.
    fn may_have_ended_it(&self) -> Option<i64> {
        match &self.told {
            Some(told) if self.accepted() => Some(told.at),
            Some(_) => None,
            None => Some(self.asked_at),
        }
    }
}

/// A lease as its worker knows it.
struct Lease {
    job: i64,
    token: String,
    from: i64,
    until: i64,
    finishes: Vec<Finish>,
}

impl Lease {
    /// When it was over, at the earliest.
    fn end(&self) -> i64 {
        self.finishes.iter().filter_map(Finish::may_have_ended_it).fold(self.until, i64::min)
    }
}

/// Within this time a claim is on disk, in microseconds: three times wal_writer_delay, and some more for a slow disk.
const FLUSHED_WITHIN: i64 = 1_000_000;

impl Lease {
    /// Whether a kill of the server may have taken its claim away. A finish that is answered brings the claim to the disk, or
    /// shows that it is there; a heartbeat does not.
    fn is_lost_by(&self, kill: i64) -> bool {
        let is_fresh = (kill - FLUSHED_WITHIN..=kill).contains(&self.from);
        is_fresh && !self.finishes.iter().any(Finish::accepted)
    }
}

/// All that is wrong, in words; `entries` are those of all ledgers, each ledger's in its order.
pub fn violations(entries: &[Entry], table: &BTreeMap<i64, End>) -> Vec<String> {
    let mut wrong = Vec::new();
    let leases = leases(entries, &mut wrong);
    let mut by_job: BTreeMap<i64, Vec<&Lease>> = BTreeMap::new();
    for lease in leases.values() {
        by_job.entry(lease.job).or_default().push(lease);
    }
    for (job, its_leases) in &mut by_job {
        its_leases.sort_by_key(|lease| lease.from);
        overlaps(*job, its_leases, &mut wrong);
        finishes(*job, its_leases, table.get(job), &mut wrong);
    }
    creations(entries, table, &mut wrong);
    for (job, end) in table {
        causes(*job, end, by_job.get(job).map_or(&[], Vec::as_slice), &mut wrong);
    }
    wrong
}

/// The leases by their tokens, with what was said under each.
fn leases(entries: &[Entry], wrong: &mut Vec<String>) -> HashMap<String, Lease> {
    let mut leases: HashMap<String, Lease> = HashMap::new();
    let mut kills = Vec::new();
    for entry in entries {
        match entry.clone() {
            Entry::Leased { job, token, from, until } => {
                if until <= from {
                    wrong.push(format!("job {job}: a lease from {from} until {until}"));
                }
                let lease = Lease { job, token: token.clone(), from, until, finishes: Vec::new() };
                if let Some(other) = leases.insert(token.clone(), lease) {
                    wrong.push(format!("token {token} was given out twice, for jobs {job} and {}", other.job));
                }
            }
            Entry::BeatTold { token, until: Some(until), .. } => {
                if let Some(lease) = leases.get_mut(&token) {
                    if until < lease.until {
                        wrong.push(format!("job {}: a heartbeat made its lease shorter", lease.job));
                    }
                    lease.until = until;
                }
            }
            Entry::FinishAsked { at, token, how, .. } => {
                if let Some(lease) = leases.get_mut(&token) {
                    lease.finishes.push(Finish { asked_at: at, how, told: None });
                }
            }
            Entry::FinishTold { at, job, token, how, outcome } => {
                let asked = leases.get_mut(&token).and_then(|lease| lease.finishes.last_mut());
                match asked.filter(|finish| finish.told.is_none() && finish.how == how) {
                    Some(finish) => finish.told = Some(Told { at, outcome }),
                    None => wrong.push(format!("job {job}: told {outcome}, and nobody had asked")),
                }
            }
            Entry::Killed { at } => kills.push(at),
            Entry::Trouble { what, .. } => wrong.push(format!("a worker was told: {what}")),
            Entry::CreateAsked { .. }
            | Entry::Created { .. }
            | Entry::ClaimAsked { .. }
            | Entry::BeatAsked { .. }
            | Entry::BeatTold { until: None, .. } => {}
        }
    }
    for lease in leases.values_mut().filter(|lease| kills.iter().any(|kill| lease.is_lost_by(*kill))) {
        lease.until = lease.from;
    }
    leases
}

/// No two leases of a job at a time.
fn overlaps(job: i64, leases: &[&Lease], wrong: &mut Vec<String>) {
    let mut held: Option<&Lease> = None;
    for lease in leases {
        if let Some(held) = held
            && lease.from < held.end()
        {
            wrong.push(format!(
                "job {job}: leased from {} under {}, and until {} under {}",
                lease.from,
                lease.token,
                held.end(),
                held.token
            ));
        }
        if held.is_none_or(|held| lease.end() > held.end()) {
            held = Some(lease);
        }
    }
}

/// One finish of a lease, one end of a job, none of either once another has the job, and what was told is there.
fn finishes(job: i64, leases: &[&Lease], end: Option<&End>, wrong: &mut Vec<String>) {
    let ends = leases.iter().flat_map(|lease| &lease.finishes).filter(|finish| finish.ended()).count();
    if ends > 1 {
        wrong.push(format!("job {job}: ended {ends} times"));
    }
    for (place, lease) in leases.iter().enumerate() {
        let next = leases[place + 1..].iter().find(|next| next.from > lease.from);
        let accepted = lease.finishes.iter().filter(|finish| finish.accepted()).count();
        if accepted > 1 {
            wrong.push(format!("job {job}: {accepted} finishes accepted under {}", lease.token));
        }
        for (nth, finish) in lease.finishes.iter().enumerate() {
            let asked_before = || lease.finishes[..nth].iter().any(|before| before.how == finish.how);
            match finish.outcome() {
                "" | "completed" | "failed" | "pending" | "lease_lost" => {}
                "unchanged" if asked_before() => {}
                other => wrong.push(format!("job {job}: told {other} for {:?}", finish.how)),
            }
            if let (Some(next), Some(told)) = (next, &finish.told) {
                if finish.asked_at > next.from && told.outcome != "lease_lost" {
                    let (outcome, token, since) = (&told.outcome, &next.token, next.from);
                    wrong.push(format!("job {job}: told {outcome}, though {token} had the job since {since}"));
                }
                if finish.ended() {
                    wrong.push(format!("job {job}: {} under {}, and leased again", told.outcome, lease.token));
                }
            }
            if finish.ended() {
                let outcome = finish.outcome();
                let kept = end.is_some_and(|end| {
                    end.status == outcome && (outcome != "completed" || end.result.as_deref() == Some(&lease.token))
                });
                if !kept {
                    wrong.push(format!("job {job}: told {outcome} under {}, and the table has {end:?}", lease.token));
                }
            }
        }
    }
}

/// What was created is there and has ended, and nothing else is there.
fn creations(entries: &[Entry], table: &BTreeMap<i64, End>, wrong: &mut Vec<String>) {
    let mut told: HashSet<i64> = HashSet::new();
    let mut asked: HashSet<&str> = HashSet::new();
    for entry in entries {
        match entry {
            Entry::Created { job, .. } => {
                told.insert(*job);
            }
            Entry::CreateAsked { key, .. } => {
                asked.insert(key);
            }
            _ => {}
        }
    }
    for job in &told {
        match table.get(job).map(|end| end.status.as_str()) {
            Some("completed" | "failed" | "cancelled") => {}
            Some(status) => wrong.push(format!("job {job}: still {status}")),
            None => wrong.push(format!("job {job}: created, and lost")),
        }
    }
    for (job, end) in table.iter().filter(|(job, _)| !told.contains(job)) {
        if !end.key.as_deref().is_some_and(|key| asked.contains(key)) {
            wrong.push(format!("job {job}: there, and nobody created it"));
        }
    }
}

/// A job ended because somebody said so, or because its attempts were used up.
fn causes(job: i64, end: &End, leases: &[&Lease], wrong: &mut Vec<String>) {
    let said = |how: &[How], token: Option<&str>| {
        let of_token = leases.iter().filter(|lease| token.is_none_or(|token| lease.token == token));
        of_token.flat_map(|lease| &lease.finishes).any(|finish| how.contains(&finish.how))
    };
    let has_cause = match end.status.as_str() {
        "completed" => end.result.as_deref().is_some_and(|token| said(&[How::Complete], Some(token))),
        "failed" if end.error.as_deref() == Some(EXPIRED) => end.attempt >= end.max_attempts,
        "failed" => said(&[How::Fail, How::FailForGood], None),
        "cancelled" => false,
        _ => true,
    };
    if !has_cause {
        wrong.push(format!("job {job}: {} without a cause: {end:?}", end.status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leased(token: &str, from: i64, until: i64) -> Entry {
        Entry::Leased { job: 1, token: token.into(), from, until }
    }

    fn asked(token: &str, at: i64, how: How) -> Entry {
        Entry::FinishAsked { at, job: 1, token: token.into(), how }
    }

    fn told(token: &str, at: i64, how: How, outcome: &str) -> Entry {
        Entry::FinishTold { at, job: 1, token: token.into(), how, outcome: outcome.into() }
    }

    fn completed(token: &str) -> End {
        End {
            status: "completed".into(),
            result: Some(token.into()),
            error: None,
            key: None,
            attempt: 1,
            max_attempts: 25,
        }
    }

    /// Judges the ledgers of a job 1 that was created.
    fn judge(entries: &[Entry], end: Option<End>) -> Vec<String> {
        let mut all = vec![Entry::Created { job: 1, key: None }];
        all.extend_from_slice(entries);
        violations(&all, &end.into_iter().map(|end| (1, end)).collect())
    }

    #[track_caller]
    fn assert_wrong(entries: &[Entry], end: Option<End>, what: &str) {
        let wrong = judge(entries, end);
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{what} is not in {wrong:#?}");
    }

    const COMPLETE: How = How::Complete;

    #[test]
    fn a_job_that_is_lost_taken_over_and_completed_is_in_order() {
        let entries = [
            leased("a", 0, 100),
            Entry::BeatTold { job: 1, token: "a".into(), until: Some(200) },
            leased("b", 200, 300),
            asked("a", 250, COMPLETE),
            told("a", 255, COMPLETE, "lease_lost"),
            asked("b", 260, How::Fail),
            told("b", 261, How::Fail, "pending"),
            leased("c", 262, 362),
            // The reply was lost.
            asked("c", 270, COMPLETE),
            asked("c", 280, COMPLETE),
            told("c", 281, COMPLETE, "unchanged"),
        ];
        assert_eq!(judge(&entries, Some(completed("c"))), Vec::<String>::new());
    }

    #[test]
    fn two_valid_leases_at_a_time_are_found() {
        let end = [asked("b", 95, COMPLETE), told("b", 95, COMPLETE, "completed")];
        let with = |entries: &[Entry]| [entries, &end].concat();
        assert_wrong(&with(&[leased("a", 0, 100), leased("b", 90, 190)]), Some(completed("b")), "leased from 90");
        // Extended by a heartbeat.
        let beat = Entry::BeatTold { job: 1, token: "a".into(), until: Some(92) };
        assert_wrong(&with(&[leased("a", 0, 50), beat, leased("b", 90, 190)]), Some(completed("b")), "leased from 90");
        // A long one over two short ones.
        let three = [leased("a", 0, 100), leased("x", 10, 20), leased("b", 90, 190)];
        assert_wrong(&with(&three), Some(completed("b")), "leased from 90");
    }

    #[test]
    fn only_a_fresh_claim_that_no_finish_followed_may_be_lost_with_the_server() {
        let then = |first: &[Entry]| {
            let rest = [
                Entry::Killed { at: 2_000_000 },
                leased("b", 2_500_000, 4_000_000),
                asked("b", 2_600_000, COMPLETE),
                told("b", 2_600_000, COMPLETE, "completed"),
                asked("a", 2_700_000, COMPLETE),
                told("a", 2_700_000, COMPLETE, "lease_lost"),
            ];
            [first, &rest].concat()
        };
        assert_eq!(judge(&then(&[leased("a", 1_500_000, 3_000_000)]), Some(completed("b"))), Vec::<String>::new());
        let old = [leased("a", 900_000, 3_000_000)];
        assert_wrong(&then(&old), Some(completed("b")), "leased from 2500000");
        let beat = Entry::BeatTold { job: 1, token: "a".into(), until: Some(3_100_000) };
        let beaten = then(&[leased("a", 1_500_000, 3_000_000), beat]);
        assert_eq!(judge(&beaten, Some(completed("b"))), Vec::<String>::new());
    }

    #[test]
    fn a_lease_that_was_given_back_ends_before_it_expires() {
        let entries = [
            leased("a", 0, 100),
            asked("a", 10, How::Release),
            told("a", 11, How::Release, "pending"),
            leased("b", 12, 112),
            asked("b", 20, COMPLETE),
            told("b", 21, COMPLETE, "completed"),
        ];
        assert_eq!(judge(&entries, Some(completed("b"))), Vec::<String>::new());
    }

    #[test]
    fn a_token_that_is_given_out_twice_is_found() {
        assert_wrong(&[leased("a", 0, 100), leased("a", 200, 300)], None, "given out twice");
    }

    #[test]
    fn a_second_accepted_finish_is_found() {
        let twice = [
            leased("a", 0, 100),
            asked("a", 10, COMPLETE),
            told("a", 10, COMPLETE, "completed"),
            asked("a", 20, COMPLETE),
            told("a", 20, COMPLETE, "completed"),
        ];
        assert_wrong(&twice, Some(completed("a")), "ended 2 times");
        assert_wrong(&twice, Some(completed("a")), "2 finishes accepted");
        let of_two = [
            leased("a", 0, 100),
            leased("b", 100, 200),
            asked("a", 90, COMPLETE),
            told("a", 90, COMPLETE, "completed"),
            asked("b", 150, COMPLETE),
            told("b", 150, COMPLETE, "completed"),
        ];
        assert_wrong(&of_two, Some(completed("b")), "ended 2 times");
        assert_wrong(&of_two, Some(completed("b")), "completed under a, and leased again");
    }

    #[test]
    fn a_finish_that_is_accepted_after_another_has_the_job_is_found() {
        let late = [
            leased("a", 0, 100),
            leased("b", 100, 200),
            asked("a", 150, How::Release),
            told("a", 150, How::Release, "pending"),
            asked("b", 160, COMPLETE),
            told("b", 160, COMPLETE, "completed"),
        ];
        assert_wrong(&late, Some(completed("b")), "told pending, though b had the job");
    }

    #[test]
    fn unchanged_for_what_was_never_said_is_found() {
        let entries = [leased("a", 0, 100), asked("a", 10, COMPLETE), told("a", 10, COMPLETE, "unchanged")];
        assert_wrong(&entries, Some(completed("a")), "told unchanged");
    }

    #[test]
    fn an_acknowledged_finish_that_is_missing_is_found() {
        let entries = [leased("a", 0, 100), asked("a", 10, COMPLETE), told("a", 10, COMPLETE, "completed")];
        let pending = End { status: "pending".into(), result: None, ..completed("a") };
        assert_wrong(&entries, Some(pending.clone()), "told completed under a");
        assert_wrong(&entries, Some(pending), "still pending");
        assert_wrong(&entries, Some(completed("b")), "told completed under a");
        assert_wrong(&entries, None, "told completed under a");
    }

    #[test]
    fn jobs_that_are_lost_or_come_from_nowhere_are_found() {
        assert_wrong(&[], None, "created, and lost");
        let nobody = violations(&[], &BTreeMap::from([(2, completed("a"))]));
        assert!(nobody.iter().any(|wrong| wrong.contains("nobody created it")), "{nobody:?}");
        let key = "k".to_owned();
        let unanswered = Entry::CreateAsked { at: 0, key: key.clone() };
        let failed = End { status: "running".into(), key: Some(key), ..completed("a") };
        assert_eq!(violations(&[unanswered], &BTreeMap::from([(2, failed)])), Vec::<String>::new());
    }

    #[test]
    fn an_end_without_a_cause_is_found() {
        assert_wrong(&[leased("a", 0, 100)], Some(completed("a")), "without a cause");
        let failed = End { status: "failed".into(), error: Some(EXPIRED.into()), ..completed("a") };
        assert_wrong(&[leased("a", 0, 100)], Some(failed.clone()), "without a cause");
        let used_up = End { attempt: 25, ..failed };
        assert_eq!(judge(&[leased("a", 0, 100)], Some(used_up)), Vec::<String>::new());
    }

    #[test]
    fn a_heartbeat_that_shortens_a_lease_is_found() {
        let beat = Entry::BeatTold { job: 1, token: "a".into(), until: Some(50) };
        let end = [asked("a", 10, COMPLETE), told("a", 10, COMPLETE, "completed")];
        assert_wrong(&[&[leased("a", 0, 100), beat], &end[..]].concat(), Some(completed("a")), "shorter");
    }
}
