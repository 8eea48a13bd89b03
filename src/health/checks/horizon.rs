//! Who keeps VACUUM from removing dead rows.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::health::families::horizon::{self, Holder};
use crate::health::families::sessions::Sessions;
use crate::jobs::live::LIVE_JOB;
use crate::pg::activity;
use crate::pg::datum::quoted;
use crate::pg::document::Member;
use crate::pg::spi::Connection;

pub const CHECK: Check = Check {
    name: "horizon",
    unit: "transactions",
    direction: Direction::Above,
    warn: Some(1_000_000.0),
    fail: Some(100_000_000.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How many transactions ago the oldest one began that VACUUM has to think of in this database: rows that died since \
            then can't be removed. It may be held by a session, a prepared transaction, a replication slot or a standby's \
            query (hot_standby_feedback).",
    advice: "End what holds it, by the remedy; foreman.horizon shows all holders. Dropping a slot that only repeats what \
             a session holds changes nothing: such echoes are told apart. Claims of foreman stay fast for as long as it lasts, \
             tables grow.",
    run: Run::Sessions(measure),
};

/// How many are told of.
const TOLD: usize = 10;

fn measure(sessions: &Sessions, connection: &Connection) -> Option<Measure> {
    let holders: Vec<Holder> =
        horizon::holders(sessions, connection).into_iter().filter(Holder::counts_here).take(TOLD).collect();
    let worst = holders.first().filter(|holder| !holder.is_echo);
    Some(Measure {
        value: Some(worst.map_or(0.0, |holder| f64::from(holder.transactions))),
        meaning: Some(worst.map_or_else(|| "Nothing keeps VACUUM from removing dead rows.".to_owned(), meaning)),
        remedy: worst.and_then(|holder| holder.remedy.clone()),
        subjects: Member::list(holders.iter().map(Holder::told).collect()),
        culprit: worst.map(|holder| holder.name.clone()),
        ..Measure::default()
    })
}

/// What it means that this one is the worst.
fn meaning(holder: &Holder) -> String {
    let application = holder.application.iter().filter(|application| !application.is_empty());
    let application = application.map(|application| format!("application {}", quoted(application)));
    let seconds = holder.seconds().map(|seconds| format!("{seconds:.1} s"));
    let known: Vec<String> = application.chain(holder.state.clone()).chain(seconds).collect();
    let known = if holder.state.is_some() { format!(" ({})", known.join(", ")) } else { String::new() };
    format!(
        "{}{known} holds back the removal of rows that died in the last {} transactions ({}). foreman.live_job has {} dead \
         rows.",
        holder.name,
        holder.transactions,
        holder.affects(),
        activity::dead_rows(LIVE_JOB.oid())
    )
}
