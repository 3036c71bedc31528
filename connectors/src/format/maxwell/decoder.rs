//! The decoder of `ods_db`: change records to rows over the bytes that were read.
//!
//! Names stand in the record as a rule and are ranges of it; one with escapes is added to the row.
//! The row of the table stays JSON until someone asks for it ([`super::data`]).

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, RAW_VALUE, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::batch::{Batch, Slice};
use engine::codec::{Dead, Decoded, Decoder};

use super::{MaxwellChange, MaxwellParser};
use crate::format::json_scan::Span;

/// Column: name of the database. Slice, never null.
pub const DATABASE: usize = 0;
/// Column: name of the table. Slice, never null.
pub const TABLE: usize = 1;
/// Column: code of the [`ChangeKind`](super::ChangeKind). Int, never null.
pub const KIND: usize = 2;
/// Column: 1 if `type` has the prefix `bootstrap-`, else 0. Int, never null.
pub const SNAPSHOT: usize = 3;
/// Column: seconds since 1970. Int, never null.
pub const TS: usize = 4;
/// Column: the JSON of `data`, whatever it is; null if absent or JSON null. Slice.
pub const DATA: usize = 5;
/// Column: the JSON of `old`, likewise.
pub const OLD: usize = 6;
/// Column: the record's bytes. Slice, never null.
pub const VALUE: usize = 7;
/// Column: number of the transaction. Int, null for rows of a snapshot.
pub const XID: usize = 8;
/// Column: 1 on the last row of a transaction, else 0. Int, never null.
pub const COMMIT: usize = 9;

/// The schema of decoded changes.
pub fn maxwell_schema() -> Arc<Schema> {
    Schema::new(
        "maxwell",
        &[
            ("database", Kind::Slice),
            ("table", Kind::Slice),
            ("kind", Kind::Int),
            ("snapshot", Kind::Int),
            ("ts", Kind::Int),
            ("data", Kind::Slice),
            ("old", Kind::Slice),
            ("value", Kind::Slice),
            ("xid", Kind::Int),
            ("commit", Kind::Int),
        ],
    )
}

/// Decodes change records; event time is `ts` in milliseconds, dead letters bear the reasons of
/// [`super::Dirty`].
#[derive(Debug)]
pub struct MaxwellDecoder {
    parser: MaxwellParser,
    schema: Arc<Schema>,
}

impl MaxwellDecoder {
    /// A decoder, to be kept: it holds a buffer.
    #[must_use]
    pub fn new() -> Self {
        Self { parser: MaxwellParser::default(), schema: maxwell_schema() }
    }
}

impl Default for MaxwellDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for MaxwellDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for (index, row) in input.rows().enumerate() {
            match self.parser.parse(row.bytes(RAW_VALUE).unwrap_or_default()) {
                Ok(change) => write(&change, row, &mut out.rows),
                Err(dirty) => out.dead.push(Dead { row: index, reason: dirty.as_str() }),
            }
        }
    }
}

fn write(change: &MaxwellChange<'_>, row: Row<'_>, rows: &mut BatchBuilder) {
    rows.begin_over(row);
    change.database.set(DATABASE, rows, change.arena);
    change.table.set(TABLE, rows, change.arena);
    rows.int(KIND, Some(change.kind.code()));
    rows.int(SNAPSHOT, Some(i64::from(change.snapshot)));
    rows.int(TS, Some(change.ts));
    rows.slice(DATA, place(change.data));
    rows.slice(OLD, place(change.old));
    rows.slice(VALUE, Span { start: 0, end: change.value.len() }.in_row());
    rows.int(XID, change.xid);
    rows.int(COMMIT, Some(i64::from(change.commit)));
    rows.end(Stamp { time: change.time(), ..Stamp::of(row) });
}

fn place(span: Option<Span>) -> Slice {
    span.map_or(Slice::NULL, Span::in_row)
}

#[cfg(test)]
mod tests {
    use engine::batch::build::{RawBuilder, raw_schema};
    use engine::counter::Counters;

    use super::super::ChangeKind;
    use super::*;

    fn decoded(records: &[Option<&str>]) -> (Option<Batch>, Vec<Dead>) {
        let mut raw = RawBuilder::new(&raw_schema(), 3);
        for (position, record) in (10..).zip(records) {
            raw.push(position, Some(b"raw key"), record.map(str::as_bytes));
        }
        let input = raw.finish().expect("there are records");
        let mut counters = Counters::new("ods_db".into());
        let mut decoder = MaxwellDecoder::new();
        let rows = BatchBuilder::over(decoder.schema(), &input);
        let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
        decoder.decode(&input, &mut out);
        let Decoded { rows, dead, .. } = out;
        (rows.finish(None), dead)
    }

    #[test]
    fn rows_point_into_the_records() {
        let update = r#"{"database":"d","table":"t","type":"update","ts":70,"xid":5,"commit":true,"data":{"id":1},"old":{"a":null}}"#;
        let escaped = r#"{"database":"\u0064","table":"t\u0031","type":"bootstrap-insert","ts":71,"data":null}"#;
        let (batch, dead) = decoded(&[Some(update), Some("bad"), Some(escaped)]);
        assert_eq!(dead, [Dead { row: 1, reason: "bad_json" }]);
        let batch = batch.expect("two rows");
        let row = batch.row(0);
        for (column, text) in [
            (DATABASE, Some("d")),
            (TABLE, Some("t")),
            (DATA, Some(r#"{"id":1}"#)),
            (OLD, Some(r#"{"a":null}"#)),
            (VALUE, Some(update)),
        ] {
            assert_eq!(row.bytes(column), text.map(str::as_bytes), "column {column}");
        }
        let ints = [KIND, SNAPSHOT, TS, XID, COMMIT].map(|column| row.int(column));
        let kind = ChangeKind::Update.code();
        assert_eq!(ints, [Some(kind), Some(0), Some(70), Some(5), Some(1)]);
        assert_eq!((row.time(), row.order().partition, row.order().position), (70_000, 3, 10));
        // Nothing was copied.
        let kept = row.body().as_ptr_range();
        assert!(kept.contains(&row.bytes(TABLE).expect("never null").as_ptr()));

        let row = batch.row(1);
        assert_eq!((row.bytes(DATABASE), row.bytes(TABLE)), (Some(&b"d"[..]), Some(&b"t1"[..])));
        assert_eq!((row.bytes(DATA), row.bytes(OLD)), (None, None));
        let ints = [KIND, SNAPSHOT, TS, XID, COMMIT].map(|column| row.int(column));
        assert_eq!(ints, [Some(ChangeKind::Insert.code()), Some(1), Some(71), None, Some(0)]);
        assert_eq!(row.order().position, 12);
    }

    #[test]
    fn what_is_no_change_is_dead() {
        let no_table = r#"{"database":"d","type":"insert","ts":7}"#;
        let no_ts = r#"{"database":"d","table":"t","type":"insert"}"#;
        let (batch, dead) = decoded(&[None, Some(""), Some(no_table), Some(no_ts)]);
        let reasons: Vec<_> = dead.iter().map(|dead| (dead.row, dead.reason)).collect();
        let expected = [(0, "bad_json"), (1, "bad_json"), (2, "bad_envelope"), (3, "bad_ts")];
        assert_eq!(reasons, expected);
        assert!(batch.is_none());
    }
}
