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
//! The records are written elsewhere: an outbox lays rows of one partition in just this form
//! (`engine::outbox::rows::records`), and so does the producer. Here is what comes before them.

use engine::checksum::joined;

/// Bytes before the first record.
pub(in crate::kafka) const HEADER_BYTES: usize = 61;
/// Version of the format.
pub(super) const MAGIC: u8 = 2;
const TRANSACTIONAL: i16 = 1 << 4;
/// The length field does not count itself and what is before it.
pub(super) const LENGTH_COUNTS_FROM: usize = 12;
/// Where the checksum lies; it covers all behind it.
pub(super) const CRC: std::ops::Range<usize> = 17..CRC_COVERS_FROM;
pub(super) const CRC_COVERS_FROM: usize = 21;

/// Who writes, and the number of its first record there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Stamp {
    pub(in crate::kafka) producer: i64,
    pub(in crate::kafka) epoch: i16,
    /// Records of one partition are numbered without holes; by this a broker knows a batch again.
    pub(in crate::kafka) sequence: i32,
}

/// What a header says of the records behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Sum {
    pub(in crate::kafka) bytes: usize,
    pub(in crate::kafka) count: u32,
    /// CRC-32C of the bytes.
    pub(in crate::kafka) crc: u32,
}

/// The header of a batch of records that all carry the time `time_ms`.
pub(in crate::kafka) fn header_of(records: Sum, time_ms: i64, stamp: Stamp) -> [u8; HEADER_BYTES] {
    use super::bytes::Put as _;
    let count = i32::try_from(records.count).expect("a batch is below 2 GiB");
    let bytes = u32::try_from(records.bytes).expect("a batch is below 2 GiB");
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.i64(0);
    header.count(HEADER_BYTES + records.bytes - LENGTH_COUNTS_FROM);
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
    header[CRC].copy_from_slice(&joined(crc, records.crc, bytes).to_be_bytes());
    header.try_into().expect("the fields are 61 bytes")
}

/// A batch of records with these keys and values, each with these headers, whole.
#[cfg(test)]
pub(in crate::kafka) fn of_rows(
    rows: &[(Option<&[u8]>, Option<&[u8]>)],
    headers: &[(&str, &[u8])],
    stamp: Stamp,
) -> Vec<u8> {
    use engine::outbox::rows::records::PREAMBLE_BYTES;
    use engine::outbox::rows::{Op, OutRow, RowWriter};
    let mut writer = RowWriter::of_partition(Vec::new(), 0, 0);
    let (target, topic, op, time_ms) = (0, None, Op::Insert, 0);
    for &(key, value) in rows {
        writer.push(&OutRow { target, topic, op, time_ms, key, value, headers });
    }
    let records = &writer.bytes()[PREAMBLE_BYTES..];
    let (bytes, count, crc) = (records.len(), writer.rows(), crc32c::crc32c(records));
    let header = header_of(Sum { bytes, count, crc }, 0x0a0b, stamp);
    [&header[..], records].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { producer: 0x0102, epoch: 3, sequence: 0x0405 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let rows = [(Some(&b"k"[..]), Some(&b"vv"[..])), (None, None), (Some(b""), Some(b""))];
        let batch = of_rows(&rows, &[("h", b"x")], STAMP);
        let header = "0000000000000000 00000055 ffffffff 02 CCCCCCCC 0010 00000002 \
                      0000000000000a0b 0000000000000a0b 0000000000000102 0003 00000405 00000003";
        let records = "1a 00 00 00 02 6b 04 7676 02 02 68 02 78 \
                       14 00 00 02 01 01 02 02 68 02 78 \
                       14 00 00 04 00 00 02 02 68 02 78";
        let crc = hex(&batch[CRC]);
        let golden = format!("{header}{records}").replace(' ', "").replace("CCCCCCCC", &crc);
        assert_eq!(hex(&batch), golden);
        assert_eq!(crc, format!("{:08x}", crc32c::crc32c(&batch[21..])));
    }
}
