//! The shop's changes as a source of the engine, keyed by the name of the table.

use super::{Cursor, Generator};
use crate::generate::numbered::Numbered;
use crate::generate::source::NumberedSourceFactory;

/// Makes sources of the shop's changes. However late it is, the bootstrap is never passed over.
pub type ShopSourceFactory = NumberedSourceFactory<Generator>;

impl Numbered for Generator {
    type Cursor = Cursor;
    const PARTITION: &'static str = "shop/0";

    fn describe(&self) -> String {
        format!("shop with seed {}", self.settings().seed)
    }

    fn records(&self) -> Option<u64> {
        self.settings().records
    }

    fn kept(&self) -> u64 {
        self.bootstrap_records()
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
        let table = cursor.next(value)?.table;
        key.extend_from_slice(table.unwrap_or_default().as_bytes());
        Some(table.is_some())
    }
}
