//! Record batches, version 2: records as they lie in a topic.
//!
//! Source: "Record batch" and "Record" of Kafka's documentation (message format). Layout, big
//! endian; lengths and deltas of records are zigzag varints:
//!
//! ```text
//! base offset i64 | length i32 | leader epoch i32 | magic i8 = 2 | crc32c u32 | attributes i16
//! | last offset delta i32 | base timestamp i64 | max timestamp i64 | producer id i64
//! | producer epoch i16 | base sequence i32 | records i32
//!   length | attributes i8 | timestamp delta | offset delta | key length, key
//!   | value length, value | headers: count, (name length, name, value length, value) ...
//! ```
//!
//! - A length of -1 is a null key or value.
//! - The checksum covers everything behind it.
//! - All records of a batch carry its base timestamp, so their deltas are zero.
//! - Attributes: bit 4 says that the batch belongs to a transaction.
//!
//! Records are written straight into the buffer that is sent; who, when and how many is filled in
//! when the batch is sealed.

use super::bytes::low_bits;

/// Bytes before the first record.
pub(in crate::kafka) const HEADER_BYTES: usize = 61;
/// Version of the format.
pub(super) const MAGIC: u8 = 2;
const TRANSACTIONAL: i16 = 1 << 4;
/// Most bytes of a varint of 32 bits.
const VARINT_BYTES_MAX: usize = 5;
/// Bytes of a record before its key: length, attributes, two deltas, length of the key.
const HEAD_BYTES_MAX: usize = 3 * VARINT_BYTES_MAX + 2;

/// Who writes, and the number of its first record there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Stamp {
    pub(in crate::kafka) producer: i64,
    pub(in crate::kafka) epoch: i16,
    /// Records of one partition are numbered without holes; by this a broker knows a batch again.
    pub(in crate::kafka) sequence: i32,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(in crate::kafka) struct Record<'a, H> {
    pub(in crate::kafka) key: Option<&'a [u8]>,
    pub(in crate::kafka) value: Option<&'a [u8]>,
    /// Names and values in order.
    pub(in crate::kafka) headers: H,
}

impl<'a, H: Iterator<Item = (&'a str, &'a [u8])> + Clone> Record<'a, H> {
    /// Bytes of key and value.
    pub(in crate::kafka) fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// No record is larger in a batch than this.
    #[inline]
    pub(in crate::kafka) fn bytes_at_most(&self) -> usize {
        let part = |bytes: usize| VARINT_BYTES_MAX + bytes;
        let headers = self.headers.clone();
        let headers: usize =
            headers.map(|(name, value)| part(name.len()) + part(value.len())).sum();
        HEAD_BYTES_MAX + self.bytes() + 2 * VARINT_BYTES_MAX + headers
    }

    /// What its length field says.
    #[inline]
    fn length(&self, offset: u32) -> u32 {
        let nullable = |part: Option<&[u8]>| part.map_or(1, |part| prefixed(part.len()));
        let mut count = 0;
        let mut headers = 0;
        for (name, value) in self.headers.clone() {
            headers += prefixed(name.len()) + prefixed(value.len());
            count += 1;
        }
        // Attributes and timestamp delta are one byte each.
        2 + varint_bytes(offset)
            + nullable(self.key)
            + nullable(self.value)
            + varint_bytes(count)
            + headers
    }
}

/// Records for one partition.
#[derive(Debug)]
pub(in crate::kafka) struct Batch {
    bytes: Vec<u8>,
    records: u32,
    largest: usize,
    time_ms: i64,
}

