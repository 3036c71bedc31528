//! The cells of one stored row: written, merged, and read in place.
//!
//! ```text
//! version u8 = 1 | write time varint
//!   per cell, to the end: qualifier varint | age varint | length varint | text (UTF-8)
//! ```
//!
//! Qualifiers ascend. A NULL has no cell, so no text is empty; a row whose columns are all NULL has
//! no cells and is still a row. Times are milliseconds since 1970: that of the row is the time of its
//! last write, a cell's is `age` less. Key columns are not here, they are in the row key.
//!
//! Bytes of another version are corrupt, never guessed at.

use engine::batch::stored::{push_varint, take_varint};

const VERSION: u8 = 1;

/// Number of a column inside the rows of its table.
pub(super) type Qualifier = u32;

/// A stored row, checked when it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueView<'a> {
    /// Time of the last write.
    pub(super) written_at: u64,
    cells: &'a [u8],
}

/// One cell of a stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) qualifier: Qualifier,
    /// How much earlier than the row's last write it was written.
    pub(super) age: u64,
    /// Never empty.
    pub(super) text: &'a [u8],
}

impl<'a> ValueView<'a> {
    /// Reads a row, or says what does not fit.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (version, mut rest) = bytes.split_first().ok_or("it has no bytes")?;
        if *version != VERSION {
            return Err("its version is not known here");
        }
        let written_at = take_varint(&mut rest).ok_or("it has no write time")?;
        let cells = rest;
        let mut least = 0;
        while !rest.is_empty() {
            let cell = take_cell(&mut rest).ok_or("a cell is damaged")?;
            if cell.qualifier < least || cell.age > written_at || cell.text.is_empty() {
                return Err("a cell is not what is written here");
            }
            least = cell.qualifier + 1;
        }
        Ok(Self { written_at, cells })
    }

    /// The cells by qualifier.
    pub(super) fn cells(self) -> Cells<'a> {
        Cells { rest: self.cells }
    }
}

/// The cells of a [`ValueView`].
#[derive(Debug, Clone)]
pub(super) struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        take_cell(&mut self.rest)
    }
}

fn take_cell<'a>(rest: &mut &'a [u8]) -> Option<Cell<'a>> {
    let qualifier = Qualifier::try_from(take_varint(rest)?).ok().filter(|q| *q < Qualifier::MAX)?;
    let age = take_varint(rest)?;
    let length = usize::try_from(take_varint(rest)?).ok()?;
    Some(Cell { qualifier, age, text: rest.split_off(..length)? })
}

/// A column a change names, and its new text; `None` is NULL.
pub(super) type Changed<'a> = (Qualifier, Option<&'a [u8]>);

/// Most bytes of the numbers of a row's head and of a cell.
const NUMBERS_BYTES_MAX: usize = 20;

/// A row of `changed` over the cells of `base`. `changed` is sorted by qualifier, which are unique.
pub(super) fn merge(base: Option<ValueView<'_>>, changed: &[Changed<'_>], time: u64) -> Vec<u8> {
    let base = base.unwrap_or(ValueView { written_at: time, cells: &[] });
    let texts: usize = changed.iter().map(|(_, text)| text.map_or(0, <[u8]>::len)).sum();
    let numbers = (changed.len() + 1) * NUMBERS_BYTES_MAX;
    let mut out = Vec::with_capacity(base.cells.len() + texts + numbers);
    // Write times ascend; a row from the future must still not become one with negative ages.
    let time = time.max(base.written_at);
    out.push(VERSION);
    push_varint(&mut out, time);
    let older = time - base.written_at;
    let mut kept = base.cells().map(|cell| Cell { age: cell.age + older, ..cell }).peekable();
    for (qualifier, text) in changed {
        while let Some(cell) = kept.next_if(|cell| cell.qualifier < *qualifier) {
            push_cell(&mut out, cell);
        }
        kept.next_if(|cell| cell.qualifier == *qualifier);
        if let Some(text) = text {
            push_cell(&mut out, Cell { qualifier: *qualifier, age: 0, text });
        }
    }
    kept.for_each(|cell| push_cell(&mut out, cell));
    out
}

