//! The page row: what jobs on page records take, whether by a link or from a topic.
//!
//! One schema for both, so that a job does not know where its rows come from: `log_split` writes
//! page rows as it splits ([`write_page_row`]), [`PageDecoder`] makes them from the records of a
//! page topic (page log, unique visitors, user jumps). The value is the page record, byte for byte
//! as it stands in the topic.
//!
//! A group key part (version, channel, area, is_new) is text: a member of another type is read as
//! its JSON text, null as absent, which is how a text column of SQL reads it.

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, RAW_VALUE, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::batch::{Batch, Cell, Slice};
use engine::codec::{Dead, Decoded, Decoder};

use super::decoder::{Taker, whole};
use super::{AppLog, AppLogParser, Dirty, IsNew, Main};

/// Column: `common.mid`. Slice, never null.
pub const PAGE_KEY: usize = 0;
/// Column: the record's bytes. Slice, never null.
pub const PAGE_VALUE: usize = 1;
/// Column: `page.page_id`. Slice, null if it is no text.
pub const PAGE_ID: usize = 2;
/// Column: `page.last_page_id`. Slice, null if it is absent or null, which is an entry page.
pub const LAST_PAGE_ID: usize = 3;
/// Column: `common.vc`, version of the app. Slice.
pub const VC: usize = 4;
/// Column: `common.ch`, channel. Slice.
pub const CH: usize = 5;
/// Column: `common.ar`, area. Slice.
pub const AR: usize = 6;
/// Column: `common.is_new` after repair. Slice.
pub const IS_NEW: usize = 7;
/// Column: `page.during_time`, milliseconds. Int, null if it is absent or no integer.
pub const DURING_TIME: usize = 8;

/// Names and kinds of the columns.
const COLUMNS: [(&str, Kind); 9] = [
    ("mid", Kind::Slice),
    ("value", Kind::Slice),
    ("page_id", Kind::Slice),
    ("last_page_id", Kind::Slice),
    ("vc", Kind::Slice),
    ("ch", Kind::Slice),
    ("ar", Kind::Slice),
    ("is_new", Kind::Slice),
    ("during_time", Kind::Int),
];

/// The schema of page rows.
pub fn page_schema() -> Arc<Schema> {
    Schema::new("page", &COLUMNS)
}

/// The columns of a page row but its value; see the constants of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageColumns<'a> {
    /// [`PAGE_KEY`].
    pub mid: &'a [u8],
    /// [`PAGE_ID`].
    pub page_id: Option<&'a [u8]>,
    /// [`LAST_PAGE_ID`].
    pub last_page_id: Option<&'a [u8]>,
    /// [`VC`].
    pub vc: Option<&'a [u8]>,
    /// [`CH`].
    pub ch: Option<&'a [u8]>,
    /// [`AR`].
    pub ar: Option<&'a [u8]>,
    /// [`IS_NEW`].
    pub is_new: Option<&'a [u8]>,
    /// [`DURING_TIME`].
    pub during_time: Option<i64>,
}

/// Adds a page row to a builder of [`page_schema`]; `value` appends the record's bytes.
pub fn write_page_row(
    builder: &mut BatchBuilder,
    columns: &PageColumns<'_>,
    value: impl FnOnce(&mut Vec<u8>),
    stamp: Stamp,
) {
    builder.begin();
    let value = builder.append_with(value);
    builder.slice(PAGE_VALUE, value);
    for (column, bytes) in [
        (PAGE_KEY, Some(columns.mid)),
        (PAGE_ID, columns.page_id),
        (LAST_PAGE_ID, columns.last_page_id),
        (VC, columns.vc),
        (CH, columns.ch),
        (AR, columns.ar),
        (IS_NEW, columns.is_new),
    ] {
        let slice = bytes.map_or(Slice::NULL, |bytes| builder.append(bytes));
        builder.slice(column, slice);
    }
    builder.int(DURING_TIME, columns.during_time);
    builder.end(stamp);
}

/// Decodes the records of a page topic. A record that is none is dead with the parser's reason, one
/// without a page (a start or error record) with `no_main`.
#[derive(Debug)]
pub struct PageDecoder {
    parser: AppLogParser,
    schema: Arc<Schema>,
}

impl PageDecoder {
    /// A decoder, to be kept: it holds buffers.
    #[must_use]
    pub fn new() -> Self {
        Self { parser: AppLogParser::default(), schema: page_schema() }
    }
}