impl Batch {
    /// A batch without records in this memory; they all carry the time `time_ms`.
    pub(in crate::kafka) fn begin(mut bytes: Vec<u8>, time_ms: i64) -> Self {
        bytes.clear();
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, records: 0, largest: 0, time_ms }
    }

    /// Appends a record.
    #[inline]
    pub(in crate::kafka) fn push<'a, H>(&mut self, record: &Record<'a, H>)
    where
        H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
    {
        self.bytes.reserve(record.bytes_at_most());
        let mut head = Head::default();
        head.unsigned(zigzag(record.length(self.records)));
        head.byte(0);
        head.byte(0);
        head.unsigned(zigzag(self.records));
        head.length(record.key);
        self.bytes.extend_from_slice(head.bytes());
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        let mut head = Head::default();
        head.length(record.value);
        self.bytes.extend_from_slice(head.bytes());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        self.push_headers(record.headers.clone());
        self.records += 1;
        self.largest = self.largest.max(record.bytes());
    }

    fn push_headers<'a>(&mut self, headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) {
        let mut head = Head::default();
        head.unsigned(zigzag(length_of(headers.clone().count())));
        self.bytes.extend_from_slice(head.bytes());
        for (name, value) in headers {
            for part in [name.as_bytes(), value] {
                let mut head = Head::default();
                head.length(Some(part));
                self.bytes.extend_from_slice(head.bytes());
                self.bytes.extend_from_slice(part);
            }
        }
    }

    /// Bytes so far.
    pub(in crate::kafka) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of records so far.
    pub(in crate::kafka) fn records_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    /// Records so far.
    pub(in crate::kafka) fn records(&self) -> u32 {
        self.records
    }

    /// Key and value of the largest record.
    pub(in crate::kafka) fn largest(&self) -> usize {
        self.largest
    }

    /// Fills in the header. The batch takes no more records.
    pub(in crate::kafka) fn seal(&mut self, stamp: Stamp) {
        assert!(self.records > 0, "a batch has records");
        let (header, records) = self.bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&header_of(records, self.records, self.time_ms, stamp));
    }

    /// A sealed batch as it is sent.
    pub(in crate::kafka) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its memory, to be used again.
    pub(in crate::kafka) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }
}

/// The header of a batch of these records, so many, which all carry the time `time_ms`.
pub(in crate::kafka) fn header_of(
    records: &[u8],
    count: u32,
    time_ms: i64,
    stamp: Stamp,
) -> [u8; HEADER_BYTES] {
    use super::bytes::Put as _;
    let count = i32::try_from(count).expect("a batch is below 2 GiB");
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.i64(0);
    header.count(HEADER_BYTES + records.len() - LENGTH_COUNTS_FROM);
    header.i32(-1);
    header.put(&[MAGIC]);
    header.i32(0);
    header.i16(TRANSACTIONAL);
    header.i32(count - 1);
    header.i64(time_ms);
    header.i64(time_ms);
    header.i64(stamp.producer);
    header.i16(stamp.epoch);
    header.i32(stamp.sequence);
    header.i32(count);
    let crc = crc32c::crc32c(&header[CRC_COVERS_FROM..]);
    header[CRC].copy_from_slice(&crc32c::crc32c_append(crc, records).to_be_bytes());
    header.try_into().expect("the fields are 61 bytes")
}

/// The length field does not count itself and what is before it.
pub(super) const LENGTH_COUNTS_FROM: usize = 12;
/// Where the checksum lies; it covers all behind it.
pub(super) const CRC: std::ops::Range<usize> = 17..CRC_COVERS_FROM;
pub(super) const CRC_COVERS_FROM: usize = 21;

