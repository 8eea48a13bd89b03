//! How full the disks are that the server writes to.

use crate::health::check::{Check, Direction, Measure, Run, Status, decimals};
use crate::pg::disk::{self, Room};
use crate::pg::document::Member;
use crate::pg::spi::{Connection, Statement};
use pgrx::pg_sys;
use serde_json::Value;

pub const CHECK: Check = Check {
    name: "disk_space",
    unit: "percent",
    direction: Direction::Above,
    warn: Some(90.0),
    fail: Some(95.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How full the fullest file system is that holds the data directory, pg_wal or a tablespace, as df tells it. \
            Without room for WAL the server stops.",
    advice: "Make room, or have the disk grow. What keeps WAL: see the checks archiver, inactive_slots and \
             replication_backlog. Never delete in pg_wal.",
    run: Run::Fast(measure),
};

static TABLESPACES: Statement =
    Statement::new(c"SELECT t.oid, t.spcname FROM pg_catalog.pg_tablespace AS t", &[]);

/// Where the server writes, and the room that is there. Where that lies is not told: paths are not for everybody.
struct Place {
    name: String,
    room: Option<Room>,
}

/// Asks the system for the room of each place.
fn measure(connection: &Connection) -> Option<Measure> {
    let place = |name: String, path: &str| Place { name, room: disk::room(path) };
    let mut places = vec![place("the data directory".to_owned(), ""), place("pg_wal".to_owned(), "pg_wal")];
    let built_in = [pg_sys::DEFAULTTABLESPACE_OID, pg_sys::GLOBALTABLESPACE_OID].map(pg_sys::Oid::to_u32);
    let tablespaces = connection.run(&TABLESPACES, &[]);
    let own = tablespaces.iter().filter(|row| row.number(1).is_some_and(|oid| !built_in.contains(&oid)));
    places.extend(own.filter_map(|row| {
        Some(place(format!("tablespace {}", row.text(2)?), &format!("pg_tblspc/{}", row.number(1)?)))
    }));
    places.sort_by(|one, other| other.percent().total_cmp(&one.percent()).then_with(|| one.name.cmp(&other.name)));
    let untold: Vec<&str> = places.iter().filter(|place| place.room.is_none()).map(|place| place.name.as_str()).collect();
    let fullest = places.first().and_then(|place| Some((&place.name, place.room?)));
    Some(Measure {
        value: fullest.map(|(_, room)| room.percent()),
        meaning: fullest.map(|(name, room)| {
            let (percent, free) = (room.percent(), disk::pretty(room.free));
            format!("The fullest file system is that of {name}: {percent:.1} percent, {free} free.")
        }),
        remedy: fullest.map(|(name, _)| format!("Make room where {name} lies; never delete in pg_wal.")),
        reason: (!untold.is_empty()).then(|| format!("the system does not tell the room of {}", untold.join(", "))),
        subjects: Member::list(places.iter().map(Place::subject).collect()),
        ..Measure::default()
    })
}

impl Place {
    /// How full it is; where that is not known, less than any.
    fn percent(&self) -> f64 {
        self.room.map_or(-1.0, Room::percent)
    }

    /// As one of the check's subjects.
    fn subject(&self) -> Member {
        let null = || Member::Value(Value::Null);
        Member::Object(vec![
            ("place", Member::Value(self.name.as_str().into())),
            ("percent", self.room.map_or_else(null, |room| decimals(room.percent(), 1))),
            ("free_bytes", self.room.map_or_else(null, |room| Member::Value(room.free.into()))),
        ])
    }
}
