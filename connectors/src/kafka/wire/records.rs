//! Record batches being read: their headers, and the records in them. Their layout stands at
//! [`batch`](super::batch), where they are written.
//!
//! An answer may end within a batch, which is then asked for again. Everything before the magic byte
//! lies there in all versions of the format; older ones than 2 (before Kafka 0.11) are only told.

use super::batch::{CRC, CRC_COVERS_FROM, HEADER_BYTES, LENGTH_COUNTS_FROM, MAGIC};
use super::bytes::{Garbled, Reader};

/// Bytes that all versions have in common: up to the magic byte, behind which version 2 has its checksum.
const COMMON_BYTES: usize = CRC.start;

/// Why a batch cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Unreadable {
    /// It has a format that was given up with Kafka 0.11.
    OldFormat(i8),
    /// Its bytes are not what was written, and why.
    Damaged(&'static str),
}

impl From<Garbled> for Unreadable {
    fn from(Garbled(reason): Garbled) -> Self {
        Self::Damaged(reason)
    }
}

/// A whole record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Header {
    /// Offset of its first record.
    pub(in crate::kafka) first: u64,
    /// Offset of its last one, which compaction may have taken away.
    pub(in crate::kafka) last: u64,
    /// Under which leader it was written.
    pub(in crate::kafka) epoch: i32,
    pub(in crate::kafka) producer: i64,
    pub(in crate::kafka) records: u32,
    attributes: i16,
    /// Bytes from its first to the one behind its last.
    pub(in crate::kafka) bytes: usize,
}

/// How the records of a batch are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Header {
    /// The header of the batch that begins here; `None` if less than all of the batch is here. Its
    /// checksum is not looked at, see [`check`].
    pub(in crate::kafka) fn read(bytes: &[u8]) -> Result<Option<Self>, Unreadable> {
        let Some(common) = bytes.get(..COMMON_BYTES) else { return Ok(None) };
        let mut reader = Reader::new(common);
        let first = offset(reader.i64()?)?;
        let length = usize::try_from(reader.i32()?).map_err(|_negative| NEGATIVE)?;
        let (epoch, magic) = (reader.i32()?, reader.i8()?);
        if magic.cast_unsigned() != MAGIC {
            return Err(Unreadable::OldFormat(magic));
        }
        let all = LENGTH_COUNTS_FROM + length;
        if all < HEADER_BYTES {
            return Err(Unreadable::Damaged("a batch is shorter than its header"));
        }
        let Some(batch) = bytes.get(COMMON_BYTES..all) else { return Ok(None) };
        Self::rest(Reader::new(batch), first, epoch, all).map(Some)
    }

    fn rest(
        mut reader: Reader<'_>,
        first: u64,
        epoch: i32,
        bytes: usize,
    ) -> Result<Self, Unreadable> {
        let _crc = reader.i32()?;
        let attributes = reader.i16()?;
        let last = first + offset(i64::from(reader.i32()?))?;
        let (_first_time, _last_time) = (reader.i64()?, reader.i64()?);
        let producer = reader.i64()?;
        let (_producer_epoch, _sequence) = (reader.i16()?, reader.i32()?);
        let records = u32::try_from(reader.i32()?).map_err(|_negative| NEGATIVE)?;
        Ok(Self { first, last, epoch, producer, records, attributes, bytes })
    }

    /// How its records are packed.
    pub(in crate::kafka) fn codec(&self) -> Result<Codec, Unreadable> {
        Ok(match self.attributes & 7 {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            _ => return Err(Unreadable::Damaged("a batch is packed in a way nobody knows")),
        })
    }

    /// Whether it belongs to a transaction.
    pub(in crate::kafka) fn is_transactional(&self) -> bool {
        self.attributes & (1 << 4) != 0
    }

    /// Whether it is a marker that ends a transaction.
    pub(in crate::kafka) fn is_marker(&self) -> bool {
        self.attributes & (1 << 5) != 0
    }
}

const NEGATIVE: Unreadable = Unreadable::Damaged("a length or an offset is negative");

fn offset(value: i64) -> Result<u64, Unreadable> {
    u64::try_from(value).map_err(|_negative| NEGATIVE)
}

