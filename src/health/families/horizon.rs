//! Who keeps VACUUM from removing dead rows.

use super::sessions::{Kind, Session, Sessions};
use crate::pg::datum::{Timestamptz, quoted};
use crate::pg::document::Member;
use crate::pg::spi::{Connection, Row, Statement};
use crate::pg::{names, process, setting, xact};
use std::cmp::Reverse;

/// One of them, with the oldest transaction that VACUUM has to think of for it.
#[derive(Debug)]
pub struct Holder {
    kind: HolderKind,
    /// How it is called.
    pub name: String,
    pub application: Option<String>,
    pub state: Option<String>,
    database: Option<u32>,
    since: Option<i64>,
    /// How many transactions ago that one began, and the holder's own, if it has one.
    pub transactions: i32,
    own: Option<i32>,
    /// Whether it only has from somebody else what it holds: ending it alone would change nothing.
    pub is_echo: bool,
    /// What ends it.
    pub remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HolderKind {
    Session,
    /// A standby's feedback, by its walsender.
    Standby,
    Prepared,
    Slot,
    /// A slot, of what it needs of the catalogs.
    SlotOfCatalogs,
}

static PREPARED: Statement =
    Statement::new(c"SELECT p.gid, p.prepared, p.dbid, p.transaction FROM pg_catalog.pg_prepared_xact() AS p", &[]);

static SLOTS: Statement = Statement::new(
    c"SELECT s.slot_name, s.active, s.datoid, s.xmin, s.catalog_xmin FROM pg_catalog.pg_get_replication_slots() AS s",
    &[],
);

const ON_A_STANDBY: &str = "-- There, end the oldest transaction of: SELECT pid, xact_start FROM pg_stat_activity ORDER BY \
                            backend_xmin IS NULL, xact_start;";

/// All of them, the worst first, echoes last.
pub fn holders(sessions: &Sessions, connection: &Connection) -> Vec<Holder> {
    let mut holders: Vec<Holder> = sessions.processes.iter().filter_map(Holder::of_process).collect();
    if setting::number(c"max_prepared_transactions") > 0 {
        holders.extend(connection.run(&PREPARED, &[]).iter().filter_map(|row| Holder::of_prepared(&row)));
    }
    if setting::number(c"max_replication_slots") > 0 {
        holders.extend(connection.run(&SLOTS, &[]).iter().flat_map(|row| Holder::of_slot(&row)));
    }
    mark_echoes(&mut holders, process::database());
    holders.sort_by_cached_key(|holder| {
        (holder.is_echo, Reverse(holder.transactions), holder.since.unwrap_or(i64::MAX), holder.name.clone())
    });
    holders
}

/// What came from somebody else is an echo: a session's snapshot that is as old as another's transaction, and a standby's
/// feedback, or the slot that keeps it, that is no older than a transaction here.
fn mark_echoes(holders: &mut [Holder], here: u32) {
    let oldest = |database: Option<u32>, age: fn(&Holder) -> Option<i32>| {
        holders.iter().filter(|holder| holder.database == database).filter_map(age).max()
    };
    let oldest_here = oldest(Some(here), |holder| {
        matches!(holder.kind, HolderKind::Session | HolderKind::Prepared).then_some(holder.transactions)
    });
    let is_echo = |holder: &Holder| match holder.kind {
        HolderKind::Prepared => false,
        HolderKind::Session => {
            let oldest_own = oldest(holder.database, |holder| holder.own);
            holder.own < Some(holder.transactions) && Some(holder.transactions) <= oldest_own
        }
        _ => Some(holder.transactions) <= oldest_here,
    };
    let echoes: Vec<bool> = holders.iter().map(is_echo).collect();
    holders.iter_mut().zip(echoes).for_each(|(holder, is_echo)| holder.is_echo = is_echo);
}

impl Holder {
    /// VACUUM does not wait for VACUUM, nor for a walsender that decodes. A parallel worker has the snapshot of its session,
    /// and goes with it. What is no client's is nobody's to end: autovacuum comes again.
    fn of_process(process: &Session) -> Option<Holder> {
        let own = process.xid.map(xact::age);
        let transactions = process.xmin.map(xact::age).max(own)?;
        if process.is_own || process.kind == Kind::ParallelWorker || process::is_passed_over_by_vacuum(process.pid) {
            return None;
        }
        let (kind, name, remedy) = match process.kind {
            Kind::Sender => {
                let name = format!("standby {} ({})", process.application, process.name());
                (HolderKind::Standby, name, Some(ON_A_STANDBY.to_owned()))
            }
            _ => (HolderKind::Session, process.name(), process.remedy()),
        };
        Some(Holder {
            application: Some(process.application.clone()),
            state: Some(process.state.clone()).filter(|state| !state.is_empty()),
            database: process.database,
            since: process.xact_start.map(Timestamptz::microseconds),
            own,
            remedy,
            ..Holder::new(kind, name, transactions)
        })
    }

    fn of_prepared(row: &Row<'_>) -> Option<Holder> {
        let gid = row.text(1)?;
        let transactions = xact::age(row.number(4)?);
        let database = row.number(3);
        Some(Holder {
            database,
            since: row.time(2).map(Timestamptz::microseconds),
            own: Some(transactions),
            remedy: Some(prepared_remedy(&gid, &database.and_then(names::database).unwrap_or_default())),
            ..Holder::new(HolderKind::Prepared, prepared_name(&gid), transactions)
        })
    }

