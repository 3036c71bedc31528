//! The decoder of `ods_log`: app log records to rows over the bytes that were read.
//!
//! Each row carries, beside the record, its layout for the split ([`super::emit`]) and the columns
//! that a page row needs, so nothing behind the exchange parses JSON. A text that stands in the
//! record as it reads is a range of it; one with escapes is added to the row.
//!
//! Counting `start_and_page`, `no_main` and `bad_member` is left to the split: a record too far in
//! the future is decoded but goes nowhere, and must not be counted by these.

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, RAW_VALUE, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::batch::{Batch, Cell, Slice};
use engine::codec::{Dead, Decoded, Decoder};

use super::{AppLog, AppLogParser, IsNew};
use crate::format::json_scan::Span;
use crate::format::json_scan::text::{Part, Text};

/// Column: `common.mid`. Slice, never null.
pub const KEY: usize = 0;
/// Column: the record's bytes. Slice, never null.
pub const VALUE: usize = 1;
/// Column: the layout, see [`super::Layout`]. Slice, never null.
pub const LAYOUT: usize = 2;
/// Column: `common.is_new`. Int 0 or 1; null for anything else (to be counted `bad_is_new`).
pub const IS_NEW: usize = 3;
/// Column: what stands as `common.is_new` where [`IS_NEW`] is null; null if it is absent. Slice.
pub const IS_NEW_OTHER: usize = 4;
/// Column: `common.vc`; not text is its JSON text, as in [`super::page`]. Slice.
pub const VC: usize = 5;
/// Column: `common.ch`, likewise.
pub const CH: usize = 6;
/// Column: `common.ar`, likewise.
pub const AR: usize = 7;
/// Column: `page.page_id` if it is text. Slice.
pub const PAGE_ID: usize = 8;
/// Column: `page.last_page_id`, null if absent or null. Slice.
pub const LAST_PAGE_ID: usize = 9;
/// Column: `page.during_time` if it is an integer, milliseconds. Int.
pub const DURING_TIME: usize = 10;

/// Names and kinds of the columns.
const COLUMNS: [(&str, Kind); 11] = [
    ("mid", Kind::Slice),
    ("value", Kind::Slice),
    ("layout", Kind::Slice),
    ("is_new", Kind::Int),
    ("is_new_other", Kind::Slice),
    ("vc", Kind::Slice),
    ("ch", Kind::Slice),
    ("ar", Kind::Slice),
    ("page_id", Kind::Slice),
    ("last_page_id", Kind::Slice),
    ("during_time", Kind::Int),
];

/// How many of them, the first ones, the split reads; the others are for page rows with columns.
const SPLIT_COLUMNS: usize = 4;

/// The schema of decoded app logs.
pub fn app_log_schema() -> Arc<Schema> {
    Schema::new("app_log", &COLUMNS)
}

/// Whether rows of this schema, one of a decoder of app logs, have the columns of page rows.
#[inline]
pub(super) fn has_page_columns(schema: &Schema) -> bool {
    schema.columns.len() > SPLIT_COLUMNS
}

/// Decodes app logs; event time is `ts`, dead letters bear the reasons of [`super::Dirty`].
#[derive(Debug)]
pub struct AppLogDecoder {
    parser: AppLogParser,
    schema: Arc<Schema>,
}

impl AppLogDecoder {
    /// A decoder, to be kept: it holds buffers.
    #[must_use]
    pub fn new() -> Self {
        Self { parser: AppLogParser::default(), schema: app_log_schema() }
    }

    /// Likewise, for a split of whose page rows nobody reads the columns. Rows wait for the end of
    /// their epoch, so what they do not carry need not be fetched from memory again.
    #[must_use]
    pub fn without_page_columns() -> Self {
        let schema = Schema::new("app_log", &COLUMNS[..SPLIT_COLUMNS]);
        Self { parser: AppLogParser::default(), schema }
    }
}