impl Default for PageDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for PageDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for (index, row) in input.rows().enumerate() {
            match self.parser.parse(row.bytes(RAW_VALUE).unwrap_or_default()) {
                Ok(log) if log.main() == Main::Page => write(&log, row, &mut out.rows),
                Ok(_) => out.dead.push(Dead { row: index, reason: Dirty::NoMain.as_str() }),
                Err(dirty) => out.dead.push(Dead { row: index, reason: dirty.as_str() }),
            }
        }
    }
}

fn write(log: &AppLog<'_>, row: Row<'_>, rows: &mut BatchBuilder) {
    rows.begin_bytes_over(row);
    let mut cells = [Cell::Unset; COLUMNS.len()];
    let (common, page) = (log.common, log.page());
    let mut taker = Taker { log, rows };
    cells[PAGE_KEY] = taker.text(Some(log.mid));
    cells[PAGE_VALUE] = whole(log);
    cells[PAGE_ID] = taker.text(page.and_then(|page| page.page_id));
    cells[LAST_PAGE_ID] = taker.part(page.and_then(|page| page.last_page_id));
    cells[VC] = taker.part(common.vc);
    cells[CH] = taker.part(common.ch);
    cells[AR] = taker.part(common.ar);
    cells[IS_NEW] = match common.is_new {
        IsNew::Zero => taker.fixed(b"0"),
        IsNew::One => taker.fixed(b"1"),
        IsNew::Other => taker.part(common.is_new_other),
    };
    cells[DURING_TIME] = Cell::Int(log.during_time());
    rows.end_with(&cells, Stamp { time: log.ts(), ..Stamp::of(row) });
}

#[cfg(test)]
mod tests {
    use super::super::decoder::tests::decoded;
    use super::*;

    fn texts(batch: &Batch, row: usize) -> Vec<Option<String>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        (PAGE_ID..=IS_NEW).map(|column| batch.row(row).bytes(column).map(text)).collect()
    }

    #[test]
    fn page_records_become_rows_over_their_bytes() {
        let page = r#"{"common":{"mid":"m1","vc":"v2","ch":"oppo","ar":"11","is_new":"1"},"page":{"page_id":"home","last_page_id":"search","during_time":9},"ts":70}"#;
        let odd = r#"{"common":{"mid":8,"vc":2.50,"ch":null,"ar":{"b" : 1},"is_new":1},"page":{"page_id":7,"last_page_id":null,"during_time":1.5},"ts":71}"#;
        let escaped = r#"{"common":{"mid":"m\u0031","vc":"\u0076","is_new":"\u0030","ch":"\ud800"},"page":{"last_page_id":[ ]},"ts":72}"#;
        let (batch, dead, _) = decoded(&mut PageDecoder::new(), &[page, odd, escaped]);
        assert_eq!(dead, []);
        let batch = batch.expect("three rows");
        for (row, (value, mid, time, columns, during)) in [
            (page, "m1", 70, ["home", "search", "v2", "oppo", "11", "1"].map(Some), Some(9)),
            (odd, "8", 71, [None, None, Some("2.5"), None, Some(r#"{"b":1}"#), Some("1")], None),
            (
                escaped,
                "m1",
                72,
                [None, Some("[]"), Some("v"), Some(r#""\ud800""#), None, Some("0")],
                None,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(batch.row(row).bytes(PAGE_VALUE), Some(value.as_bytes()));
            assert_eq!(batch.row(row).bytes(PAGE_KEY), Some(mid.as_bytes()));
            assert_eq!(batch.row(row).time(), time);
            assert_eq!(texts(&batch, row), columns.map(|text| text.map(str::to_owned)));
            assert_eq!(batch.row(row).int(DURING_TIME), during);
        }
    }

    #[test]
    fn what_is_no_page_record_is_dead() {
        let records = [
            "{",
            r#"{"common":{"mid":"m"},"start":{},"ts":1}"#,
            r#"{"common":{"mid":"m"},"err":{},"ts":1}"#,
            r#"{"common":{"mid":""},"page":{},"ts":1}"#,
        ];
        let (batch, dead, _) = decoded(&mut PageDecoder::new(), &records);
        assert!(batch.is_none());
        let expected = [(0, "not_object"), (1, "no_main"), (2, "no_main"), (3, "no_mid")];
        assert_eq!(dead, expected.map(|(row, reason)| Dead { row, reason }));
    }
}
