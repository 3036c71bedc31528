//! Rows of one partition as records of a Kafka topic: the second form of a block.
//!
//! ```text
//!   0x80 u8 | target u16 | partition u32 | most bytes of key and value u32      (little endian)
//!   per row: length | attributes i8 = 0 | timestamp delta = 0 | offset delta
//!     | key length, key | value length, value
//!     | headers: count, per header: name length, name (UTF-8), value length, value
//! ```
//!
//! Lengths, counts and deltas are zigzag varints; a length of -1 is a null. The offset delta of a row
//! is its number in the block. Source: "Record" of the message format in Kafka's documentation,
//! version 2 of record batches.
//!
//! Why: behind a header of 61 bytes the rows are a record batch. A sink that speaks this form sends
//! them as they lie, where otherwise it reads, places and copies every row again: a quarter of what
//! the log split from Kafka to Kafka cost. Who does not still reads them like any other rows.
//!
//! What the form has no room for: a row lies here without its own time, for the batch carries that of
//! writing; and it is read as an insert, so a target that tells deletes from tombstones MUST not ask
//! for it.
//!
//! No block of the first form begins with the byte 0x80, for flags that are not known are damage.

use super::draft::Draft;
use super::{
    BLOCK_BYTES_MAX, Lengths, Op, OutRow, RowRef, RowWriter, SHORT, length_of, push_varint,
    read_headers, read_varint, take,
};
use crate::batch::NO_TIME;

/// Bytes of a block in this form, as long as it has more than one row. A sink has one block open for
/// each partition, so they are smaller than others.
pub const RECORDS_BYTES_MAX: usize = BLOCK_BYTES_MAX / 4;
/// Bytes before the first record.
pub const PREAMBLE_BYTES: usize = 11;

const MARK: u8 = 0x80;
/// Where it stands how large rows are at most.
const LARGEST: std::ops::Range<usize> = 7..PREAMBLE_BYTES;
/// Length of what is null.
const NULL: u8 = 1;

/// How the rows of a block are written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowForm {
    /// Of any target.
    #[default]
    Any,
    /// As records of one partition, none of which has more bytes of key and value than `largest`.
    Records { largest: u32 },
}

impl RowForm {
    /// Bytes of a block, as long as it has more than one row.
    #[inline]
    pub(super) fn block_bytes_max(self) -> usize {
        match self {
            Self::Any => BLOCK_BYTES_MAX,
            Self::Records { .. } => RECORDS_BYTES_MAX,
        }
    }
}

/// A block whose rows are records of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a> {
    /// Which topic of the sink.
    pub target: u16,
    /// Its partition.
    pub partition: u32,
    /// No record has more bytes of key and value.
    pub largest: u32,
    /// The records as they are sent.
    pub bytes: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records in the bytes of a block; `None` if its rows lie there in the first form.
    pub fn of(block: &'a [u8]) -> Option<Self> {
        let (preamble, bytes) = block.split_first_chunk::<PREAMBLE_BYTES>()?;
        let (mark, rest) = preamble.split_first()?;
        let (target, rest) = rest.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        (*mark == MARK).then_some(Self {
            target: u16::from_le_bytes(*target),
            partition: u32::from_le_bytes(*partition),
            largest: u32::from_le_bytes(*rest.first_chunk()?),
            bytes,
        })
    }
}

impl RowWriter {
    /// A writer without rows in this memory, whose rows all go to this partition and are written as
    /// records.
    pub fn of_partition(mut memory: Vec<u8>, target: u16, partition: u32) -> RowWriter {
        memory.clear();
        memory.push(MARK);
        memory.extend_from_slice(&target.to_le_bytes());
        memory.extend_from_slice(&partition.to_le_bytes());
        memory.extend_from_slice(&[0; LARGEST.end - LARGEST.start]);
        RowWriter { bytes: memory, rows: 0, form: RowForm::Records { largest: 0 } }
    }