impl Default for AppLogDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for AppLogDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        let write = if has_page_columns(&self.schema) { write } else { write_for_split };
        for (index, row) in input.rows().enumerate() {
            match self.parser.parse(row.bytes(RAW_VALUE).unwrap_or_default()) {
                Ok(log) => write(&log, row, &mut out.rows),
                Err(dirty) => out.dead.push(Dead { row: index, reason: dirty.as_str() }),
            }
        }
    }
}

fn write_for_split(log: &AppLog<'_>, row: Row<'_>, rows: &mut BatchBuilder) {
    rows.begin_bytes_over(row);
    let cells = split_cells(log, rows);
    rows.end_with(&cells, Stamp { time: log.ts(), ..Stamp::of(row) });
}

fn split_cells(log: &AppLog<'_>, rows: &mut BatchBuilder) -> [Cell; SPLIT_COLUMNS] {
    let mut cells = [Cell::Unset; SPLIT_COLUMNS];
    cells[VALUE] = whole(log);
    cells[LAYOUT] = Cell::Slice(rows.append_with(|out| log.write_layout(out)));
    cells[KEY] = Taker { log, rows }.text(Some(log.mid));
    cells[IS_NEW] = Cell::Int(is_new_number(log.is_new()));
    cells
}

fn write(log: &AppLog<'_>, row: Row<'_>, rows: &mut BatchBuilder) {
    rows.begin_bytes_over(row);
    let mut cells = [Cell::Unset; COLUMNS.len()];
    cells[..SPLIT_COLUMNS].copy_from_slice(&split_cells(log, rows));
    let (common, page) = (log.common, log.page());
    let mut taker = Taker { log, rows };
    cells[IS_NEW_OTHER] = taker.part(common.is_new_other);
    cells[VC] = taker.part(common.vc);
    cells[CH] = taker.part(common.ch);
    cells[AR] = taker.part(common.ar);
    cells[PAGE_ID] = taker.text(page.and_then(|page| page.page_id));
    cells[LAST_PAGE_ID] = taker.part(page.and_then(|page| page.last_page_id));
    cells[DURING_TIME] = Cell::Int(log.during_time());
    rows.end_with(&cells, Stamp { time: log.ts(), ..Stamp::of(row) });
}

const fn is_new_number(is_new: IsNew) -> Option<i64> {
    match is_new {
        IsNew::Zero => Some(0),
        IsNew::One => Some(1),
        IsNew::Other => None,
    }
}

/// The place of the whole record in its row: a raw row begins with its value.
pub(super) fn whole(log: &AppLog<'_>) -> Cell {
    Cell::Slice(Span { start: 0, end: log.value().len() }.in_row())
}

/// Makes cells of the row under construction from members of its record.
pub(super) struct Taker<'t, 'a> {
    pub(super) log: &'t AppLog<'a>,
    pub(super) rows: &'t mut BatchBuilder,
}

impl Taker<'_, '_> {
    /// A text: where it stands, or its decoded form added.
    #[inline]
    pub(super) fn text(&mut self, text: Option<Text>) -> Cell {
        let slice = text.map(|text| text.place(self.rows, self.log.arena));
        Cell::Slice(slice.unwrap_or(Slice::NULL))
    }

    /// A member that counts whatever its type is: text as it reads, anything else as JSON text.
    #[inline]
    pub(super) fn part(&mut self, part: Option<Part>) -> Cell {
        match part {
            Some(Part::Json(span)) => self.json(span.into()),
            Some(Part::Text(text)) => self.text(Some(text)),
            None => self.text(None),
        }
    }

    #[cold]
    fn json(&mut self, span: Span) -> Cell {
        self.fixed(&json_text(span.of(self.log.value())))
    }

    /// Bytes that do not stand in the record.
    pub(super) fn fixed(&mut self, bytes: &[u8]) -> Cell {
        Cell::Slice(self.rows.append(bytes))
    }
}

