//! What the generators have in common: numbered records that a source can give out.
//!
//! Record `n` MUST be a pure function of the generator and `n`; everything else, continuing from a
//! saved position above all, rests on it.

use super::{Cursor, Generator};

/// A generator whose records can be had from any number on.
pub trait Numbered: Clone + Send + Sync + 'static {
    /// A place in the stream.
    type Cursor: Send;

    /// Name of the one partition.
    const PARTITION: &'static str;

    /// For messages, such as `generator with seed 1`.
    fn describe(&self) -> String;

    /// How many records there are; `None` = no end.
    fn records(&self) -> Option<u64>;

    /// How many records from the first one on are never passed over, however late it is.
    fn kept(&self) -> u64 {
        0
    }

    /// When record `number` comes, in milliseconds since the epoch; MUST NOT fall with the number.
    fn arrival_ms(&self, number: u64) -> i64;

    /// A cursor before record `number`; MUST be cheap.
    fn open(&self, number: u64) -> Self::Cursor;

    /// The number of the record that comes next.
    fn number(cursor: &Self::Cursor) -> u64;

    /// Appends the next record to `value` and its key to `key`, which are empty; whether it has a key,
    /// or `None` behind the last record.
    fn next(cursor: &mut Self::Cursor, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Option<bool>;
}

impl Numbered for Generator {
    type Cursor = Cursor;
    const PARTITION: &'static str = "generator/0";

    fn describe(&self) -> String {
        format!("generator with seed {}", self.settings().seed)
    }

    fn records(&self) -> Option<u64> {
        self.settings().records
    }

    fn arrival_ms(&self, number: u64) -> i64 {
        Self::arrival_ms(self, number)
    }

    fn open(&self, number: u64) -> Cursor {
        Self::open(self, number)
    }

    fn number(cursor: &Cursor) -> u64 {
        cursor.number()
    }

    fn next(cursor: &mut Cursor, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Option<bool> {
        let range = cursor.next(value)?.key;
        let found = range.and_then(|range| value.get(range));
        key.extend_from_slice(found.unwrap_or_default());
        Some(found.is_some())
    }
}