/// Whether a whole batch has the checksum it was written with.
pub(in crate::kafka) fn check(batch: &[u8]) -> Result<(), Unreadable> {
    let written = Reader::new(&batch[COMMON_BYTES..]).i32()?.cast_unsigned();
    if crc32c::crc32c(&batch[CRC_COVERS_FROM..]) == written {
        return Ok(());
    }
    Err(Unreadable::Damaged("its checksum does not fit"))
}

/// The packed records of a whole batch.
pub(in crate::kafka) fn packed(batch: &[u8]) -> &[u8] {
    &batch[HEADER_BYTES..]
}

/// What a marker says: whether the transaction was aborted.
pub(in crate::kafka) fn is_abort(records: &[u8]) -> Result<bool, Unreadable> {
    let mut reader = Reader::new(records);
    let record = Record::read(&mut reader)?;
    let mut key = Reader::new(record.key.unwrap_or_default());
    let _version = key.i16()?;
    Ok(key.i16()? == 0)
}

/// A record: its place in the batch, its key and its value. Headers are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Record<'a> {
    /// Offset after that of the batch.
    pub(in crate::kafka) delta: u32,
    pub(in crate::kafka) key: Option<&'a [u8]>,
    pub(in crate::kafka) value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// The next record of unpacked ones.
    #[inline]
    pub(in crate::kafka) fn read(records: &mut Reader<'a>) -> Result<Self, Unreadable> {
        let record = records.varint_bytes()?.ok_or(NEGATIVE)?;
        let mut reader = Reader::new(record);
        let _attributes = reader.i8()?;
        reader.pass_varlong()?;
        let delta = u32::try_from(reader.varint()?).map_err(|_negative| NEGATIVE)?;
        Ok(Self { delta, key: reader.varint_bytes()?, value: reader.varint_bytes()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::wire::batch::{Stamp, of_rows};

    type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn written(all: &[Pair]) -> Vec<u8> {
        let rows: Vec<_> =
            all.iter().map(|(key, value)| (key.as_deref(), value.as_deref())).collect();
        of_rows(&rows, &[("h", b"x")], Stamp { producer: 5, epoch: 1, sequence: 0 })
    }

    fn pair() -> impl Strategy<Value = Pair> {
        let part = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
        (part(), part())
    }

    proptest! {
        /// What the sink's own batches hold comes back, and no damage goes unnoticed.
        #[test]
        fn batches_return(
            all in proptest::collection::vec(pair(), 1..50),
            cut: prop::sample::Index,
            flipped: prop::sample::Index,
        ) {
            let mut bytes = written(&all);
            let header = Header::read(&bytes).unwrap().unwrap();
            prop_assert_eq!(header.bytes, bytes.len());
            prop_assert_eq!((header.first, header.producer, header.epoch), (0, 5, -1));
            prop_assert_eq!(header.last + 1, u64::from(header.records));
            prop_assert!(header.is_transactional() && !header.is_marker());
            prop_assert_eq!(header.codec(), Ok(Codec::None));
            prop_assert_eq!(check(&bytes), Ok(()));
            let mut reader = Reader::new(packed(&bytes));
            for (delta, (key, value)) in (0..).zip(&all) {
                let (key, value) = (key.as_deref(), value.as_deref());
                prop_assert_eq!(Record::read(&mut reader), Ok(Record { delta, key, value }));
            }
            prop_assert_eq!(reader.end(), Ok(()));
            prop_assert_eq!(Header::read(&bytes[..cut.index(bytes.len())]), Ok(None));
            let place = CRC_COVERS_FROM + flipped.index(bytes.len() - CRC_COVERS_FROM);
            bytes[place] ^= 1;
            prop_assert!(check(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = bytes;
            if let Some(magic) = bytes.get_mut(16) {
                *magic = 2;
            }
            if let Ok(Some(header)) = Header::read(&bytes) {
                prop_assert!(header.bytes <= bytes.len());
            }
            let mut reader = Reader::new(&bytes);
            while Record::read(&mut reader).is_ok() {}
            prop_assert!(is_abort(&bytes).is_err() || bytes.len() > 6);
        }
    }

    #[test]
    fn an_old_format_is_told() {
        let mut bytes = written(&[(None, None)]);
        bytes[16] = 1;
        assert_eq!(Header::read(&bytes), Err(Unreadable::OldFormat(1)));
    }
}
