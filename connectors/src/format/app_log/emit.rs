//! Emitting a decoded app log: its rows for the five topics, without a second parse.
//!
//! A row of [`super::decoder`] becomes, by its layout, at most one error row, one start or page row,
//! and a row per display and action. Their bytes are written once, into the batch that goes out.
//! Page rows have the columns of [`super::page`], all others are key and value.
//!
//! Misuse: `repaired` says that `is_new`, which is `"1"`, is to be `"0"` in every output; whoever
//! says so of another record breaks an invariant that a debug build notices.

use std::sync::Arc;

use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::counter::Counters;
use engine::operator::stateful::{KeyedRows, Output};

use super::decoder::{
    AR, CH, DURING_TIME, IS_NEW, IS_NEW_OTHER, KEY, LAST_PAGE_ID, LAYOUT, PAGE_ID, VALUE, VC,
    has_page_columns,
};
use super::page::{PageColumns, page_schema, write_page_row};
use super::{Endings, Layout, Main, Split, SplitOptions};

/// Column: `common.mid`. Slice, never null.
pub const LOG_KEY: usize = 0;
/// Column: the record's bytes. Slice, never null.
pub const LOG_VALUE: usize = 1;

/// The schema of start, display, action and error rows.
pub fn log_schema() -> Arc<Schema> {
    Schema::new("log", &[("mid", Kind::Slice), ("value", Kind::Slice)])
}

/// The output port of each kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Page rows, of [`page_schema`].
    pub page: usize,
    /// Start rows, of [`log_schema`].
    pub start: usize,
    /// Display rows, likewise.
    pub display: usize,
    /// Action rows, likewise.
    pub action: usize,
    /// Error rows, likewise.
    pub error: usize,
}

/// Splits rows; keep one per operator.
#[derive(Clone, Debug)]
pub struct Splitter {
    options: SplitOptions,
    ports: Ports,
    page: Arc<Schema>,
    log: Arc<Schema>,
    endings: Endings,
}

impl Splitter {
    /// A splitter with these switches, writing to these ports.
    #[must_use]
    pub fn new(options: SplitOptions, ports: Ports) -> Self {
        let (page, log, endings) = (page_schema(), log_schema(), Endings::default());
        Self { options, ports, page, log, endings }
    }

    /// Emits the rows of `row`, as an [`AppLogDecoder`](super::decoder::AppLogDecoder) made it, and
    /// counts `start_and_page`, `no_main` and `bad_member`. A page row without columns is key and
    /// value only.
    pub fn split_row(
        &mut self,
        row: Row<'_>,
        repaired: bool,
        output: &mut Output,
        counters: &mut Counters,
    ) {
        let value = row.bytes(VALUE).expect("the decoder sets the value of every row");
        let layout = Layout::read(row.bytes(LAYOUT).expect("the decoder sets every layout"));
        let Self { options, ports, page, log, endings } = self;
        let split = Split::new(value, layout, repaired, *options, endings);
        count(&layout, counters);
        let rows = KeyedRows::new(mid(row), Stamp::of(row));
        let mut each = Emit { rows, schema: log, output };
        if layout.has_err() {
            each.log_row(ports.error, split.bytes_max(), |out| split.write_error(out));
        }
        match layout.main() {
            Main::Start => {
                each.log_row(ports.start, split.bytes_max(), |out| split.write_main(out));
            }
            Main::Page => {
                each.elements(ports, &split);
                // Without a reader the columns would be for nobody.
                let has_reader = has_page_columns(row.batch().schema());
                if !has_reader || each.output.is_sink_only(ports.page) {
                    each.log_row(ports.page, split.bytes_max(), |out| split.write_main(out));
                } else {
                    let builder = each.output.row(ports.page, page);
                    let columns = page_columns(row, repaired);
                    write_page_row(
                        builder,
                        &columns,
                        |out| split.write_main(out),
                        each.rows.stamp(),
                    );
                }
            }
            Main::None => {}
        }
    }
}

/// What the rows made from one record have in common, and where they go.
struct Emit<'e> {
    rows: KeyedRows<'e>,
    schema: &'e Arc<Schema>,
    output: &'e mut Output,
}

