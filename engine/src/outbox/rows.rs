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
//!
//! Rows that all go to one partition of a Kafka topic lie in a second form, in which they are sent as
//! they are: [`records`].
//! A block is checked by its checksum before it comes here; still, no bytes make the reader panic.

pub mod draft;
pub mod records;

use self::draft::varint;
use self::records::{Records, RowForm, read_nullable, read_record};
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

    /// No row is larger in a block than this, whatever its form.
    pub fn bytes_at_most(&self) -> usize {
        let part = |bytes: &[u8]| VARINT_BYTES_MAX + bytes.len();
        let fixed = FRONT_BYTES_MAX + VARINT_BYTES_MAX;
        let headers: usize =
            self.headers.iter().map(|(name, value)| part(name.as_bytes()) + part(value)).sum();
        let topic = self.topic.map_or(0, |topic| part(topic.as_bytes()));
        fixed + topic + self.key.map_or(0, part) + self.value.map_or(0, part) + headers
    }
}

/// Rows collected for one block.
#[derive(Debug, Default, Clone)]
pub struct RowWriter {
    bytes: Vec<u8>,
    rows: u32,
    form: RowForm,
}

impl RowWriter {
    /// A writer without rows.
    pub fn new() -> RowWriter {
        RowWriter::default()
    }

    /// A writer without rows in this memory.
    pub(crate) fn within(memory: Vec<u8>) -> RowWriter {
        RowWriter { bytes: memory, rows: 0, form: RowForm::Any }
    }

    /// Appends a row. The caller asks [`RowWriter::has_room_for`] first and passes a full block on.
    pub fn push(&mut self, row: &OutRow<'_>) {
        self.bytes.reserve(row.bytes_at_most());
        match self.form {
            RowForm::Any => self.push_any(row),
            RowForm::Records { .. } => self.push_record(row),
        }
        self.rows += 1;
    }

    fn push_any(&mut self, row: &OutRow<'_>) {
        let flag = |bit: u8, set: bool| if set { bit } else { 0 };
        let flags = flag(FLAG_DELETE, row.op == Op::Delete)
            | flag(FLAG_KEY, row.key.is_some())
            | flag(FLAG_VALUE, row.value.is_some())
            | flag(FLAG_HEADERS, !row.headers.is_empty())
            | flag(FLAG_TOPIC, row.topic.is_some());
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
    }

    /// What every row of the first form begins with.
    #[inline]
    fn push_front(&mut self, flags: u8, target: u16, time_ms: i64) {
        match u8::try_from(target) {
            Ok(target @ 0..0x80) => self.bytes.extend_from_slice(&[flags, target]),
            _ => {
                self.bytes.push(flags);
                push_varint(&mut self.bytes, u32::from(target));
            }
        }
        self.bytes.extend_from_slice(&time_ms.to_le_bytes());
    }

    /// Whether the row still fits into the block; always true for the first one.
    pub fn has_room_for(&self, row: &OutRow<'_>) -> bool {
        self.has_room(row.bytes_at_most())
    }

    /// Likewise, for a row of so many bytes at most.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.rows == 0 || self.bytes.len() + bytes <= self.form.block_bytes_max()
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

    /// Begins the next block in the same memory, unless a giant row made it unusually large. Its rows
    /// lie in the first form.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BLOCK_BYTES_MAX);
        *self = RowWriter::within(std::mem::take(&mut self.bytes));
    }
}

/// Upper bound of the bytes of flags, target and time; a record has no more before its key.
const FRONT_BYTES_MAX: usize = 1 + VARINT_BYTES_MAX + 8;

#[inline]
fn length_of(length: usize) -> u32 {
    u32::try_from(length).expect("a row is far below 4 GiB (row.bytes_max)")
}

#[inline]
fn push_part(bytes: &mut Vec<u8>, part: &[u8]) {
    push_varint(bytes, length_of(part.len()));
    bytes.extend_from_slice(part);
}

#[inline]
fn push_varint(bytes: &mut Vec<u8>, value: u32) {
    // As it is with nearly all keys, targets and counts.
    match u8::try_from(value) {
        Ok(value @ 0..0x80) => bytes.push(value),
        _ => push_long_varint(bytes, value),
    }
}

fn push_long_varint(bytes: &mut Vec<u8>, value: u32) {
    let (varint, count) = varint(value);
    bytes.extend_from_slice(&varint[..count]);
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
    lengths: Lengths,
}

/// How the lengths before the parts of a row are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    /// As varints.
    Plain,
    /// As zigzag varints.
    Zigzag,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.bytes, self.lengths).ok()
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
    /// Where they lie as records: their target, and the number of the next one.
    records: Option<(u16, u32)>,
}

impl<'a> RowReader<'a> {
    /// A reader of the bytes of one block.
    pub fn new(bytes: &'a [u8]) -> RowReader<'a> {
        let length = bytes.len();
        match Records::of(bytes) {
            Some(found) => {
                RowReader { length, rest: found.bytes, records: Some((found.target, 0)) }
            }
            None => RowReader { length, rest: bytes, records: None },
        }
    }

    fn read(&mut self) -> Result<RowRef<'a>, &'static str> {
        match &mut self.records {
            None => read_row(&mut self.rest),
            Some((target, number)) => {
                let row = read_record(&mut self.rest, *target, *number);
                *number += 1;
                row
            }
        }
    }
}

impl<'a> Iterator for RowReader<'a> {
    type Item = Result<RowRef<'a>, RowFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.length - self.rest.len();
        let row = self.read();
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
    let (key, value) = (part(FLAG_KEY)?, part(FLAG_VALUE)?);
    let headers = if flags & FLAG_HEADERS != 0 { read_varint(rest)? } else { 0 };
    Ok(RowRef {
        target,
        topic: topic.map_err(|_not_text| "its topic has no name")?,
        op: if flags & FLAG_DELETE != 0 { Op::Delete } else { Op::Insert },
        time_ms: i64::from_le_bytes(*time),
        key,
        value,
        headers: read_headers(rest, headers, Lengths::Plain)?,
    })
}

/// Walks over the headers once, so that iterating over them later cannot fail.
fn read_headers<'a>(
    rest: &mut &'a [u8],
    count: u32,
    lengths: Lengths,
) -> Result<Headers<'a>, &'static str> {
    let start = *rest;
    for _ in 0..count {
        read_header(rest, lengths)?;
    }
    Ok(Headers { count, bytes: &start[..start.len() - rest.len()], lengths })
}

fn read_header<'a>(
    rest: &mut &'a [u8],
    lengths: Lengths,
) -> Result<(&'a str, &'a [u8]), &'static str> {
    let mut part = || match lengths {
        Lengths::Plain => read_part(rest),
        Lengths::Zigzag => read_nullable(rest)?.ok_or("a header has no value"),
    };
    let name = str::from_utf8(part()?).map_err(|_not_text| "a header has no name")?;
    Ok((name, part()?))
}

#[inline]
fn read_part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let length = read_varint(rest)?;
    take(rest, length)
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: u32) -> Result<&'a [u8], &'static str> {
    rest.split_off(..usize::try_from(length).expect("32 bits fit")).ok_or(SHORT)
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
mod tests;