/// The bytes of a record before its key or value, gathered so that they are appended at once.
#[derive(Default)]
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl Head {
    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn unsigned(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.byte(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.byte(low_bits(value));
    }

    /// Of a key or value, null or not.
    #[inline]
    fn length(&mut self, part: Option<&[u8]>) {
        match part {
            // Zigzag of -1.
            None => self.byte(1),
            Some(part) => self.unsigned(zigzag(length_of(part.len()))),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Zigzag of a number that is not negative.
#[inline]
fn zigzag(value: u32) -> u32 {
    value << 1
}

#[inline]
fn length_of(length: usize) -> u32 {
    // Half the range, so that its zigzag fits.
    let length = u32::try_from(length).ok().filter(|length| *length < 1 << 31);
    length.expect("a row is far below 2 GiB (row.bytes_max)")
}

/// Bytes of the zigzag varint of a number that is not negative.
#[inline]
fn varint_bytes(value: u32) -> u32 {
    let bits = (zigzag(value) | 1).ilog2() + 1;
    bits.div_ceil(7)
}

/// Bytes of a part with its length before it.
#[inline]
fn prefixed(length: usize) -> u32 {
    let length = length_of(length);
    varint_bytes(length) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pair<'a> = (&'a str, &'a [u8]);

    fn record<'a>(
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a [Pair<'a>],
    ) -> Record<'a, std::iter::Copied<std::slice::Iter<'a, Pair<'a>>>> {
        Record { key, value, headers: headers.iter().copied() }
    }

    const STAMP: Stamp = Stamp { producer: 0x0102, epoch: 3, sequence: 0x0405 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let mut batch = Batch::begin(vec![1, 2, 3], 0x0a0b);
        batch.push(&record(Some(b"k"), Some(b"vv"), &[]));
        batch.push(&record(None, None, &[("h", b"x")]));
        batch.push(&record(Some(b""), Some(b""), &[]));
        batch.seal(STAMP);
        let header = "0000000000000000 0000004d ffffffff 02 CCCCCCCC 0010 00000002 \
                      0000000000000a0b 0000000000000a0b 0000000000000102 0003 00000405 00000003";
        let records = "12 00 00 00 02 6b 04 7676 00 \
                       14 00 00 02 01 01 02 02 68 02 78 \
                       0c 00 00 04 00 00 00";
        let crc = hex(&batch.bytes()[CRC]);
        let golden = format!("{header}{records}").replace(' ', "").replace("CCCCCCCC", &crc);
        assert_eq!(hex(batch.bytes()), golden);
        assert_eq!(crc, format!("{:08x}", crc32c::crc32c(&batch.bytes()[21..])));
        assert_eq!((batch.records(), batch.largest()), (3, 3));
    }

    #[test]
    fn long_lengths_take_more_bytes() {
        let value = vec![7; 1 << 20];
        let mut batch = Batch::begin(Vec::new(), 0);
        batch.push(&record(None, Some(&value), &[]));
        // Attributes, two deltas, a null key, 4 bytes of length, the value, no headers.
        assert_eq!(zigzag(1 + 2 + 1 + 4 + (1 << 20) + 1), 0x20_0012);
        let begin = &batch.bytes()[HEADER_BYTES..HEADER_BYTES + 12];
        assert_eq!(begin, b"\x92\x80\x80\x01\0\0\0\x01\x80\x80\x80\x01");
    }

    /// Reads records back, independently of how they are written.
    fn records(mut bytes: &[u8]) -> Vec<Owned> {
        fn number(bytes: &mut &[u8]) -> i64 {
            let (mut value, mut shift) = (0_u64, 0);
            loop {
                let byte = *bytes.split_off_first().unwrap();
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return (value >> 1).cast_signed() ^ -((value & 1).cast_signed());
                }
            }
        }
        fn part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
            let length = usize::try_from(number(bytes)).ok()?;
            Some(bytes.split_off(..length).unwrap().to_vec())
        }
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = usize::try_from(number(&mut bytes)).unwrap();
            let mut one = bytes.split_off(..length).unwrap();
            assert_eq!(one.split_off_first(), Some(&0));
            assert_eq!(number(&mut one), 0);
            assert_eq!(number(&mut one), i64::try_from(found.len()).unwrap());
            let (key, value) = (part(&mut one), part(&mut one));
            let count = number(&mut one);
            let headers = (0..count).map(|_| {
                (String::from_utf8(part(&mut one).unwrap()).unwrap(), part(&mut one).unwrap())
            });
            found.push((key, value, headers.collect()));
            assert!(one.is_empty());
        }
        found
    }

    type Owned = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

    fn owned() -> impl Strategy<Value = Owned> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
        let header = (".{0,5}", proptest::collection::vec(any::<u8>(), 0..5));
        let part = || proptest::option::of(bytes());
        (part(), part(), proptest::collection::vec(header, 0..3))
    }

    proptest! {
        #[test]
        fn records_return(all in proptest::collection::vec(owned(), 1..80)) {
            let mut batch = Batch::begin(Vec::new(), 5);
            for (key, value, headers) in &all {
                let headers: Vec<Pair<'_>> = headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_slice()))
                    .collect();
                let record = record(key.as_deref(), value.as_deref(), &headers);
                let before = batch.len();
                batch.push(&record);
                prop_assert!(batch.len() - before <= record.bytes_at_most());
            }
            batch.seal(STAMP);
            let length = i32::from_be_bytes(*batch.bytes()[8..].first_chunk().unwrap());
            prop_assert_eq!(usize::try_from(length).unwrap() + 12, batch.len());
            prop_assert_eq!(records(&batch.bytes()[HEADER_BYTES..]), all);
        }
    }
}