fn push_cell(out: &mut Vec<u8>, cell: Cell<'_>) {
    if cell.text.is_empty() {
        return;
    }
    push_varint(out, u64::from(cell.qualifier));
    push_varint(out, cell.age);
    push_varint(out, cell.text.len() as u64);
    out.extend_from_slice(cell.text);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cells(value: &[u8]) -> Vec<(Qualifier, u64, &str)> {
        let view = ValueView::read(value).expect("ours");
        let text = |text| std::str::from_utf8(text).expect("text");
        view.cells()
            .map(|cell| (cell.qualifier, view.written_at - cell.age, text(cell.text)))
            .collect()
    }

    #[test]
    fn golden_bytes() {
        let first =
            merge(None, &[(11, Some("中".as_bytes())), (12, None), (300, Some(b"z"))], 1000);
        assert_eq!(first, b"\x01\xe8\x07\x0b\0\x03\xe4\xb8\xad\xac\x02\0\x01z");
        let view = ValueView::read(&first).unwrap();
        let second = merge(Some(view), &[(12, Some(b"b"))], 1200);
        assert_eq!(
            second,
            b"\x01\xb0\x09\x0b\xc8\x01\x03\xe4\xb8\xad\x0c\0\x01b\xac\x02\xc8\x01\x01z"
        );
        assert_eq!(cells(&second), [(11, 1000, "中"), (12, 1200, "b"), (300, 1000, "z")]);
        assert_eq!(merge(None, &[], 5), b"\x01\x05");
    }

    #[test]
    fn other_bytes_are_corrupt() {
        for (bytes, reason) in [
            (&b""[..], "it has no bytes"),
            (b"\x02\x05", "its version is not known here"),
            (b"\0\x05", "its version is not known here"),
            (b"\x01", "it has no write time"),
            (b"\x01\x80", "it has no write time"),
            (b"\x01\x05\x0b", "a cell is damaged"),
            (b"\x01\x05\x0b\0\x02a", "a cell is damaged"),
            (b"\x01\x05\xff\xff\xff\xff\x0f\0\x01a", "a cell is damaged"),
            (b"\x01\x05\x0b\0\0", "a cell is not what is written here"),
            (b"\x01\x05\x0b\x06\x01a", "a cell is not what is written here"),
            (b"\x01\x05\x0b\0\x01a\x0b\0\x01b", "a cell is not what is written here"),
        ] {
            assert_eq!(ValueView::read(bytes).err(), Some(reason), "{bytes:?}");
        }
    }

    type Model = BTreeMap<Qualifier, Option<String>>;

    proptest! {
        /// Rule 9.3: what a change does not name stays; rules 9.1 and 9.2: NULL and empty are no cell.
        #[test]
        fn a_merge_is_a_merge_of_maps(
            changes in proptest::collection::vec(
                proptest::collection::btree_map(11..20_u32, proptest::option::of("[a-z中]{0,3}"), 0..6),
                1..5,
            ),
        ) {
            let mut model: BTreeMap<Qualifier, (u64, String)> = BTreeMap::new();
            let mut value: Option<Vec<u8>> = None;
            for (time, change) in changes.iter().enumerate() {
                let time = 7 + 100 * time as u64;
                apply(&mut model, change, time);
                let changed: Vec<_> =
                    change.iter().map(|(q, text)| (*q, text.as_ref().map(String::as_bytes))).collect();
                let base = value.as_deref().map(|value| ValueView::read(value).expect("ours"));
                value = Some(merge(base, &changed, time));
            }
            let value = value.expect("there is a change");
            let expected: Vec<_> =
                model.iter().map(|(q, (time, text))| (*q, *time, text.as_str())).collect();
            prop_assert_eq!(cells(&value), expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let framed = [&[VERSION][..], &bytes].concat();
            if let Ok(view) = ValueView::read(&framed) {
                for time in [0, u64::MAX] {
                    let value = merge(Some(view), &[(12, Some(b"x"))], time);
                    prop_assert!(ValueView::read(&value).is_ok());
                }
            }
        }
    }

    fn apply(model: &mut BTreeMap<Qualifier, (u64, String)>, change: &Model, time: u64) {
        for (qualifier, text) in change {
            match text.as_ref().filter(|text| !text.is_empty()) {
                Some(text) => model.insert(*qualifier, (time, text.clone())),
                None => model.remove(qualifier),
            };
        }
    }
}
