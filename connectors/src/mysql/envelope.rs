//! The record of one change: Debezium's envelope in the form of Flink CDC's converter without schema.
//!
//! Member order, `source` and the values of snapshot rows are those of Flink CDC 3.5 on Debezium 1.9.8
//! (specification capture.md 7 and `wire/maxwell/mariadb/flinkcdc35_*`). One difference is ours: the
//! outer `ts_ms` of a change is the event's time as well, not the clock's, so that a record read again
//! after a restart has the same bytes.

use std::io::Write as _;

use super::json::push_text;

/// Which of a table's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// A row of the snapshot.
    Read,
    Create,
    Update,
    Delete,
}

impl Op {
    fn letter(self) -> char {
        match self {
            Self::Read => 'r',
            Self::Create => 'c',
            Self::Update => 'u',
            Self::Delete => 'd',
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The JSON object of all columns.
    pub(super) object: Vec<u8>,
    /// The JSON of the key's columns, one behind the other; empty without a key.
    pub(super) key: Vec<u8>,
}

/// Where in the log a change stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: String,
    /// Offset at which the event begins.
    pub(super) offset: u64,
    /// Which row of the event, from 0.
    pub(super) row: usize,
    pub(super) server_id: u32,
    /// Of the event, since 1970.
    pub(super) seconds: u32,
    pub(super) gtid: Option<String>,
    /// Connection that made the change; MariaDB does not say.
    pub(super) thread: Option<u32>,
}

impl Origin {
    /// What the originals say of a row that no event brought.
    fn of_snapshot() -> Self {
        Self {
            file: String::new(),
            offset: 0,
            row: 0,
            server_id: 0,
            seconds: 0,
            gtid: None,
            thread: None,
        }
    }
}

/// Writes records of one table.
#[derive(Debug, Clone)]
pub(super) struct Envelopes {
    /// `"db":"…","sequence":null,"table":"…"`
    table: Vec<u8>,
}

impl Envelopes {
    pub(super) fn new(database: &str, table: &str) -> Self {
        let mut text = b"\"db\":".to_vec();
        push_text(&mut text, database);
        text.extend_from_slice(b",\"sequence\":null,\"table\":");
        push_text(&mut text, table);
        Self { table: text }
    }

    /// A row of the snapshot, read at `read_ms` since 1970.
    pub(super) fn read(&self, row: &Row, read_ms: i64) -> Vec<u8> {
        self.record(Op::Read, [None, Some(row)], &Origin::of_snapshot(), read_ms)
    }

    /// A change of the log; `before` and `after` are there as the op asks.
    pub(super) fn change(&self, op: Op, rows: [Option<&Row>; 2], origin: &Origin) -> Vec<u8> {
        self.record(op, rows, origin, i64::from(origin.seconds) * 1000)
    }

    fn record(&self, op: Op, rows: [Option<&Row>; 2], origin: &Origin, ts_ms: i64) -> Vec<u8> {
        let [before, after] = rows.map(|row| row.map_or(&b"null"[..], |row| &row.object));
        let mut out = Vec::with_capacity(before.len() + after.len() + 400);
        out.extend_from_slice(b"{\"before\":");
        out.extend_from_slice(before);
        out.extend_from_slice(b",\"after\":");
        out.extend_from_slice(after);
        self.push_source(&mut out, origin);
        let letter = op.letter();
        put(
            &mut out,
            format_args!(",\"op\":\"{letter}\",\"ts_ms\":{ts_ms},\"transaction\":null}}"),
        );
        out
    }

    fn push_source(&self, out: &mut Vec<u8>, origin: &Origin) {
        let ts_ms = i64::from(origin.seconds) * 1000;
        out.extend_from_slice(b",\"source\":{\"version\":\"1.9.8.Final\",\"connector\":\"mysql\",");
        put(out, format_args!("\"name\":\"mysql_binlog_source\",\"ts_ms\":{ts_ms},"));
        out.extend_from_slice(b"\"snapshot\":\"false\",");
        out.extend_from_slice(&self.table);
        put(out, format_args!(",\"server_id\":{},\"gtid\":", origin.server_id));
        match &origin.gtid {
            Some(gtid) => push_text(out, gtid),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"file\":");
        push_text(out, &origin.file);
        let thread = origin.thread.map_or("null".to_owned(), |thread| thread.to_string());
        put(out, format_args!(",\"pos\":{},\"row\":{}", origin.offset, origin.row));
        put(out, format_args!(",\"thread\":{thread},\"query\":null}}"));
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(object: &str) -> Row {
        Row { object: object.as_bytes().to_vec(), key: Vec::new() }
    }

    /// Lines of `wire/maxwell/mariadb/flinkcdc35_stream.jsonl` and `_snapshot.jsonl`, with `thread`
    /// null and the outer `ts_ms` ours.
    #[test]
    fn golden_records() {
        let envelopes = Envelopes::new("ref", "child2");
        let origin = Origin {
            file: "master.000001".into(),
            offset: 35980,
            row: 0,
            server_id: 10,
            seconds: 1_700_000_002,
            gtid: None,
            thread: None,
        };
        let before = row(r#"{"id":20,"pid":null}"#);
        let record = envelopes.change(Op::Delete, [Some(&before), None], &origin);
        assert_eq!(
            String::from_utf8(record).unwrap(),
            r#"{"before":{"id":20,"pid":null},"after":null,"source":{"version":"1.9.8.Final","connector":"mysql","name":"mysql_binlog_source","ts_ms":1700000002000,"snapshot":"false","db":"ref","sequence":null,"table":"child2","server_id":10,"gtid":null,"file":"master.000001","pos":35980,"row":0,"thread":null,"query":null},"op":"d","ts_ms":1700000002000,"transaction":null}"#
        );
        let envelopes = Envelopes::new("ref", "MixedCase");
        let after = row(r#"{"ID":1,"camelCase":2,"snake_case":3}"#);
        assert_eq!(
            String::from_utf8(envelopes.read(&after, 1_700_000_009_000)).unwrap(),
            r#"{"before":null,"after":{"ID":1,"camelCase":2,"snake_case":3},"source":{"version":"1.9.8.Final","connector":"mysql","name":"mysql_binlog_source","ts_ms":0,"snapshot":"false","db":"ref","sequence":null,"table":"MixedCase","server_id":0,"gtid":null,"file":"","pos":0,"row":0,"thread":null,"query":null},"op":"r","ts_ms":1700000009000,"transaction":null}"#
        );
    }

    #[test]
    fn all_that_is_known_of_a_change_is_told() {
        let origin = Origin {
            file: "b.1".into(),
            offset: u64::MAX,
            row: 3,
            server_id: 97,
            seconds: 1,
            gtid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:5".into()),
            thread: Some(9),
        };
        let (before, after) = (row(r#"{"a":1}"#), row(r#"{"a":2}"#));
        let record = Envelopes::new("数", "\"t\"").change(
            Op::Update,
            [Some(&before), Some(&after)],
            &origin,
        );
        let value: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(value["op"], "u");
        assert_eq!((&value["before"]["a"], &value["after"]["a"]), (&1.into(), &2.into()));
        let source = &value["source"];
        assert_eq!((&source["db"], &source["table"]), (&"数".into(), &"\"t\"".into()));
        assert_eq!((&source["row"], &source["thread"]), (&3.into(), &9.into()));
        assert_eq!(source["pos"], u64::MAX);
        assert_eq!(source["gtid"], "3e11fa47-71ca-11e1-9e33-c80aa9429562:5");
    }
}
