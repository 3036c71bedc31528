//! Rows of the shop's tables, and how they stand as JSON in a change record.
//!
//! A row is a list of named values in the order of the table's columns (warehouse 3.1). An update is
//! made of two rows, before and after, and `old` is what differs: so it holds changed columns only,
//! whatever the row is made of. Texts may hold anything, they are escaped as Maxwell does (capture
//! 2.1).

use std::borrow::Cow;

use super::calendar;

/// What stands in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::generate) enum Value {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A decimal with two digits behind the point, in hundredths.
    Cents(i64),
    /// A text.
    Text(Cow<'static, str>),
    /// A datetime, milliseconds since the epoch.
    Time(i64),
    /// A date, days since 1970-01-01.
    Date(i64),
}

/// A row: columns in the order of the table.
pub(in crate::generate) type Row = Vec<(&'static str, Value)>;

/// What happens to a row; one of the two is there at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::generate) struct Change {
    /// Whose row.
    pub(in crate::generate) table: &'static str,
    /// As it was; none for an insert.
    pub(in crate::generate) before: Option<Row>,
    /// As it is; none for a delete.
    pub(in crate::generate) after: Option<Row>,
}

impl Change {
    /// A new row.
    pub(in crate::generate) fn insert(table: &'static str, row: Row) -> Self {
        Self { table, before: None, after: Some(row) }
    }

    /// A row that changes in at least one column.
    pub(in crate::generate) fn update(table: &'static str, before: Row, after: Row) -> Self {
        Self { table, before: Some(before), after: Some(after) }
    }

    /// A row that goes.
    pub(in crate::generate) fn delete(table: &'static str, row: Row) -> Self {
        Self { table, before: Some(row), after: None }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An id as MySQL keeps it.
pub(in crate::generate) fn id(number: u64) -> i64 {
    i64::try_from(number).expect("nobody makes 2^63 records")
}

/// Appends a row as a JSON object.
pub(in crate::generate) fn write_row(row: &Row, out: &mut Vec<u8>) {
    write_members(row.iter(), out);
}

/// Appends the columns of `before` that differ from `after` as a JSON object.
pub(in crate::generate) fn write_old(before: &Row, after: &Row, out: &mut Vec<u8>) {
    let pairs = before.iter().zip(after);
    write_members(pairs.filter(|(old, new)| old.1 != new.1).map(|(old, _)| old), out);
}

fn write_members<'a>(columns: impl Iterator<Item = &'a (&'static str, Value)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in columns.enumerate() {
        out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        value.write(out);
    }
    out.push(b'}');
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Int(number) => write_integer(*number, out),
            Self::Cents(cents) => write_cents(*cents, out),
            Self::Text(text) => write_text(text, out),
            Self::Time(time_ms) => quoted(out, |out| calendar::write_time(*time_ms, out)),
            Self::Date(day) => quoted(out, |out| calendar::write_date(*day, out)),
        }
    }
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_cents(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    let size = cents.unsigned_abs();
    write_integer(i64::try_from(size / 100).expect("a hundredth fits"), out);
    let digit = |number: u64| b'0' + u8::try_from(number % 10).expect("a digit");
    out.extend_from_slice(&[b'.', digit(size / 10), digit(size)]);
}

/// Appends a number in decimal.
pub(in crate::generate) fn write_integer(number: i64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    write!(out, "{number}").expect("a vector takes everything");
}

/// Appends a text in quotes; characters above U+FFFF do not occur here.
pub(in crate::generate) fn write_text(text: &str, out: &mut Vec<u8>) {
    quoted(out, |out| {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=0x1f => out.push(b' '),
                _ => out.push(byte),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_read_as_maxwell_writes_them() {
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Int(-7), "-7"),
            (Value::Cents(394_800), "3948.00"),
            (Value::Cents(5), "0.05"),
            (Value::Cents(-1_230), "-12.30"),
            ("口红 6\" \\ a\tb\n".into(), r#""口红 6\" \\ a\tb\n""#),
            (Value::Time(1_651_287_720_999), "\"2022-04-30 11:02:00\""),
            (Value::Date(19_112), "\"2022-04-30\""),
        ] {
            assert_eq!(text(|out| value.write(out)), expected);
        }
    }

    #[test]
    fn old_holds_the_changed_columns_with_their_former_values() {
        let before = vec![("id", 1_i64.into()), ("a", Value::Null), ("b", "x".into())];
        let after = vec![("id", 1_i64.into()), ("a", Value::Cents(0)), ("b", "x".into())];
        assert_eq!(text(|out| write_row(&after, out)), r#"{"id":1,"a":0.00,"b":"x"}"#);
        assert_eq!(text(|out| write_old(&before, &after, out)), r#"{"a":null}"#);
    }
}
