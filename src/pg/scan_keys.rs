//! What a walk over rows asks of its index, as the server has it.

use pgrx::pg_sys;

/// What a walk asks of its index. Comparisons are those of the columns' types, one column after the other.
pub enum Key {
    /// Of the next column.
    Column { strategy: u32, function: u32, datum: pg_sys::Datum },
    /// Of the next two together, a `timestamptz` and a `bigint`.
    Place { strategy: u32, at: i64, id: i64 },
}

impl Key {
    /// An `integer` column equals this.
    pub fn integer(value: i32) -> Key {
        let (strategy, function) = (pg_sys::BTEqualStrategyNumber, pg_sys::F_INT4EQ);
        Key::Column { strategy, function, datum: value.into() }
    }

    /// A `smallint` column equals this.
    pub fn smallint(value: i16) -> Key {
        let (strategy, function) = (pg_sys::BTEqualStrategyNumber, pg_sys::F_INT2EQ);
        Key::Column { strategy, function, datum: value.into() }
    }

    /// A `bigint` column equals this.
    pub fn bigint(value: i64) -> Key {
        let (strategy, function) = (pg_sys::BTEqualStrategyNumber, pg_sys::F_INT8EQ);
        Key::Column { strategy, function, datum: value.into() }
    }

    /// A `timestamptz` column is no less than this. The last key of a walk.
    pub fn time_from(at: i64) -> Key {
        let (strategy, function) = (pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_TIMESTAMPTZ_GE);
        Key::Column { strategy, function, datum: at.into() }
    }

    /// A `timestamptz` column and the `bigint` column behind it are, as a row, no less than these.
    pub fn place_from(at: i64, id: i64) -> Key {
        Key::Place { strategy: pg_sys::BTGreaterEqualStrategyNumber, at, id }
    }

    /// The same, no greater than these.
    pub fn place_to(at: i64, id: i64) -> Key {
        Key::Place { strategy: pg_sys::BTLessEqualStrategyNumber, at, id }
    }
}

/// Most keys of a walk.
const MAX_KEYS: usize = 4;

/// The keys of a walk as the server has them. What compares rows points to the comparisons of the columns, which have to
/// stay where they are.
#[derive(Default)]
pub struct ScanKeys {
    pub keys: [pg_sys::ScanKeyData; MAX_KEYS],
    columns: Box<[[pg_sys::ScanKeyData; 2]; MAX_KEYS]>,
    pub count: usize,
    /// Whether the walk asks where entries are.
    pub has_places: bool,
}

impl ScanKeys {
    /// Puts keys in the place of those that were there.
    pub fn set(&mut self, keys: &[Key]) {
        debug_assert!(keys.len() <= MAX_KEYS);
        let mut number = 1;
        self.count = keys.len().min(MAX_KEYS);
        for (place, key) in keys.iter().take(MAX_KEYS).enumerate() {
            match *key {
                Key::Column { strategy, function, datum } => {
                    let key = &mut self.keys[place];
                    // SAFETY: the key is ours; the function compares two values of the column's type.
                    unsafe { pg_sys::ScanKeyInit(key, number, strategy as u16, function.into(), datum) };
                    self.has_places |= strategy != pg_sys::BTEqualStrategyNumber;
                    number += 1;
                }
                Key::Place { strategy, at, id } => {
                    let key = &mut self.columns[place];
                    let [first, second] = key;
                    let compare = [(pg_sys::F_TIMESTAMPTZ_CMP, at), (pg_sys::F_BTINT8CMP, id)];
                    for (offset, (key, (function, value))) in [first, second].into_iter().zip(compare).enumerate() {
                        let number = number + offset as i16;
                        // SAFETY: as above; of rows, the operator class's own comparison.
                        unsafe { pg_sys::ScanKeyInit(key, number, strategy as u16, function.into(), value.into()) };
                        key.sk_flags = pg_sys::SK_ROW_MEMBER as i32 | [0, pg_sys::SK_ROW_END as i32][offset];
                    }
                    self.keys[place] = pg_sys::ScanKeyData {
                        sk_flags: pg_sys::SK_ROW_HEADER as i32,
                        sk_attno: number,
                        sk_strategy: strategy as u16,
                        sk_argument: pg_sys::Datum::from(key.as_mut_ptr()),
                        ..Default::default()
                    };
                    self.has_places = true;
                }
            }
        }
    }
}
