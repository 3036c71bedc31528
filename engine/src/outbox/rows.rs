//! Encoded rows as they lie inside a block: written one after the other, read without copying.
//!
//! Per row:
//!
//! ```text
//! flags u8 | target varint | time_ms i64 (little endian)
//!   [topic: length varint, UTF-8] [key: length varint, bytes] [value: length varint, bytes]
//!   [headers: count varint, then per header: length varint, name (UTF-8), length varint, value]
//! ```
//!
//! `flags`: bit 0 the op is a delete; bit 1 a key, bit 2 a value, bit 3 headers, bit 4 the name of a
//! topic follow. Varints are LEB128 of at most 5 bytes. There is no padding and no row count: the
//! block's header has it.
//! A block is checked by its checksum before it comes here; still, no bytes make the reader panic.

pub mod draft;

use super::block::BLOCK_BYTES_MAX;

const FLAG_DELETE: u8 = 1;
const FLAG_KEY: u8 = 1 << 1;
const FLAG_VALUE: u8 = 1 << 2;
const FLAG_HEADERS: u8 = 1 << 3;
const FLAG_TOPIC: u8 = 1 << 4;
const FLAGS_KNOWN: u8 = FLAG_DELETE | FLAG_KEY | FLAG_VALUE | FLAG_HEADERS | FLAG_TOPIC;
/// Most bytes of a varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;

/// What a row does at its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The row comes into being, or replaces the one with its key.
    Insert,
    /// The row with its key goes.
    Delete,
}

/// A row to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutRow<'a> {
    /// Which topic or table of the sink; nothing where the row names its topic.
    pub target: u16,
    /// The topic, where it is none of those the sink numbers.
    pub topic: Option<&'a str>,
    /// What it does there.
    pub op: Op,
    /// Time of the record, milliseconds since 1970.
    pub time_ms: i64,
    /// Encoded key, where the target has keys.
    pub key: Option<&'a [u8]>,
    /// Encoded value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order, names may repeat.
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl OutRow<'_> {
    /// Bytes of key, value and headers, where a header has ten more for the lengths of its parts:
    /// what the limits of targets are about.
    #[inline]
    pub fn bytes(&self) -> u64 {
        let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let header =
            |(name, value): &(&str, &[u8])| name.len() + value.len() + 2 * VARINT_BYTES_MAX;
        let headers: usize = self.headers.iter().map(header).sum();
        (length(self.key) + length(self.value) + headers) as u64
    }
}

/// Rows collected for one block.
#[derive(Debug, Default, Clone)]
pub struct RowWriter {
    bytes: Vec<u8>,
    rows: u32,
}

impl RowWriter {
    /// A writer without rows.
    pub fn new() -> RowWriter {
        RowWriter::default()
    }

    /// A writer without rows in this memory.
    pub(crate) fn within(memory: Vec<u8>) -> RowWriter {
        RowWriter { bytes: memory, rows: 0 }
    }

    /// Appends a row. The caller asks [`RowWriter::has_room_for`] first and passes a full block on.
    pub fn push(&mut self, row: &OutRow<'_>) {
        let flag = |bit: u8, set: bool| if set { bit } else { 0 };
        let flags = flag(FLAG_DELETE, row.op == Op::Delete)
            | flag(FLAG_KEY, row.key.is_some())
            | flag(FLAG_VALUE, row.value.is_some())
            | flag(FLAG_HEADERS, !row.headers.is_empty())
            | flag(FLAG_TOPIC, row.topic.is_some());
        self.bytes.reserve(bytes_at_most(row));
        self.push_front(flags, row.target, row.time_ms);
        for part in [row.topic.map(str::as_bytes), row.key, row.value].into_iter().flatten() {
            push_part(&mut self.bytes, part);
        }
        if !row.headers.is_empty() {
            push_varint(&mut self.bytes, length_of(row.headers.len()));
            for (name, value) in row.headers {
                push_part(&mut self.bytes, name.as_bytes());
                push_part(&mut self.bytes, value);
            }
        }
        self.rows += 1;
    }

    /// What every row begins with.
    #[inline]
    fn push_front(&mut self, flags: u8, target: u16, time_ms: i64) {
        self.bytes.push(flags);
        push_varint(&mut self.bytes, u32::from(target));
        self.bytes.extend_from_slice(&time_ms.to_le_bytes());
    }

    /// Whether the row still fits into the block; always true for the first one.
    pub fn has_room_for(&self, row: &OutRow<'_>) -> bool {
        self.has_room(bytes_at_most(row))
    }

    /// Likewise, for a row of so many bytes at most.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.rows == 0 || self.bytes.len() + bytes <= BLOCK_BYTES_MAX
    }

    /// Rows written.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The rows' bytes, as they go into [`BlockLog::append`](super::log::BlockLog::append).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rows' bytes, taken over.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Begins the next block in the same memory, unless a giant row made it unusually large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BLOCK_BYTES_MAX);
        self.rows = 0;
    }
}

/// Upper bound of the bytes of flags, target and time.
const FRONT_BYTES_MAX: usize = 1 + VARINT_BYTES_MAX + 8;