/// One spelling for equal values. What serde_json cannot hold (a lone surrogate, a number beyond
/// `f64`) stays as it is written.
fn json_text(json: &[u8]) -> Vec<u8> {
    let value = serde_json::from_slice::<serde_json::Value>(json);
    value.map_or_else(|_unreadable| json.to_vec(), |value| value.to_string().into_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use engine::batch::NO_TIME;
    use engine::batch::build::{RawBuilder, raw_schema};
    use engine::counter::{CounterKey, Counters};

    use super::super::{Layout, Main};
    use super::*;

    type Counts = Vec<(CounterKey, u64)>;

    /// What a decoder makes of records at positions 10, 11, ..., which have keys.
    pub(in super::super) fn decoded(
        decoder: &mut dyn Decoder,
        records: &[&str],
    ) -> (Option<Batch>, Vec<Dead>, Counts) {
        let mut raw = RawBuilder::new(&raw_schema(), 3);
        for (position, record) in (10..).zip(records) {
            raw.push(position, Some(b"raw key"), Some(record.as_bytes()));
        }
        let input = raw.finish().expect("there are records");
        let mut counters = Counters::new("log_split".into());
        let rows = BatchBuilder::over(decoder.schema(), &input);
        let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
        decoder.decode(&input, &mut out);
        let Decoded { rows, dead, .. } = out;
        (rows.finish(None), dead, counters.take())
    }

    #[test]
    fn rows_point_into_the_records() {
        let plain = r#"{"common":{"mid":"m1","vc":"v2","ch":"oppo","ar":"11","is_new":"1"},"page":{"page_id":"home","last_page_id":"search","during_time":9},"ts":70}"#;
        let start = r#"{"common":{"mid":42,"is_new":"x"},"start":{},"ts":71}"#;
        let escaped = r#"{"common":{"mid":"m\u0031","is_new":"\u0030","vc":true},"err":1,"ts":72}"#;
        let (batch, dead, counts) =
            decoded(&mut AppLogDecoder::new(), &[plain, "bad", start, escaped, ""]);
        let dead_rows: Vec<usize> = dead.iter().map(|dead| dead.row).collect();
        assert_eq!((dead_rows, counts), (vec![1, 4], vec![]));
        let batch = batch.expect("three rows");
        let row = batch.row(0);
        for (column, text) in [
            (KEY, Some("m1")),
            (VALUE, Some(plain)),
            (IS_NEW_OTHER, None),
            (VC, Some("v2")),
            (CH, Some("oppo")),
            (AR, Some("11")),
            (PAGE_ID, Some("home")),
            (LAST_PAGE_ID, Some("search")),
        ] {
            assert_eq!(row.bytes(column), text.map(str::as_bytes), "column {column}");
        }
        assert_eq!((row.int(IS_NEW), row.int(DURING_TIME), row.time()), (Some(1), Some(9), 70));
        assert_eq!((row.order().partition, row.order().position), (3, 10));
        assert_ne!(row.time(), NO_TIME);
        assert_eq!(Layout::read(row.bytes(LAYOUT).expect("never null")).main(), Main::Page);
        // Only the layout was added.
        let kept = row.body().as_ptr_range();
        assert!(kept.contains(&row.bytes(KEY).expect("never null").as_ptr()));
        assert!(kept.contains(&row.bytes(VC).expect("set").as_ptr()));

        let row = batch.row(1);
        assert_eq!((row.bytes(KEY), row.bytes(VALUE)), (Some(&b"42"[..]), Some(start.as_bytes())));
        assert_eq!((row.int(IS_NEW), row.bytes(IS_NEW_OTHER)), (None, Some(&b"x"[..])));
        assert_eq!((row.bytes(PAGE_ID), row.order().position), (None, 12));

        let row = batch.row(2);
        assert_eq!((row.bytes(KEY), row.int(IS_NEW)), (Some(&b"m1"[..]), Some(0)));
        assert_eq!(row.bytes(VC), Some(&b"true"[..]));
    }

    #[test]
    fn a_tombstone_is_dead() {
        let mut raw = RawBuilder::new(&raw_schema(), 0);
        raw.push(0, Some(b"k"), None);
        let input = raw.finish().expect("one record");
        let mut counters = Counters::new("j".into());
        let mut decoder = AppLogDecoder::new();
        let rows = BatchBuilder::over(decoder.schema(), &input);
        let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
        decoder.decode(&input, &mut out);
        assert_eq!(out.dead, [Dead { row: 0, reason: "not_object" }]);
    }
}
