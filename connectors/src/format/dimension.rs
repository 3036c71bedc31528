//! One change of a dimension row as bytes: the value of an outbox row, read by whatever store the
//! sink writes to.
//!
//! ```text
//! version u8 = 1 | op u8 | table: length varint, UTF-8
//! version u8 = 2 | op u8 | edition varint | table: likewise
//!   per cell, to the end of the bytes: column: length varint, UTF-8 | text: length varint, bytes
//! ```
//!
//! `op`: 0 upsert, 1 replace, 2 delete. The edition is that of the table
//! ([`TableDefinition::edition`](engine::sink::TableDefinition::edition)), 0 in version 1; a change
//! of an edition that is gone is no longer one. Varints are LEB128. A text of length 0 is NULL: dimension
//! stores know no empty text. There is no count of cells: the bytes end with the last one. These
//! bytes lie in outboxes on disk, so another layout needs another version; unknown ones are refused.
//!
//! Constraints: the key columns are among the cells; a column named twice has its last text; texts
//! are UTF-8, which is not checked here. Names are as the configuration spells them: their case is
//! folded by the store.
//!
//! A store takes a unit whole, so one row it cannot take would hold up all others: whoever makes
//! changes MUST ask [`key_fault`] and keep to [`ROW_BYTES_MAX`] first, and write what does not pass
//! to a side output.
//!
//! The other direction: [`push_lookup_key`] asks for a row, the answer is a change that replaces it.

use engine::batch::key;
use engine::batch::stored::{push_varint, take_varint};

/// Bytes of the longest row key, separators and salt byte included (phoenix.md 10.2). HBase's own
/// limit is one byte less.
pub const KEY_BYTES_MAX: usize = 32 << 10;
/// Bytes of the largest row; HBase's default limit of a cell (phoenix.md 10.2).
pub const ROW_BYTES_MAX: usize = 10 << 20;
/// Most columns of a table (phoenix.md 10.2).
pub const COLUMNS_MAX: usize = 1000;

/// Version of a change of a table that was made once.
const VERSION: u8 = 1;
/// Version of a change of a table that was made anew.
const VERSION_ANEW: u8 = 2;

/// What a change does to the row of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimensionOp {
    /// The columns named take their cells, the others keep what they have.
    Upsert,
    /// The row becomes these cells; every column not named is NULL.
    Replace,
    /// The row goes. The cells are the key columns only.
    Delete,
}

impl DimensionOp {
    const fn code(self) -> u8 {
        match self {
            Self::Upsert => 0,
            Self::Replace => 1,
            Self::Delete => 2,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Upsert),
            1 => Some(Self::Replace),
            2 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The table of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeTable<'a> {
    /// Its name, as the configuration spells it.
    pub name: &'a str,
    /// Its edition.
    pub edition: u64,
}

impl<'a> From<&'a str> for ChangeTable<'a> {
    /// A table that was made once.
    fn from(name: &'a str) -> Self {
        Self { name, edition: 0 }
    }
}

/// Appends a change. A cell is a column and its text; `None` and an empty text are NULL.
pub fn push_change<'a>(
    out: &mut Vec<u8>,
    table: impl Into<ChangeTable<'a>>,
    op: DimensionOp,
    cells: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) {
    let ChangeTable { name, edition } = table.into();
    if edition == 0 {
        out.extend_from_slice(&[VERSION, op.code()]);
    } else {
        out.extend_from_slice(&[VERSION_ANEW, op.code()]);
        push_varint(out, edition);
    }
    push_part(out, name.as_bytes());
    for (column, text) in cells {
        push_part(out, column.as_bytes());
        push_part(out, text.unwrap_or_default());
    }
}

#[inline]
fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    push_varint(out, part.len() as u64);
    out.extend_from_slice(part);
}

/// A change, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeView<'a> {
    /// Name of the table, as the configuration spells it.
    pub table: &'a str,
    /// Edition of the table.
    pub edition: u64,
    /// What happens to the row.
    pub op: DimensionOp,
    /// Invariant: whole cells; [`ChangeView::read`] walked over them.
    cells: &'a [u8],
}