impl Emit<'_> {
    fn elements(&mut self, ports: &Ports, split: &Split<'_>) {
        for element in split.layout.displays() {
            let write = |out: &mut Vec<u8>| split.write_display(element, out);
            self.log_row(ports.display, split.element_bytes_max(element), write);
        }
        for element in split.layout.actions() {
            let write = |out: &mut Vec<u8>| split.write_action(element, out);
            self.log_row(ports.action, split.element_bytes_max(element), write);
        }
    }

    #[inline]
    fn log_row(&mut self, port: usize, value_bytes_max: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.output.write((port, self.schema), &mut self.rows, value_bytes_max, write);
    }
}

fn count(layout: &Layout<'_>, counters: &mut Counters) {
    counters.add("start_and_page", u64::from(layout.start_and_page()));
    counters.add("no_main", u64::from(layout.main() == Main::None));
    counters.add("bad_member", layout.bad_members() as u64);
}

fn mid(row: Row<'_>) -> &[u8] {
    row.bytes(KEY).expect("a record without mid is dead")
}

fn page_columns(row: Row<'_>, repaired: bool) -> PageColumns<'_> {
    let is_new = match row.int(IS_NEW) {
        Some(1) if !repaired => Some(&b"1"[..]),
        Some(_) => Some(&b"0"[..]),
        None => row.bytes(IS_NEW_OTHER),
    };
    PageColumns {
        mid: mid(row),
        page_id: row.bytes(PAGE_ID),
        last_page_id: row.bytes(LAST_PAGE_ID),
        vc: row.bytes(VC),
        ch: row.bytes(CH),
        ar: row.bytes(AR),
        is_new,
        during_time: row.int(DURING_TIME),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::batch::Batch;
    use engine::batch::buffer::Budget;

    use super::super::decoder::AppLogDecoder;
    use super::super::decoder::tests::decoded;
    use super::super::page::{self, PageDecoder};
    use super::*;

    const PORTS: Ports = Ports { page: 0, start: 1, display: 2, action: 3, error: 4 };

    /// The rows by port, and the counts.
    type Emitted = (Vec<(usize, Batch)>, BTreeMap<&'static str, u64>);

    fn emitted(records: &[&str], repaired: bool) -> Emitted {
        emitted_by(&mut AppLogDecoder::new(), records, repaired)
    }

    fn emitted_by(decoder: &mut AppLogDecoder, records: &[&str], repaired: bool) -> Emitted {
        let (batch, dead, _) = decoded(decoder, records);
        assert_eq!(dead, []);
        let mut splitter = Splitter::new(SplitOptions::default(), PORTS);
        let mut output = Output::new(5, Budget::new(1 << 20));
        let mut counters = Counters::new("log_split".into());
        for row in batch.expect("all are clean").rows() {
            splitter.split_row(row, repaired, &mut output, &mut counters);
        }
        let counts = counters.take().into_iter().map(|(key, count)| (key.name, count));
        (output.take(), counts.collect())
    }

    /// `port mid value` of each row, for ports whose value is column 1 and key column 0: all.
    fn lines(batches: &[(usize, Batch)]) -> Vec<String> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        let line = |port, row: Row<'_>| {
            format!("{port} {} {}", text(row.bytes(LOG_KEY)), text(row.bytes(LOG_VALUE)))
        };
        batches
            .iter()
            .flat_map(|(port, batch)| batch.rows().map(move |row| line(port, row)))
            .collect()
    }

    const COMMON: &str = r#""common":{"mid":"m1","vc":"v2","ch":"oppo","ar":"11","is_new":"1"}"#;
    const PAGE: &str = r#""page":{"page_id":"home","during_time":9}"#;

    fn full(pattern: &str) -> String {
        pattern.replace('@', COMMON).replace('#', PAGE)
    }

    #[test]
    fn each_part_goes_to_its_port() {
        let page = full(
            r#"{@,"displays":[{"item":"1"},7,{"item":"2"}],"actions":[{"item":"3","ts":5}],#,"ts":70,"err":{}}"#,
        );
        let start = full(r#"{@,"start":{},#,"ts":71}"#);
        let error = full(r#"{@,"err":1,"ts":72}"#);
        let (batches, counts) = emitted(&[&page, &start, &error], false);
        let expected = [
            r#"0 m1 {@,#,"ts":70}"#,
            r#"1 m1 {@,"start":{},#,"ts":71}"#,
            r#"2 m1 {"item":"1",@,#,"ts":70}"#,
            r#"2 m1 {"item":"2",@,#,"ts":70}"#,
            r#"3 m1 {"item":"3","ts":5,@,#}"#,
            r#"4 m1 {@,"displays":[{"item":"1"},{"item":"2"}],"actions":[{"item":"3","ts":5}],#,"ts":70,"err":{}}"#,
            r#"4 m1 {@,"err":1,"ts":72}"#,
        ];
        assert_eq!(lines(&batches), expected.map(full));
        assert_eq!(counts, [("bad_member", 1), ("no_main", 1), ("start_and_page", 1)].into());
        for (_, batch) in &batches {
            assert!(batch.rows().all(|row| (70..=72).contains(&row.time())));
            assert!(batch.rows().all(|row| row.order().partition == 3));
        }
    }

    #[test]
    fn a_repair_shows_in_every_row_and_in_the_column() {
        let record = full(r#"{@,"err":7,"actions":[{}],#,"ts":70}"#);
        let (batches, _) = emitted(&[&record], true);
        assert_eq!(batches.len(), 3);
        for line in lines(&batches) {
            assert!(line.contains(r#""is_new":"0""#), "{line}");
        }
        assert_eq!(batches[0].1.row(0).bytes(page::IS_NEW), Some(&b"0"[..]));
    }

    #[test]
    fn without_page_columns_the_same_is_emitted_but_for_them() {
        let page = full(r#"{@,"displays":[{"item":"1"}],#,"ts":70,"err":{}}"#);
        let escaped = r#"{"common":{"mid":"m\u0031","is_new":true,"vc":1},"page":{},"ts":71}"#;
        for (records, repaired) in [([&*page, escaped], false), ([&*page, &*page], true)] {
            let (batches, counts) = emitted(&records, repaired);
            let decoder = &mut AppLogDecoder::without_page_columns();
            let (narrow, narrow_counts) = emitted_by(decoder, &records, repaired);
            assert_eq!((lines(&narrow), narrow_counts), (lines(&batches), counts));
            for ((_, narrow), (_, batch)) in narrow.iter().zip(&batches) {
                assert_eq!(narrow.schema(), &log_schema());
                let stamps = |batch: &Batch| {
                    batch.rows().map(|row| (row.time(), row.order())).collect::<Vec<_>>()
                };
                assert_eq!(stamps(narrow), stamps(batch));
            }
        }
    }

    #[test]
    fn an_emitted_page_row_equals_one_decoded_from_its_topic() {
        let odd = r#"{"common":{"mid":"\u0031","vc":7,"ch":[ 1 ],"is_new":false},"displays":[{}],"page":{"page_id":"\u0068ome","last_page_id":{"a": 1},"during_time":-1},"ts":71}"#;
        let none = r#"{"common":{"mid":"m"},"page":{},"ts":71}"#;
        for (record, repaired) in [
            (full(r#"{@,#,"ts":70}"#), false),
            (full(r#"{"actions":[{}],@,#,"ts":70}"#), true),
            (odd.to_owned(), false),
            (none.to_owned(), false),
        ] {
            let (batches, _) = emitted(&[&record], repaired);
            let (_, emitted) = batches.iter().find(|(port, _)| *port == PORTS.page).unwrap();
            let row = emitted.row(0);
            let topic = std::str::from_utf8(row.bytes(page::PAGE_VALUE).unwrap()).unwrap();
            let (decoded, _, _) = decoded(&mut PageDecoder::new(), &[topic]);
            let decoded = decoded.expect("a page record");
            assert_eq!(row.batch().schema(), decoded.schema());
            for column in page::PAGE_KEY..=page::IS_NEW {
                assert_eq!(row.bytes(column), decoded.row(0).bytes(column), "{topic} {column}");
            }
            assert_eq!(row.int(page::DURING_TIME), decoded.row(0).int(page::DURING_TIME));
            assert_eq!(row.time(), decoded.row(0).time());
        }
    }
}