    /// One for rows, and one for those of catalogs.
    fn of_slot(row: &Row<'_>) -> Vec<Holder> {
        let slot = row.text(1).unwrap_or_default();
        let is_active = row.boolean(2);
        let remedy = if is_active { ON_A_STANDBY.to_owned() } else { slot_remedy(&slot) };
        let held =
            [(HolderKind::Slot, None, row.number(4)), (HolderKind::SlotOfCatalogs, row.number(3), row.number(5))];
        let holder = |(kind, database, xmin): (HolderKind, Option<u32>, Option<u32>)| {
            Some(Holder {
                state: Some(if is_active { "active" } else { "inactive" }.to_owned()),
                database,
                remedy: Some(remedy.clone()),
                ..Holder::new(kind, format!("slot {slot}"), xact::age(xmin?))
            })
        };
        held.into_iter().filter_map(holder).collect()
    }

    fn new(kind: HolderKind, name: String, transactions: i32) -> Holder {
        Holder {
            kind,
            name,
            application: None,
            state: None,
            database: None,
            since: None,
            transactions,
            own: None,
            is_echo: false,
            remedy: None,
        }
    }

    /// For how many seconds its transaction has been open.
    pub fn seconds(&self) -> Option<f64> {
        self.since.map(|since| (xact::clock() - since) as f64 / 1e6)
    }

    /// Whether it counts in this database. Sessions of another one keep only what all databases share.
    pub fn counts_here(&self) -> bool {
        match self.kind {
            HolderKind::Slot | HolderKind::SlotOfCatalogs => true,
            _ => self.database.is_none_or(|database| database == process::database()),
        }
    }

    /// Where it counts.
    pub fn affects(&self) -> String {
        let database = match self.kind {
            HolderKind::SlotOfCatalogs => return "catalogs".to_owned(),
            HolderKind::Slot => None,
            _ => self.database.and_then(names::database),
        };
        database.unwrap_or_else(|| "all databases".to_owned())
    }

    /// As a row of foreman.horizon_holders, and one of the check's subjects.
    pub fn told(&self) -> Member {
        let text = |text: Option<&str>| Member::Value(text.into());
        let seconds = self.seconds().map(|seconds| (seconds * 10.0).round() / 10.0);
        Member::Object(vec![
            ("holder", text(Some(&self.name))),
            ("application", text(self.application.as_deref())),
            ("state", text(self.state.as_deref())),
            ("transactions", Member::Value(self.transactions.into())),
            ("seconds", Member::Value(seconds.into())),
            ("affects", text(Some(&self.affects()))),
            ("is_echo", Member::Value(self.is_echo.into())),
            ("remedy", text(self.remedy.as_deref())),
        ])
    }
}

/// How a prepared transaction is called.
pub fn prepared_name(gid: &str) -> String {
    format!("prepared transaction {}", quoted(gid))
}

/// What ends one.
pub fn prepared_remedy(gid: &str, database: &str) -> String {
    format!(
        "ROLLBACK PREPARED {}; -- or COMMIT PREPARED, in database {}, by its owner or a superuser; what it did is lost",
        quoted(gid),
        names::identifier(database)
    )
}

/// What ends a slot.
fn slot_remedy(slot: &str) -> String {
    format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {} AND NOT active; \
         -- whoever used it has to begin anew; takes REPLICATION",
        quoted(slot)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 5;

    /// One of this age in a database, whose own transaction is so old.
    fn holder(kind: HolderKind, database: Option<u32>, transactions: i32, own: Option<i32>) -> Holder {
        Holder { database, own, ..Holder::new(kind, String::new(), transactions) }
    }

    /// Which of them are echoes.
    fn echoes(mut holders: Vec<Holder>) -> Vec<bool> {
        mark_echoes(&mut holders, HERE);
        holders.iter().map(|holder| holder.is_echo).collect()
    }

    #[test]
    fn a_snapshot_that_is_as_old_as_anothers_transaction_is_an_echo() {
        let session = |database, transactions, own| holder(HolderKind::Session, Some(database), transactions, own);
        assert_eq!(echoes(vec![session(HERE, 9, Some(9)), session(HERE, 9, Some(3))]), [false, true]);
        assert_eq!(
            echoes(vec![session(HERE, 9, Some(9)), session(HERE, 10, None)]),
            [false, false],
            "an older snapshot"
        );
        assert_eq!(echoes(vec![session(HERE, 9, Some(9)), session(6, 9, None)]), [false, false], "another database");
        assert_eq!(
            echoes(vec![session(HERE, 9, None), session(HERE, 9, None)]),
            [false, false],
            "nobody's transaction"
        );
    }

    #[test]
    fn a_slot_or_a_standby_that_is_no_older_than_what_is_held_here_is_an_echo() {
        let prepared = || holder(HolderKind::Prepared, Some(HERE), 9, Some(9));
        for kind in [HolderKind::Slot, HolderKind::SlotOfCatalogs, HolderKind::Standby] {
            assert_eq!(echoes(vec![prepared(), holder(kind, None, 9, None)]), [false, true], "{kind:?}");
            assert_eq!(echoes(vec![prepared(), holder(kind, None, 10, None)]), [false, false], "{kind:?}");
            assert_eq!(echoes(vec![holder(kind, None, 9, None)]), [false], "{kind:?} alone");
        }
    }
}
