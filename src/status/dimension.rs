//! What a status says of the dimensions: config rows, rows written, back-fills under way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::checkpoint::layout::{decode_position, space};
use engine::source::reread::{Reread, RereadPosition};
use engine::state::backend::{StateBackend, StateError};
use jobs::Job;
use serde::{Deserialize, Serialize};

use super::{CounterReport, bytes_text};
use crate::data_dir::{DataDir, bytes_below};

/// Positions read at a time; a source has some dozens.
const CHUNK: usize = 1024;

/// The dimensions of a directory in which they have run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DimensionReport {
    /// Config rows that took effect, by operation: `r` of the snapshot, `c`, `u`, `d`.
    pub(crate) config_applied: BTreeMap<String, u64>,
    /// Config rows refused.
    pub(crate) config_rejected: u64,
    /// Changes written that make or change a row.
    pub(crate) upserts: u64,
    /// Changes written that remove one.
    pub(crate) deletes: u64,
    /// Rows read again for tables that were configured late.
    pub(crate) backfill_rows: u64,
    /// Source tables that are being read again.
    pub(crate) backfills: Vec<BackfillReport>,
    /// Bytes of the tables on disk.
    pub(crate) bytes: u64,
}

/// A source table that is being read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackfillReport {
    /// Its name.
    pub(crate) table: String,
    /// Records of the source still to be looked at, as of the last checkpoint; absent where
    /// positions are no numbers.
    pub(crate) records_left: Option<u64>,
}

impl DimensionReport {
    /// Of a directory; `None` where no dimension job has run.
    pub(crate) fn new(
        dir: &DataDir,
        backend: &dyn StateBackend,
        counters: &[CounterReport],
    ) -> Option<Self> {
        let bytes = bytes_below(&dir.dim());
        let of_job = || {
            let is = |counter: &&CounterReport| counter.labels["job"] == Job::Dimensions.name();
            counters.iter().filter(is)
        };
        of_job().next()?;
        let total = |name| of_job().filter(|c| c.name == name).map(|c| c.value).sum();
        let applied = of_job().filter(|counter| counter.name == "config_applied");
        let op = |counter: &CounterReport| counter.labels.get("op").cloned().unwrap_or_default();
        Some(Self {
            config_applied: applied.map(|counter| (op(counter), counter.value)).collect(),
            config_rejected: total("config_rejected"),
            upserts: total("dim_upserts"),
            deletes: total("dim_deletes"),
            backfill_rows: total("backfill_rows"),
            // A store that cannot be read ends its process, which says so better than a report.
            backfills: backfills(backend).unwrap_or_default(),
            bytes,
        })
    }

    /// Appends it as text.
    pub(super) fn write(&self, out: &mut String) {
        let ops = self.config_applied.iter().map(|(op, count)| format!("{op} {count}"));
        let ops = ops.collect::<Vec<_>>().join(", ");
        let _infallible = writeln!(
            out,
            "\ndimensions\n  config rows applied: {}; rejected {}\n  rows written {}, deleted {}, \
             read again {}\n  {} on disk",
            if ops.is_empty() { "none" } else { &ops },
            self.config_rejected,
            self.upserts,
            self.deletes,
            self.backfill_rows,
            bytes_text(self.bytes),
        );
        for BackfillReport { table, records_left } in &self.backfills {
            let left = records_left.map(|left| format!(", {left} records of the source left"));
            let left = left.unwrap_or_default();
            let _infallible = writeln!(out, "  back-fill of {table}{left}");
        }
    }
}

/// What the source of the changes reads again, by its positions.
fn backfills(backend: &dyn StateBackend) -> Result<Vec<BackfillReport>, StateError> {
    let (space, mut after, mut found) =
        (space::positions(Job::OdsDb.name()), Vec::new(), Vec::new());
    let view = backend.view()?;
    loop {
        let entries = view.scan(&space, &[], &after, CHUNK)?;
        for (key, value) in &entries {
            let Some((_, record)) = decode_position(key, value) else { continue };
            let Some(request) = Reread::of(&record.partition) else { continue };
            let Some(position) = RereadPosition::decode(&record.position) else { continue };
            if !position.parts.is_empty() {
                found.push(BackfillReport {
                    table: request.name.to_string(),
                    records_left: records_left(&position),
                });
            }
        }
        match entries.last() {
            Some((key, _)) if entries.len() == CHUNK => after.clone_from(key),
            _ => return Ok(found),
        }
    }
}

fn records_left(position: &RereadPosition) -> Option<u64> {
    let left = position.parts.iter().map(|part| {
        let (next, upto) = (part.next.as_number()?, part.upto.as_number()?);
        Some(upto.saturating_sub(next))
    });
    left.sum()
}

#[cfg(test)]
mod tests {
    use engine::checkpoint::layout::{encode_position, position_key};
    use engine::checkpoint::piece::PositionRecord;
    use engine::source::Position;
    use engine::source::reread::RereadPart;
    use engine::state::backend::{Durability, StateBatch};
    use engine::state::memory::MemoryBackend;

    use super::*;

    fn counter(name: &str, label: Option<(&str, &str)>, value: u64) -> CounterReport {
        let labels = [("job", "dimensions")].into_iter().chain(label);
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        CounterReport { name: name.to_owned(), labels, value }
    }

    fn save(batch: &mut StateBatch, table: &str, position: Position) {
        let record = PositionRecord {
            partition: Reread { name: table.into(), number: 4 }.partition(),
            position,
            watermark: 0,
            peak: 0,
            active_at_ms: 0,
            idle: false,
        };
        let key = position_key(3, &record.partition.name);
        batch.put(&space::positions("ods_db").into(), key, encode_position(&record));
    }

    #[test]
    fn a_back_fill_under_way_is_told_and_one_that_is_done_is_not() {
        let part = |ordinal, next, upto| RereadPart {
            ordinal,
            next: Position::of_number(next),
            upto: Position::of_number(upto),
        };
        let (backend, mut batch) = (MemoryBackend::new(), StateBatch::default());
        let parts = vec![part(0, 10, 100), part(1, 0, 7)];
        save(&mut batch, "sku_info", RereadPosition { number: 4, parts }.encode());
        save(&mut batch, "spu_info", RereadPosition { number: 4, parts: Vec::new() }.encode());
        backend.commit(batch, Durability::Synced).expect("in memory");
        let dir = tempfile::tempdir().expect("a directory");
        let counters = [
            counter("config_applied", Some(("op", "r")), 15),
            counter("config_applied", Some(("op", "u")), 2),
            counter("dim_upserts", None, 204),
            counter("backfill_rows", None, 35),
        ];
        let dir = DataDir::new(dir.path());
        let report = DimensionReport::new(&dir, &backend, &counters).expect("it has run");
        let left = BackfillReport { table: "sku_info".to_owned(), records_left: Some(97) };
        assert_eq!(report.backfills, [left]);
        let mut text = String::new();
        report.write(&mut text);
        for part in [
            "config rows applied: r 15, u 2; rejected 0\n",
            "rows written 204, deleted 0, read again 35\n",
            "  0 B on disk\n",
            "back-fill of sku_info, 97 records of the source left\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(DimensionReport::new(&dir, &backend, &[]), None, "no job, nothing to say");
    }
}