impl<'a> ChangeView<'a> {
    /// Reads a change; `None` if [`push_change`] did not write these bytes, or a version of it that
    /// is not known here.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let [version @ (VERSION | VERSION_ANEW), op, rest @ ..] = bytes else { return None };
        let op = DimensionOp::of_code(*op)?;
        let mut rest = rest;
        let edition = match *version {
            VERSION_ANEW => take_varint(&mut rest)?,
            _ => 0,
        };
        let table = take_text(&mut rest)?;
        let cells = rest;
        while !rest.is_empty() {
            take_cell(&mut rest)?;
        }
        Some(Self { table, edition, op, cells })
    }

    /// The table it is about.
    pub fn target(&self) -> ChangeTable<'a> {
        ChangeTable { name: self.table, edition: self.edition }
    }

    /// The cells in the order they were written: column, and its text (`None` is NULL, a text is
    /// never empty).
    pub fn cells(&self) -> Cells<'a> {
        Cells { rest: self.cells }
    }
}

/// The cells of a [`ChangeView`].
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        take_cell(&mut self.rest)
    }
}

#[inline]
fn take_cell<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Option<&'a [u8]>)> {
    let column = take_text(rest)?;
    let text = take_part(rest)?;
    Some((column, (!text.is_empty()).then_some(text)))
}

#[inline]
fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_part(rest)?).ok()
}

#[inline]
fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    rest.split_off(..length)
}

/// Why no dimension store takes a row with this key, as a reason for a side output:
///
/// | reason | meaning |
/// |---|---|
/// | `null_pk` | a key column is NULL, empty or missing |
/// | `long_pk` | the row key would be longer than [`KEY_BYTES_MAX`] |
/// | `zero_in_pk` | a text that is not the last of its key holds the character U+0000, which ends a text inside a row key (phoenix.md 8.3): two rows would have one key |
///
/// `texts` are those of the key columns in key order.
pub fn key_fault<'a>(texts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Option<&'static str> {
    // The salt byte.
    let mut length = 1;
    let mut zero_before = false;
    let mut zero = false;
    for text in texts {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Some("null_pk") };
        zero |= zero_before;
        zero_before = text.contains(&0);
        length += text.len() + 1;
    }
    if length == 1 {
        return Some("null_pk");
    }
    // The last text has no separator.
    let long = (length - 1 > KEY_BYTES_MAX).then_some("long_pk");
    long.or_else(|| zero.then_some("zero_in_pk"))
}

/// Appends the key under which a [`Lookup`](engine::lookup::Lookup) of dimension rows is asked: the
/// table's name and the texts of its key columns in key order, memory-comparable
/// ([`engine::batch::key`]). The answer is a [`DimensionOp::Replace`] of that row with all columns
/// of the table in declared order, names in upper case.
pub fn push_lookup_key<'a>(
    out: &mut Vec<u8>,
    table: &str,
    texts: impl IntoIterator<Item = Option<&'a [u8]>>,
) {
    key::push_bytes(out, Some(table.as_bytes()));
    for text in texts {
        key::push_bytes(out, text);
    }
}

