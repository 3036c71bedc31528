//! The encoder of table rows: one JSON object per row, and its key bytes.
//!
//! Members come in the order in which they were named, NULL is written as `null`, and equal rows
//! give equal bytes. The key is the memory-comparable form of the key columns
//! ([`engine::batch::key`]), so rows sort by their values, and two rows have the same key exactly if
//! the key columns are equal. A table without key columns has records without key.
//!
//! What is misused easily: key columns must be values of the row's identity alone. A name that can
//! be corrected later makes a second row.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use engine::batch::key::{push_bytes, push_int};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::codec::Encoder;
use engine::time::zone::Zone;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    /// A slice column as a JSON string. Bytes that are no UTF-8 become U+FFFD.
    Text,
    /// A slice column that holds JSON, copied.
    Json,
    /// An integer column as a number.
    Int,
    /// An integer column counting units of `10^-scale`, as a number with `scale` digits behind the
    /// point: 399800 with scale 2 is `3998.00`.
    Decimal {
        /// Digits behind the point, at most 18.
        scale: u32,
    },
    /// An integer column of milliseconds since 1970 as the text `yyyy-MM-dd HH:mm:ss` in the
    /// encoder's zone.
    Time,
    /// The same as the text `yyyy-MM-dd`.
    Date,
}

impl JsonKind {
    const fn column(self) -> Kind {
        match self {
            Self::Text | Self::Json => Kind::Slice,
            Self::Int | Self::Decimal { .. } | Self::Time | Self::Date => Kind::Int,
        }
    }
}

/// A member of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonMember<'a> {
    /// Its name, unique in the object.
    pub name: &'a str,
    /// The column it is taken from.
    pub column: usize,
    /// How it is written.
    pub kind: JsonKind,
    /// Whether it is part of the key. Key columns are encoded in the order of the members.
    pub key: bool,
}

/// Encodes rows of one schema.
#[derive(Debug)]
pub struct JsonRow {
    members: Vec<Prepared>,
    /// Behind a lock because it remembers the offset of the last time it was asked for.
    zone: Mutex<Zone>,
}

#[derive(Debug)]
struct Prepared {
    /// `{"name":` for the first, `,"name":` for the others.
    head: String,
    column: usize,
    kind: JsonKind,
    key: bool,
}

impl JsonRow {
    /// An encoder of rows of `schema`; times are written in `zone`.
    ///
    /// # Panics
    ///
    /// If there is no member, a name is given twice, or a member does not fit its column.
    #[must_use]
    pub fn new(schema: &Schema, members: &[JsonMember<'_>], zone: Zone) -> Self {
        assert!(!members.is_empty(), "{}: an object needs a member", schema.name);
        for (index, member) in members.iter().enumerate() {
            let name = member.name;
            let first = members.iter().position(|other| other.name == name);
            assert_eq!(first, Some(index), "{}: {name} is given twice", schema.name);
            let column = schema.columns.get(member.column).map(|(_, kind)| *kind);
            assert_eq!(column, Some(member.kind.column()), "{}: {name}", schema.name);
        }
        let members = members.iter().enumerate().map(|(index, member)| prepare(index, member));
        Self { members: members.collect(), zone: Mutex::new(zone) }
    }

    fn write(&self, member: &Prepared, row: Row<'_>, out: &mut Vec<u8>) {
        let written = match member.kind {
            JsonKind::Text => row.bytes(member.column).map(|bytes| write_text(bytes, out)),
            JsonKind::Json => row.bytes(member.column).map(|json| out.extend_from_slice(json)),
            JsonKind::Int => row.int(member.column).map(|int| write_int(int, out)),
            JsonKind::Decimal { scale } => {
                row.int(member.column).map(|units| write_decimal(units, scale, out))
            }
            JsonKind::Time | JsonKind::Date => {
                row.int(member.column).map(|ms| self.write_time(member.kind, ms, out))
            }
        };
        if written.is_none() {
            out.extend_from_slice(b"null");
        }
    }

    fn write_time(&self, kind: JsonKind, time_ms: i64, out: &mut Vec<u8>) {
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(21);
        text.push('"');
        let written = match kind {
            JsonKind::Date => zone.write_date_of(time_ms, &mut text),
            _ => zone.write_time(time_ms, &mut text),
        };
        written.expect("a string takes anything");
        text.push('"');
        out.extend_from_slice(text.as_bytes());
    }
}

fn prepare(index: usize, member: &JsonMember<'_>) -> Prepared {
    let mut head = if index == 0 { b"{".to_vec() } else { b",".to_vec() };
    write_text(member.name.as_bytes(), &mut head);
    head.push(b':');
    let head = String::from_utf8(head).expect("a JSON string is text");
    Prepared { head, column: member.column, kind: member.kind, key: member.key }
}

impl Encoder for JsonRow {
    fn key(&self, row: Row<'_>, out: &mut Vec<u8>) -> bool {
        let mut keyed = false;
        for member in self.members.iter().filter(|member| member.key) {
            keyed = true;
            match member.kind.column() {
                Kind::Slice => push_bytes(out, row.bytes(member.column)),
                Kind::Int => match row.int(member.column) {
                    Some(int) => push_int(out, int),
                    None => push_bytes(out, None),
                },
            }
        }
        keyed
    }

