//! Watermarks: how far event time has come, per partition and per operator input.
//!
//! A partition's watermark `wm` promises that no row with time <= `wm` follows. It is the greatest
//! time so far minus the bound minus 1 ms, and never goes back. Of an operator input, `W(e)` is the
//! least watermark of the partitions upstream that are not idle, taken at the close of epoch `e`.
//! A partition that has shown no row yet holds `W` back until it is idle or has ended; otherwise
//! the first partition to speak would make the others late.

use std::collections::BTreeMap;

/// Before any row.
pub const MIN: i64 = i64::MIN;
/// After the end of a bounded source.
pub const MAX: i64 = i64::MAX;

/// What a partition says of itself at a cut; sent to all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WatermarkRow {
    /// Identity of the source: unique in the process, same on all workers.
    pub source: u64,
    /// Ordinal of the partition.
    pub partition: u32,
    /// Its watermark in milliseconds; [`MIN`] before the first row, [`MAX`] after the end.
    pub watermark: i64,
    /// Whether it has been silent for the idle time-out.
    pub idle: bool,
}

/// Watermarks of all partitions upstream of one operator input.
#[derive(Debug, Clone, Default)]
pub struct WatermarkTable {
    partitions: BTreeMap<(u64, u32), (i64, bool)>,
    current: Option<i64>,
}

impl WatermarkTable {
    /// Takes note of one partition.
    pub fn set(&mut self, row: WatermarkRow) {
        let entry = self.partitions.entry((row.source, row.partition)).or_insert((MIN, false));
        // Invariant: a partition's watermark never goes back.
        entry.0 = entry.0.max(row.watermark);
        entry.1 = row.idle;
    }

    /// Evaluates `W` at the close of an epoch; call once per close, after the epoch's rows are set.
    pub fn advance(&mut self) -> i64 {
        let active = self.partitions.values().filter(|(_, idle)| !idle);
        let least = active.map(|(watermark, _)| *watermark).min();
        let before = self.current.unwrap_or(MIN);
        // All idle: W holds. A partition that wakes up never takes W back.
        let now = least.unwrap_or(before).max(before);
        self.current = Some(now);
        now
    }

    /// `W` of the last close; [`MIN`] before the first.
    pub fn current(&self) -> i64 {
        self.current.unwrap_or(MIN)
    }

    /// Sets `W` as restored from a checkpoint.
    pub fn restore(&mut self, watermark: i64) {
        self.current = Some(watermark);
    }
}

/// `time` minus `delay`, except that the two ends stay where they are.
pub fn minus(time: i64, delay_ms: i64) -> i64 {
    if time == MIN || time == MAX { time } else { time.saturating_sub(delay_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: u32, watermark: i64, idle: bool) -> WatermarkRow {
        WatermarkRow { source: 1, partition, watermark, idle }
    }

    #[test]
    fn takes_the_least_and_never_goes_back() {
        let mut table = WatermarkTable::default();
        assert_eq!(table.advance(), MIN);
        // (rows of the epoch, W after it)
        let epochs = [
            (vec![row(0, 100, false), row(1, MIN, false)], MIN),
            (vec![row(1, 50, false)], 50),
            (vec![row(1, 50, true)], 100),
            (vec![row(1, 60, false)], 100),
            (vec![row(0, 100, true), row(1, 60, true)], 100),
            (vec![row(0, 90, false), row(1, 300, false)], 100),
            (vec![row(0, MAX, false)], 300),
            (vec![row(1, MAX, false)], MAX),
        ];
        for (rows, expected) in epochs {
            rows.iter().for_each(|row| table.set(*row));
            assert_eq!(table.advance(), expected, "{rows:?}");
        }
    }

    #[test]
    fn ends_do_not_move() {
        assert_eq!((minus(MIN, 5), minus(MAX, 5), minus(7, 5)), (MIN, MAX, 2));
    }
}