/// Reads a lookup key: the table and the texts; `None` if [`push_lookup_key`] did not write it.
pub fn read_lookup_key(bytes: &[u8]) -> Option<(String, Vec<Option<Vec<u8>>>)> {
    let mut parts = key::parts(bytes)?.into_iter();
    let Some(key::Part::Bytes(table)) = parts.next() else { return None };
    let texts = parts.map(|part| match part {
        key::Part::Null => Some(None),
        key::Part::Bytes(text) => Some(Some(text)),
        key::Part::Int(_) => None,
    });
    Some((String::from_utf8(table).ok()?, texts.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_no_store_takes_have_a_reason() {
        let longest = vec![b'k'; KEY_BYTES_MAX - 1];
        let longer = vec![b'k'; KEY_BYTES_MAX];
        let two = vec![b'k'; KEY_BYTES_MAX - 3];
        for (texts, reason) in [
            (vec![], Some("null_pk")),
            (vec![None], Some("null_pk")),
            (vec![Some(&b""[..])], Some("null_pk")),
            (vec![Some(&b"a"[..]), None], Some("null_pk")),
            (vec![None, Some(&b"a"[..])], Some("null_pk")),
            (vec![Some(&longest)], None),
            (vec![Some(&longer)], Some("long_pk")),
            (vec![Some(&two), Some(b"k")], None),
            (vec![Some(&two), Some(b"kk")], Some("long_pk")),
            (vec![Some(b"a\0")], None),
            (vec![Some(b"a"), Some(b"\0b")], None),
            (vec![Some(b"a\0"), Some(b"b")], Some("zero_in_pk")),
            (vec![Some(b"a"), Some(b"\0"), Some(b"c")], Some("zero_in_pk")),
        ] {
            assert_eq!(key_fault(texts.clone()), reason, "{:?}", texts.len());
        }
    }

    #[test]
    fn a_lookup_key_returns() {
        let mut out = Vec::new();
        let texts = [Some(&b"7"[..]), None, Some(b"a\0b")];
        push_lookup_key(&mut out, "dim_t", texts);
        assert_eq!(out, b"\x01dim_t\0\0\x017\0\0\0\x01a\0\xffb\0\0");
        let owned = texts.map(|text| text.map(<[u8]>::to_vec)).to_vec();
        assert_eq!(read_lookup_key(&out), Some(("dim_t".to_owned(), owned)));
        for other in
            [&b""[..], b"\0", b"\x01\xff\0\0", b"\x01t\0\0\x02\x80\0\0\0\0\0\0\x01", b"\x01t"]
        {
            assert_eq!(read_lookup_key(other), None, "{other:?}");
        }
    }

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        let cells: [(_, Option<&[u8]>); 3] =
            [("id", Some(b"7")), ("tm_name", Some("中".as_bytes())), ("logo", None)];
        push_change(&mut out, "dim_t", DimensionOp::Upsert, cells);
        let golden = b"\x01\0\x05dim_t\x02id\x017\x07tm_name\x03\xe4\xb8\xad\x04logo\0";
        assert_eq!(out, golden);
        let change = ChangeView::read(golden).expect("ours");
        assert_eq!((change.table, change.op), ("dim_t", DimensionOp::Upsert));
        assert_eq!(change.cells().collect::<Vec<_>>(), cells);

        for (op, code) in
            [(DimensionOp::Upsert, 0), (DimensionOp::Replace, 1), (DimensionOp::Delete, 2)]
        {
            out.clear();
            push_change(&mut out, "t", op, [("id", Some(&b"7"[..]))]);
            assert_eq!(out, [1, code, 1, b't', 2, b'i', b'd', 1, b'7']);
            assert_eq!(ChangeView::read(&out).map(|change| change.op), Some(op));
        }
        out.clear();
        let anew = ChangeTable { name: "t", edition: 300 };
        push_change(&mut out, anew, DimensionOp::Delete, [("id", Some(&b"7"[..]))]);
        assert_eq!(out, [2, 2, 0xac, 2, 1, b't', 2, b'i', b'd', 1, b'7']);
        assert_eq!(ChangeView::read(&out).map(|change| change.target()), Some(anew));
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [
            &b""[..],
            b"\x01",
            b"\x02\0\x01t",
            b"\x01\x03\x01t",
            b"\x01\0\x02t",
            b"\x01\0\x01\xff",
            b"\x01\0\x01t\x02id",
            b"\x01\0\x01t\x01\xff\x017",
            b"\x01\0\x01t\x02id\x02\x37",
            b"\x01\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01t",
        ] {
            assert_eq!(ChangeView::read(bytes), None, "{bytes:?}");
        }
    }

    fn op() -> impl Strategy<Value = DimensionOp> {
        prop_oneof![
            Just(DimensionOp::Upsert),
            Just(DimensionOp::Replace),
            Just(DimensionOp::Delete)
        ]
    }

    proptest! {
        #[test]
        fn a_change_returns(
            table in ".{0,200}",
            op in op(),
            cells in proptest::collection::vec((".{0,9}", proptest::option::of(".{0,150}")), 0..9),
        ) {
            let mut out = b"before".to_vec();
            let given = cells
                .iter()
                .map(|(column, text)| (column.as_str(), text.as_ref().map(String::as_bytes)));
            push_change(&mut out, table.as_str(), op, given.clone());
            let change = ChangeView::read(&out[6..]).expect("ours");
            prop_assert_eq!((change.table, change.op), (table.as_str(), op));
            let expected: Vec<_> =
                given.map(|(column, text)| (column, text.filter(|text| !text.is_empty()))).collect();
            prop_assert_eq!(change.cells().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let framed = [&[VERSION, 0, 0], bytes.as_slice()].concat();
            if let Some(change) = ChangeView::read(&framed) {
                prop_assert!(change.cells().all(|(_, text)| text != Some(&b""[..])));
            }
        }
    }
}