    fn value(&self, row: Row<'_>, out: &mut Vec<u8>) {
        for member in &self.members {
            out.extend_from_slice(member.head.as_bytes());
            self.write(member, row, out);
        }
        out.push(b'}');
    }
}

fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(bytes);
    serde_json::to_writer(out, &text).expect("a vector takes anything");
}

fn write_int(int: i64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &int).expect("a vector takes anything");
}

fn write_decimal(units: i64, scale: u32, out: &mut Vec<u8>) {
    let one = 10_u64.pow(scale);
    let (whole, rest) = (units.unsigned_abs() / one, units.unsigned_abs() % one);
    let sign = if units < 0 { "-" } else { "" };
    let mut text = format!("{sign}{whole}");
    if scale > 0 {
        let digits = scale as usize;
        write!(text, ".{rest:0digits$}").expect("a string takes anything");
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use engine::batch::build::{BatchBuilder, Stamp};
    use engine::batch::order::Order;
    use engine::batch::{Batch, NO_TIME, Slice};
    use serde_json::Value;

    use super::*;

    /// A cell of a row.
    enum Cell<'a> {
        Text(Option<&'a [u8]>),
        Int(Option<i64>),
    }
    use Cell::{Int, Text};

    /// A row of the schema that the cells and members tell, and its encoder.
    fn row(kinds: &[JsonKind], cells: &[Cell<'_>], keys: &[usize]) -> (Batch, JsonRow) {
        let names: Vec<String> = (0..kinds.len()).map(|index| format!("c{index}")).collect();
        let columns: Vec<(&str, Kind)> =
            names.iter().zip(kinds).map(|(name, kind)| (name.as_str(), kind.column())).collect();
        let schema = Schema::new("t", &columns);
        let members: Vec<JsonMember<'_>> = names
            .iter()
            .enumerate()
            .map(|(column, name)| JsonMember {
                name,
                column,
                kind: kinds[column],
                key: keys.contains(&column),
            })
            .collect();
        let encoder = JsonRow::new(&schema, &members, Zone::named("Asia/Shanghai").unwrap());
        let mut builder = BatchBuilder::new(&schema);
        builder.begin();
        for (column, cell) in cells.iter().enumerate() {
            match cell {
                Text(None) => builder.slice(column, Slice::NULL),
                Text(Some(bytes)) => {
                    let slice = builder.append(bytes);
                    builder.slice(column, slice);
                }
                Int(int) => builder.int(column, *int),
            }
        }
        builder.end(Stamp { time: NO_TIME, order: Order::default(), behind: None });
        (builder.finish(None).expect("one row"), encoder)
    }

    fn value(kinds: &[JsonKind], cells: &[Cell<'_>]) -> String {
        let (batch, encoder) = row(kinds, cells, &[]);
        let mut out = Vec::new();
        encoder.value(batch.row(0), &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    fn key(kinds: &[JsonKind], cells: &[Cell<'_>], keys: &[usize]) -> Option<Vec<u8>> {
        let (batch, encoder) = row(kinds, cells, keys);
        let mut out = Vec::new();
        encoder.key(batch.row(0), &mut out).then_some(out)
    }

    use JsonKind::{Date, Decimal, Json, Time};

    #[test]
    fn a_row_of_the_warehouse_is_written_as_its_sample() {
        let start = 1_651_287_600_000;
        let text = value(
            &[Time, Time, JsonKind::Text, Date, JsonKind::Int, Decimal { scale: 2 }],
            &[
                Int(Some(start)),
                Int(Some(start + 10_000)),
                Text(Some("口红".as_bytes())),
                Int(Some(start)),
                Int(Some(12_000)),
                Int(Some(394_800)),
            ],
        );
        let expected = r#"{"c0":"2022-04-30 11:00:00","c1":"2022-04-30 11:00:10","c2":"口红","c3":"2022-04-30","c4":12000,"c5":3948.00}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn null_differs_from_empty_and_json_is_copied() {
        let kinds = [
            JsonKind::Text,
            JsonKind::Text,
            JsonKind::Int,
            Time,
            Date,
            Decimal { scale: 2 },
            Json,
            Json,
        ];
        let cells = [
            Text(None),
            Text(Some(b"")),
            Int(None),
            Int(None),
            Int(None),
            Int(None),
            Text(None),
            Text(Some(b"[1.0]")),
        ];
        let expected =
            r#"{"c0":null,"c1":"","c2":null,"c3":null,"c4":null,"c5":null,"c6":null,"c7":[1.0]}"#;
        assert_eq!(value(&kinds, &cells), expected);
    }

    #[test]
    fn any_text_comes_back() {
        for text in ["\"\\/\u{0}\u{8}\n\r\t\u{1f}\u{7f}\u{2028}", "{}", "😀"] {
            let written = value(&[JsonKind::Text], &[Text(Some(text.as_bytes()))]);
            let read: Value = serde_json::from_str(&written).expect("it is JSON");
            assert_eq!(read["c0"], text);
        }
        assert_eq!(value(&[JsonKind::Text], &[Text(Some(b"a\xffb"))]), r#"{"c0":"a�b"}"#);
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (units, scale, text) in [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (-12_345, 2, "-123.45"),
            (7, 0, "7"),
            (i64::MIN, 2, "-92233720368547758.08"),
            (i64::MAX, 18, "9.223372036854775807"),
        ] {
            let written = value(&[Decimal { scale }], &[Int(Some(units))]);
            assert_eq!(written, format!(r#"{{"c0":{text}}}"#));
        }
    }

    #[test]
    fn keys_are_the_comparable_form_of_the_key_columns() {
        let kinds = [Time, JsonKind::Text, JsonKind::Int];
        let cells = |name, metric| [Int(Some(-1)), Text(name), Int(Some(metric))];
        let keys = [0, 1];
        let golden = b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff\x01a\0\xff\0\0";
        assert_eq!(key(&kinds, &cells(Some(b"a\0"), 1), &keys).unwrap(), golden);
        assert_eq!(key(&kinds, &cells(Some(b"a\0"), 2), &keys).unwrap(), golden);
        let null = key(&kinds, &cells(None, 1), &keys).unwrap();
        assert_ne!(Some(null), key(&kinds, &cells(Some(b""), 1), &keys));
        assert_eq!(key(&kinds, &cells(None, 1), &[]), None);
        assert_eq!(key(&[JsonKind::Int], &[Int(None)], &[0]), Some(vec![0]));
    }
}