    /// Writes a row as a record; there is room for it.
    pub(super) fn push_record(&mut self, row: &OutRow<'_>) {
        assert!(row.op == Op::Insert || row.value.is_none(), "a record deletes by its null value");
        let start = self.bytes.len();
        // What a record may be longest decides about the free bytes; mostly just as many are right.
        let free = self.begin_record(row.bytes_at_most());
        for part in [row.key, row.value] {
            push_nullable(&mut self.bytes, part);
        }
        push_varint(&mut self.bytes, zigzag(row.headers.len()));
        for (name, value) in row.headers {
            push_nullable(&mut self.bytes, Some(name.as_bytes()));
            push_nullable(&mut self.bytes, Some(value));
        }
        self.end_record(start, free);
        let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        self.note_largest(length(row.key) + length(row.value));
    }

    /// Writes a row as a record whose value `write` appends, and answers how long that is.
    #[inline]
    pub(super) fn push_record_draft(
        &mut self,
        draft: &Draft<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let start = self.bytes.len();
        let free = self.begin_record(draft.bytes_at_most());
        push_nullable(&mut self.bytes, Some(draft.key));
        let length = self.push_value(zigzag, draft.value_bytes_max, write);
        self.bytes.push(0);
        self.end_record(start, free);
        self.note_largest(draft.key.len() + length);
        length
    }

    /// Begins a record that has no more bytes than said; answers how many are left free for its
    /// length.
    #[inline]
    fn begin_record(&mut self, bytes_at_most: usize) -> usize {
        let free = self.push_free(zigzag(bytes_at_most));
        // Attributes and timestamp delta.
        self.bytes.extend_from_slice(&[0, 0]);
        push_varint(&mut self.bytes, self.rows << 1);
        free
    }

    #[inline]
    fn end_record(&mut self, start: usize, free: usize) {
        let length = self.bytes.len() - start - free;
        self.set_length(start, free, zigzag(length));
    }

    #[inline]
    fn note_largest(&mut self, bytes: usize) {
        let bytes = length_of(bytes);
        if let RowForm::Records { largest } = &mut self.form
            && *largest < bytes
        {
            *largest = bytes;
            self.bytes[LARGEST].copy_from_slice(&bytes.to_le_bytes());
        }
    }
}

/// A length as it is written.
#[inline]
fn zigzag(length: usize) -> u32 {
    // Half the range, so that it fits doubled.
    let length = length_of(length);
    assert!(length < 1 << 31, "a row is far below 2 GiB (row.bytes_max)");
    length << 1
}

#[inline]
fn push_nullable(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    let Some(part) = part else { return bytes.push(NULL) };
    push_varint(bytes, zigzag(part.len()));
    bytes.extend_from_slice(part);
}

/// Takes the record of this number.
pub(super) fn read_record<'a>(
    rest: &mut &'a [u8],
    target: u16,
    number: u32,
) -> Result<RowRef<'a>, &'static str> {
    let length = read_length(rest)?.ok_or("it has no length")?;
    let mut record = take(rest, length)?;
    let rest = &mut record;
    if rest.split_off(..2).ok_or(SHORT)? != [0, 0] {
        return Err("it has attributes or a time of its own");
    }
    if read_length(rest)? != Some(number) {
        return Err("it has another number");
    }
    let (key, value) = (read_nullable(rest)?, read_nullable(rest)?);
    let headers = read_length(rest)?.ok_or("its headers have no count")?;
    let headers = read_headers(rest, headers, Lengths::Zigzag)?;
    if !rest.is_empty() {
        return Err("it is longer than its parts");
    }
    Ok(RowRef { target, topic: None, op: Op::Insert, time_ms: NO_TIME, key, value, headers })
}

/// Takes a length and so many bytes, if it is not null.
#[inline]
pub(super) fn read_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    read_length(rest)?.map(|length| take(rest, length)).transpose()
}

/// Takes a zigzag varint; `None` is -1.
#[inline]
fn read_length(rest: &mut &[u8]) -> Result<Option<u32>, &'static str> {
    match read_varint(rest)? {
        1 => Ok(None),
        value if value & 1 == 1 => Err("a length is negative"),
        value => Ok(Some(value >> 1)),
    }
}

#[cfg(test)]
mod tests;