/// Upper bound of the row's encoded bytes.
pub(crate) fn bytes_at_most(row: &OutRow<'_>) -> usize {
    let part = |bytes: &[u8]| VARINT_BYTES_MAX + bytes.len();
    let fixed = FRONT_BYTES_MAX + VARINT_BYTES_MAX;
    let headers: usize =
        row.headers.iter().map(|(name, value)| part(name.as_bytes()) + part(value)).sum();
    let topic = row.topic.map_or(0, |topic| part(topic.as_bytes()));
    fixed + topic + row.key.map_or(0, part) + row.value.map_or(0, part) + headers
}

fn length_of(length: usize) -> u32 {
    u32::try_from(length).expect("a row is far below 4 GiB (row.bytes_max)")
}

#[inline]
fn push_part(bytes: &mut Vec<u8>, part: &[u8]) {
    push_varint(bytes, length_of(part.len()));
    bytes.extend_from_slice(part);
}

#[inline]
fn push_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}

/// A row as it lies in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef<'a> {
    /// Which topic or table of the sink; nothing where the row names its topic.
    pub target: u16,
    /// The topic, where it is none of those the sink numbers.
    pub topic: Option<&'a str>,
    /// What it does there.
    pub op: Op,
    /// Time of the record, milliseconds since 1970.
    pub time_ms: i64,
    /// Encoded key.
    pub key: Option<&'a [u8]>,
    /// Encoded value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: Headers<'a>,
}

/// The headers of a row, checked when the row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.bytes).ok()
    }
}

/// Bytes that are not rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("row at byte {offset} of its block is damaged: {reason}")]
pub struct RowFault {
    /// Where the row begins in the block's bytes.
    pub offset: usize,
    /// What does not fit.
    pub reason: &'static str,
}

/// The rows of a block's bytes in order. After a fault there are no more.
#[derive(Debug, Clone)]
pub struct RowReader<'a> {
    length: usize,
    rest: &'a [u8],
}

impl<'a> RowReader<'a> {
    /// A reader of the bytes of one block.
    pub fn new(bytes: &'a [u8]) -> RowReader<'a> {
        RowReader { length: bytes.len(), rest: bytes }
    }
}

impl<'a> Iterator for RowReader<'a> {
    type Item = Result<RowRef<'a>, RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.length - self.rest.len();
        let row = read_row(&mut self.rest);
        if row.is_err() {
            self.rest = &[];
        }
        Some(row.map_err(|reason| RowFault { offset, reason }))
    }
}

const SHORT: &str = "it ends too soon";

fn read_row<'a>(rest: &mut &'a [u8]) -> Result<RowRef<'a>, &'static str> {
    let flags = *rest.split_off_first().ok_or(SHORT)?;
    if flags & !FLAGS_KNOWN != 0 {
        return Err("it has unknown flags");
    }
    let target = u16::try_from(read_varint(rest)?).map_err(|_wide| "its target is too large")?;
    let (time, after) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = after;
    let mut part = |bit| (flags & bit != 0).then(|| read_part(rest)).transpose();
    let topic = part(FLAG_TOPIC)?.map(str::from_utf8).transpose();
    Ok(RowRef {
        target,
        topic: topic.map_err(|_not_text| "its topic has no name")?,
        op: if flags & FLAG_DELETE != 0 { Op::Delete } else { Op::Insert },
        time_ms: i64::from_le_bytes(*time),
        key: part(FLAG_KEY)?,
        value: part(FLAG_VALUE)?,
        headers: read_headers(rest, flags)?,
    })
}

/// Walks over the headers once, so that iterating over them later cannot fail.
fn read_headers<'a>(rest: &mut &'a [u8], flags: u8) -> Result<Headers<'a>, &'static str> {
    if flags & FLAG_HEADERS == 0 {
        return Ok(Headers { count: 0, bytes: &[] });
    }
    let count = read_varint(rest)?;
    let start = *rest;
    for _ in 0..count {
        read_header(rest)?;
    }
    Ok(Headers { count, bytes: &start[..start.len() - rest.len()] })
}

fn read_header<'a>(rest: &mut &'a [u8]) -> Result<(&'a str, &'a [u8]), &'static str> {
    let name = std::str::from_utf8(read_part(rest)?).map_err(|_not_text| "a header has no name")?;
    Ok((name, read_part(rest)?))
}

#[inline]
fn read_part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let length = usize::try_from(read_varint(rest)?).expect("32 bits fit");
    rest.split_off(..length).ok_or(SHORT)
}

