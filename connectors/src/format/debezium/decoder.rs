//! The decoder of config tables: Debezium envelopes to rows over the bytes that were read.
//!
//! Rows have no event time: a config row holds from when it is read, whatever clock wrote it, and
//! the rule for records from the future must not keep it back. So whoever makes windows over such
//! rows waits forever.

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, RAW_VALUE, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::batch::{Batch, NO_TIME, Slice};
use engine::codec::{Dead, Decoded, Decoder};

use super::{DebeziumChange, DebeziumParser, Outcome};
use crate::format::json_scan::Span;

/// Column: code of the [`DebeziumOp`](super::DebeziumOp). Int, never null.
pub const OP: usize = 0;
/// Column: the JSON object of the row before, or null. Slice; never null where [`OP`] is `d`.
pub const BEFORE: usize = 1;
/// Column: the JSON object of the row after, or null. Slice; never null where [`OP`] is not `d`.
pub const AFTER: usize = 2;
/// Column: name of the table that changed (`source.table`), or null. Slice.
pub const SOURCE_TABLE: usize = 3;
/// Column: when the change was read, milliseconds since 1970, or null. Int.
pub const TS_MS: usize = 4;
/// Column: the record's bytes. Slice, never null.
pub const VALUE: usize = 5;

/// The schema of decoded envelopes.
pub fn debezium_schema() -> Arc<Schema> {
    Schema::new(
        "debezium",
        &[
            ("op", Kind::Int),
            ("before", Kind::Slice),
            ("after", Kind::Slice),
            ("source_table", Kind::Slice),
            ("ts_ms", Kind::Int),
            ("value", Kind::Slice),
        ],
    )
}

/// Decodes Debezium envelopes; dead letters bear the reasons of [`super::Dirty`], tombstones and
/// truncations are counted `dropped`.
#[derive(Debug)]
pub struct DebeziumDecoder {
    parser: DebeziumParser,
    schema: Arc<Schema>,
}

impl DebeziumDecoder {
    /// A decoder, to be kept: it holds a buffer.
    #[must_use]
    pub fn new() -> Self {
        Self { parser: DebeziumParser::default(), schema: debezium_schema() }
    }
}

impl Default for DebeziumDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for DebeziumDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for (index, row) in input.rows().enumerate() {
            match self.parser.parse(row.bytes(RAW_VALUE)) {
                Ok(Outcome::Change(change)) => write(&change, row, &mut out.rows),
                Ok(Outcome::Dropped(reason)) => {
                    out.counters.add_labelled("dropped", ("reason", reason), 1);
                }
                Err(dirty) => out.dead.push(Dead { row: index, reason: dirty.as_str() }),
            }
        }
    }
}

fn write(change: &DebeziumChange<'_>, row: Row<'_>, rows: &mut BatchBuilder) {
    rows.begin_over(row);
    rows.int(OP, Some(change.op.code()));
    rows.slice(BEFORE, place(change.before));
    rows.slice(AFTER, place(change.after));
    match change.source_table {
        Some(table) => table.set(SOURCE_TABLE, rows, change.arena),
        None => rows.slice(SOURCE_TABLE, Slice::NULL),
    }
    rows.int(TS_MS, change.ts_ms);
    rows.slice(VALUE, Span { start: 0, end: change.value.len() }.in_row());
    rows.end(Stamp { time: NO_TIME, ..Stamp::of(row) });
}

fn place(span: Option<Span>) -> Slice {
    span.map_or(Slice::NULL, Span::in_row)
}

#[cfg(test)]
mod tests {
    use engine::batch::build::{RawBuilder, raw_schema};
    use engine::counter::Counters;

    use super::super::DebeziumOp;
    use super::*;

    #[test]
    fn envelopes_become_rows_dead_letters_and_counts() {
        let create = r#"{"before":null,"after":{"sink_pk":"id"},"source":{"table":"table_process"},"op":"c","ts_ms":9}"#;
        let delete = r#"{"payload":{"before":{"a":1},"source":{"table":"t\u0031"},"op":"d"}}"#;
        let records =
            [Some(create), None, Some("x"), Some("{}"), Some(r#"{"op":"t"}"#), Some(delete)];
        let mut raw = RawBuilder::new(&raw_schema(), 2);
        for (position, record) in (5..).zip(records) {
            raw.push(position, Some(b"raw key"), record.map(str::as_bytes));
        }
        let input = raw.finish().expect("there are records");
        let mut counters = Counters::new("dimensions".into());
        let mut decoder = DebeziumDecoder::new();
        let rows = BatchBuilder::over(decoder.schema(), &input);
        let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
        decoder.decode(&input, &mut out);
        let Decoded { rows, dead, .. } = out;

        let reasons: Vec<_> = dead.iter().map(|dead| (dead.row, dead.reason)).collect();
        assert_eq!(reasons, [(2, "bad_json"), (3, "bad_envelope")]);
        let counts = counters.take().into_iter().map(|(key, count)| (key.name, key.label, count));
        let dropped = |reason: &'static str| ("dropped", Some(("reason", reason.into())), 1);
        assert_eq!(counts.collect::<Vec<_>>(), [dropped("tombstone"), dropped("truncate")]);

        let batch = rows.finish(None).expect("two rows");
        let row = batch.row(0);
        assert_eq!((row.int(OP), row.int(TS_MS)), (Some(DebeziumOp::Create.code()), Some(9)));
        assert_eq!(
            (row.bytes(BEFORE), row.bytes(AFTER)),
            (None, Some(&br#"{"sink_pk":"id"}"#[..]))
        );
        assert_eq!(row.bytes(SOURCE_TABLE), Some(&b"table_process"[..]));
        assert_eq!(row.bytes(VALUE), Some(create.as_bytes()));
        assert_eq!((row.time(), row.order().position), (NO_TIME, 5));
        let row = batch.row(1);
        assert_eq!((row.int(OP), row.int(TS_MS)), (Some(DebeziumOp::Delete.code()), None));
        assert_eq!((row.bytes(BEFORE), row.bytes(AFTER)), (Some(&br#"{"a":1}"#[..]), None));
        assert_eq!(row.bytes(SOURCE_TABLE), Some(&b"t1"[..]));
        assert_eq!((row.bytes(VALUE), row.order().position), (Some(delete.as_bytes()), 10));
    }
}
