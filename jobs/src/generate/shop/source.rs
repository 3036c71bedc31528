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

#[cfg(test)]
mod tests {
    use engine::batch::build::{RAW_KEY, RAW_VALUE};
    use engine::clock::Moment;
    use engine::source::{PollBudget, Polled, SourceFactory as _, Start};

    use super::super::Settings;
    use super::*;
    use crate::generate::source::Pace;

    #[test]
    fn the_bootstrap_comes_however_late_and_the_rest_is_passed_over() {
        let generator = Generator::new(Settings { fault_share: 0, ..Settings::default() });
        let first = generator.bootstrap_records();
        let factory = ShopSourceFactory { generator, pace: Pace::Arrival { catch_up_ms: 1_000 } };
        let late_ms = factory.generator.settings().start_ms + 3_600_000;
        let mut source = factory.create().unwrap();
        let now = Moment { wall_ms: late_ms, tick_us: 0 };
        let partitions = source.discover(now).unwrap().expect("known at once");
        source.open(&partitions[0], &Start::Earliest).unwrap();
        let mut numbers = Vec::new();
        while let Polled::Rows(batch) = source.poll(PollBudget { rows: 300, bytes: 1 << 20 }, now) {
            for row in batch.rows.rows() {
                let table = std::str::from_utf8(row.bytes(RAW_KEY).unwrap()).unwrap();
                let value = std::str::from_utf8(row.bytes(RAW_VALUE).unwrap()).unwrap();
                assert!(value.contains(&format!(r#""table":"{table}""#)), "{table}: {value}");
                numbers.push(row.order().position);
            }
        }
        let (kept, live) = numbers.split_at(usize::try_from(first).unwrap());
        assert!(kept.iter().copied().eq(0..first));
        // 3599 s at 200 records a second were passed over, one second is caught up with.
        let begin = first + 3_599 * 200;
        assert!(live.iter().copied().eq(begin..=begin + 200), "{:?}", live.first());
    }
}