#[inline]
fn read_varint(rest: &mut &[u8]) -> Result<u32, &'static str> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *rest.split_off_first().ok_or(SHORT)?;
        if shift == 28 && byte > 0x0f {
            break;
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a length is too large")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: OutRow<'static> = OutRow {
        target: 300,
        topic: None,
        op: Op::Delete,
        time_ms: -1,
        key: Some(b"k"),
        value: None,
        headers: &[("h", b"vv")],
    };

    fn written(rows: &[OutRow<'_>]) -> Vec<u8> {
        let mut writer = RowWriter::new();
        rows.iter().for_each(|row| writer.push(row));
        assert_eq!(writer.rows() as usize, rows.len());
        writer.bytes().to_vec()
    }

    #[test]
    fn golden_bytes() {
        let mut golden = vec![0b1011, 0xac, 0x02];
        golden.extend([0xff; 8]);
        golden.extend(b"\x01k\x01\x01h\x02vv");
        let plain = OutRow {
            target: 1,
            topic: None,
            op: Op::Insert,
            time_ms: 2,
            key: None,
            value: Some(b""),
            headers: &[],
        };
        golden.extend(b"\x04\x01\x02\0\0\0\0\0\0\0\0");
        let named = OutRow { target: 0, topic: Some("t\u{e9}"), key: Some(b"k"), ..plain };
        golden.extend(b"\x16\0\x02\0\0\0\0\0\0\0\x03t\xc3\xa9\x01k\0");
        assert_eq!(written(&[ROW, plain, named]), golden);
        let rows: Vec<_> = RowReader::new(&golden).map(Result::unwrap).collect();
        assert_eq!(rows[0].headers.collect::<Vec<_>>(), ROW.headers);
        assert_eq!((rows[0].target, rows[0].op, rows[0].time_ms), (300, Op::Delete, -1));
        assert_eq!((rows[0].key, rows[0].value), (Some(&b"k"[..]), None));
        assert_eq!((rows[1].key, rows[1].value), (None, Some(&b""[..])));
        assert_eq!((rows[0].topic, rows[2].topic), (None, Some("t\u{e9}")));
        assert_eq!((rows[2].key, rows[2].value), (Some(&b"k"[..]), Some(&b""[..])));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn faults_name_the_row_and_end_the_reading() {
        let good = written(&[ROW, ROW]);
        let second = good.len() / 2;
        let mut flags = good.clone();
        flags[second] = 0xf0;
        let mut target = good.clone();
        target.splice(second + 1..second + 3, [0xff, 0xff, 0x04]);
        let mut name = good.clone();
        name[second + 15] = 0xff;
        let mut topic = good.clone();
        topic.splice(second.., *b"\x10\0\0\0\0\0\0\0\0\0\x01\xff");
        let mut long = good.clone();
        long.splice(second + 11..second + 12, [0xff, 0xff, 0xff, 0xff, 0x1f]);
        for (bytes, reason) in [
            (&good[..good.len() - 1], SHORT),
            (&flags, "it has unknown flags"),
            (&target, "its target is too large"),
            (&name, "a header has no name"),
            (&topic, "its topic has no name"),
            (&long, "a length is too large"),
        ] {
            let rows: Vec<_> = RowReader::new(bytes).collect();
            assert_eq!(rows.len(), 2, "{reason}");
            assert!(rows[0].is_ok());
            assert_eq!(rows[1], Err(RowFault { offset: second, reason }));
        }
    }

    #[test]
    fn a_block_is_full_at_its_limit_but_takes_one_giant() {
        let value = vec![7; BLOCK_BYTES_MAX];
        let giant = OutRow { value: Some(&value), ..ROW };
        let mut writer = RowWriter::new();
        assert!(writer.has_room_for(&giant));
        writer.push(&ROW);
        assert!(!writer.has_room_for(&giant));
        writer.clear();
        writer.push(&giant);
        assert!(!writer.has_room_for(&ROW));
        writer.clear();
        while writer.has_room_for(&ROW) {
            writer.push(&ROW);
        }
        let length = writer.bytes().len();
        assert!((BLOCK_BYTES_MAX - 64..=BLOCK_BYTES_MAX).contains(&length), "{length}");
    }

    type Target = (u16, Option<String>);
    type Owned = (Target, bool, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

    fn row() -> impl Strategy<Value = Owned> {
        let part = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        let header = (".{0,5}", proptest::collection::vec(any::<u8>(), 0..5));
        let headers = proptest::collection::vec(header, 0..3);
        let target = (any::<u16>(), proptest::option::of(".{0,9}"));
        (target, any::<bool>(), any::<i64>(), part(), part(), headers)
    }

    proptest! {
        #[test]
        fn rows_return(rows in proptest::collection::vec(row(), 0..10)) {
            let mut writer = RowWriter::new();
            for ((target, topic), delete, time_ms, key, value, headers) in &rows {
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                writer.push(&OutRow {
                    target: *target,
                    topic: topic.as_deref(),
                    op: if *delete { Op::Delete } else { Op::Insert },
                    time_ms: *time_ms,
                    key: key.as_deref(),
                    value: value.as_deref(),
                    headers: &headers,
                });
            }
            let read: Vec<Owned> = RowReader::new(writer.bytes()).map(Result::unwrap).map(|row| (
                (row.target, row.topic.map(str::to_owned)),
                row.op == Op::Delete,
                row.time_ms,
                row.key.map(<[u8]>::to_vec),
                row.value.map(<[u8]>::to_vec),
                row.headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            )).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for row in RowReader::new(&bytes).flatten() {
                row.headers.for_each(drop);
            }
        }
    }
}
