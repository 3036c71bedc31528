//! One block of a log file: a framed, checksummed group of encoded rows, or a close mark.
//!
//! What it must do: tell a torn or damaged block from a good one without any context; say what it
//! holds (rows, epoch, sink, shard, base number) without decompressing; hold an encoded row of any
//! size. Layout, little endian, 36 bytes and then `length` bytes:
//!
//! ```text
//! length u32 | rows u32 | epoch u64 | sink u32 | shard u16 | flags u16 | base u64 | crc32c u32
//! ```
//!
//! - `length`: bytes stored after the header, that is after compression.
//! - `flags`: bit 0 the bytes are lz4 (block format, uncompressed size u32 before it); bit 1 a close
//!   mark; bit 2 this close mark was carried over from an older file.
//! - `base`: number of the first row. Rows of a log are numbered without holes; a close mark takes one
//!   number, a carried one none.
//! - `crc32c`: over the 32 bytes before it and the bytes as stored.
//!
//! Bytes of a close mark: `has_before u8 | complete_before u64 | group (UTF-8, to the end)`.

mod bytes;

use std::borrow::Cow;

use crate::checksum::joined;

pub use self::bytes::BlockBytes;

/// Most uncompressed bytes in a block, except where a single row is larger.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Bytes of the header before the stored bytes.
pub const BLOCK_HEADER_BYTES: usize = 36;
/// Below this many bytes lz4 is not tried: its table costs more than the bytes.
const COMPRESS_BYTES_MIN: usize = 128;

const FLAG_LZ4: u16 = 1;
const FLAG_CLOSE: u16 = 1 << 1;
const FLAG_CARRIED: u16 = 1 << 2;
const FLAGS_KNOWN: u16 = FLAG_LZ4 | FLAG_CLOSE | FLAG_CARRIED;

/// What the writer of a block says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// Rows in the block, at least one.
    pub rows: u32,
    /// The epoch that wrote it.
    pub epoch: u64,
    /// Operator id of the sink.
    pub sink: u32,
    /// Shard of the sink, or partition of the topic.
    pub shard: u16,
    /// Number of the first row: [`BlockLog::next_base`](super::log::BlockLog::next_base) at the
    /// time of the append; the offset of the row in a topic log.
    pub base: u64,
}

/// Where a block lies and how to recognise it: what the checkpoint keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Base number in the name of the file.
    pub file: u64,
    /// Byte in the file where the block's header begins.
    pub offset: u64,
    /// Stored bytes, header included.
    pub length: u32,
    /// Rows in the block.
    pub rows: u32,
    /// The block's checksum.
    pub crc: u32,
}

impl BlockRef {
    /// The CRC-32C of the rows' bytes, so many, of the block of this header; `None` if they were
    /// compressed.
    pub(super) fn crc_of_rows(&self, header: BlockHeader, bytes: usize) -> Option<u32> {
        let length = u32::try_from(bytes).ok()?;
        let stored = StoredHeader { length, header, flags: 0, crc: self.crc };
        // That of the block covers the fields of its header as well.
        let rows = || joined(crc32c::crc32c(&stored.encode_fields()), self.crc, length);
        (stored.stored_bytes() == u64::from(self.length)).then(rows)
    }
}

/// One block, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What its writer said.
    pub header: BlockHeader,
    /// The bytes as they were appended.
    pub bytes: BlockBytes,
}

/// The statement that a group has closed an epoch, kept so that a checkpoint store which lost its
/// durable tail is found out: its `complete` is then lower than `complete_before` here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseMark {
    /// Name of the group of jobs.
    pub group: String,
    /// The epoch that was closed.
    pub epoch: u64,
    /// The group's last complete epoch when this one was closed.
    pub complete_before: Option<u64>,
}

/// The header as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredHeader {
    /// Bytes after the header.
    pub(super) length: u32,
    pub(super) header: BlockHeader,
    flags: u16,
    crc: u32,
}

/// Why stored bytes are not a good block.
pub(super) type Damage = &'static str;

impl StoredHeader {
    /// Reads the fields; they are to be trusted only after [`StoredHeader::check`].
    pub(super) fn decode(bytes: &[u8; BLOCK_HEADER_BYTES]) -> StoredHeader {
        let header = BlockHeader {
            rows: u32::from_le_bytes(field(bytes, 4)),
            epoch: u64::from_le_bytes(field(bytes, 8)),
            sink: u32::from_le_bytes(field(bytes, 16)),
            shard: u16::from_le_bytes(field(bytes, 20)),
            base: u64::from_le_bytes(field(bytes, 24)),
        };
        StoredHeader {
            length: u32::from_le_bytes(field(bytes, 0)),
            header,
            flags: u16::from_le_bytes(field(bytes, 22)),
            crc: u32::from_le_bytes(field(bytes, 32)),
        }
    }

    /// The 32 bytes the checksum begins with.
    fn encode_fields(&self) -> [u8; BLOCK_HEADER_BYTES - 4] {
        let mut bytes = [0; BLOCK_HEADER_BYTES - 4];
        let BlockHeader { rows, epoch, sink, shard, base } = self.header;
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&rows.to_le_bytes());
        bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
        bytes[16..20].copy_from_slice(&sink.to_le_bytes());
        bytes[20..22].copy_from_slice(&shard.to_le_bytes());
        bytes[22..24].copy_from_slice(&self.flags.to_le_bytes());
        bytes[24..32].copy_from_slice(&base.to_le_bytes());
        bytes
    }

    /// Bytes of the block in the file, header included.
    pub(super) fn stored_bytes(&self) -> u64 {
        BLOCK_HEADER_BYTES as u64 + u64::from(self.length)
    }

    /// Whether these are rows as they were appended.
    pub(super) fn is_plain(&self) -> bool {
        self.flags == 0
    }

    /// Whether this is a close mark, not rows.
    pub(super) fn is_close(&self) -> bool {
        self.flags & FLAG_CLOSE != 0
    }

    /// Whether this close mark was written at the start of the file for an older one.
    pub(super) fn is_carried(&self) -> bool {
        self.flags & FLAG_CARRIED != 0
    }

    /// The number after the last one this block takes.
    pub(super) fn end(&self) -> u64 {
        let taken = match (self.is_close(), self.is_carried()) {
            (false, _) => u64::from(self.header.rows),
            (true, false) => 1,
            (true, true) => 0,
        };
        self.header.base.saturating_add(taken)
    }

    /// Whether `reference` speaks of this block.
    pub(super) fn matches(&self, reference: &BlockRef) -> bool {
        self.crc == reference.crc
            && self.header.rows == reference.rows
            && self.stored_bytes() == u64::from(reference.length)
    }

    /// Checks length and checksum of the stored bytes, then the flags.
    pub(super) fn check(&self, stored: &[u8]) -> Result<(), Damage> {
        if stored.len() as u64 != u64::from(self.length) {
            return Err("block is shorter than its header says");
        }
        if crc32c::crc32c_append(crc32c::crc32c(&self.encode_fields()), stored) != self.crc {
            return Err("checksum does not match");
        }
        if self.flags & !FLAGS_KNOWN != 0 {
            return Err("block has unknown flags");
        }
        Ok(())
    }

    /// The bytes as they were appended, from stored bytes that passed [`StoredHeader::check`] and lie
    /// in `whole` behind `before` others.
    pub(super) fn unpack(&self, whole: Vec<u8>, before: usize) -> Result<BlockBytes, Damage> {
        if self.flags & FLAG_LZ4 == 0 {
            return Ok(BlockBytes::read(whole, before));
        }
        let (length, packed) = lz4_flex::block::uncompressed_size(&whole[before..])
            .map_err(|_too_short| "compressed block has no size")?;
        let mut bytes = vec![0; length];
        match lz4_flex::block::decompress_into(packed, &mut bytes) {
            Ok(filled) if filled == length => Ok(bytes.into()),
            Ok(_) => Err("compressed block is shorter than its size"),
            Err(_) => Err("compressed block cannot be decompressed"),
        }
    }

    /// The close mark in stored bytes that passed [`StoredHeader::check`].
    pub(super) fn close_mark(&self, stored: &[u8]) -> Result<CloseMark, Damage> {
        let (flag, rest) = stored.split_first().ok_or("close mark is empty")?;
        let (before, group) = rest.split_first_chunk().ok_or("close mark is too short")?;
        let before = u64::from_le_bytes(*before);
        let group = std::str::from_utf8(group).map_err(|_not_text| "close mark has no name")?;
        Ok(CloseMark {
            group: group.to_owned(),
            epoch: self.header.epoch,
            complete_before: (*flag == 1).then_some(before),
        })
    }
}

/// `N` bytes at `at`.
fn field<const N: usize>(bytes: &[u8; BLOCK_HEADER_BYTES], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies inside the header")
}

/// A block ready to be appended: a header, and the bytes behind it where they are.
pub(super) struct Frame<'a> {
    pub(super) head: [u8; BLOCK_HEADER_BYTES],
    pub(super) body: Cow<'a, [u8]>,
    pub(super) stored: StoredHeader,
}

impl<'a> Frame<'a> {
    /// Frames rows, compressed where `compress` is set and it saves more than an eighth.
    pub(super) fn rows(header: BlockHeader, bytes: &'a [u8], compress: bool) -> Frame<'a> {
        assert!(header.rows > 0, "a block has rows; a close is written with append_close");
        assert!(bytes.len() <= BLOCK_BYTES_MAX || header.rows == 1, "block is over its limit");
        if compress && bytes.len() >= COMPRESS_BYTES_MIN {
            let packed = compressed(bytes);
            if packed.len() < bytes.len() - bytes.len() / 8 {
                return Frame::seal(packed.into(), header, FLAG_LZ4);
            }
        }
        Frame::seal(bytes.into(), header, 0)
    }

    /// Frames a close mark; a carried one takes no number.
    pub(super) fn close(mark: &CloseMark, base: u64, carried: bool) -> Frame<'static> {
        let mut body = vec![u8::from(mark.complete_before.is_some())];
        body.extend_from_slice(&mark.complete_before.unwrap_or(0).to_le_bytes());
        body.extend_from_slice(mark.group.as_bytes());
        let header = BlockHeader { rows: 0, epoch: mark.epoch, sink: 0, shard: 0, base };
        Frame::seal(body.into(), header, FLAG_CLOSE | if carried { FLAG_CARRIED } else { 0 })
    }

    fn seal(body: Cow<'a, [u8]>, header: BlockHeader, flags: u16) -> Frame<'a> {
        // `BlockRef::length` counts the header too and must fit as well.
        let length = u32::try_from(body.len()).ok().filter(|n| *n <= u32::MAX - 36);
        let length = length.expect("a row is far below 4 GiB (row.bytes_max)");
        let mut stored = StoredHeader { length, header, flags, crc: 0 };
        let fields = stored.encode_fields();
        stored.crc = crc32c::crc32c_append(crc32c::crc32c(&fields), &body);
        let mut head = [0; BLOCK_HEADER_BYTES];
        let (before, crc) = head.split_at_mut(fields.len());
        before.copy_from_slice(&fields);
        crc.copy_from_slice(&stored.crc.to_le_bytes());
        Frame { head, body, stored }
    }

    /// The reference to this block once it lies at `offset` of `file`.
    pub(super) fn reference(&self, file: u64, offset: u64) -> BlockRef {
        let length = u32::try_from(self.stored.stored_bytes());
        let length = length.expect("checked when the block was sealed");
        BlockRef { file, offset, length, rows: self.stored.header.rows, crc: self.stored.crc }
    }

    /// All of it in one piece.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.head, &*self.body].concat()
    }
}

/// The uncompressed size, the lz4 block.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let start = 4;
    let mut packed = vec![0; start + lz4_flex::block::get_maximum_output_size(bytes.len())];
    let size = u32::try_from(bytes.len()).expect("a row is far below 4 GiB (row.bytes_max)");
    packed[..start].copy_from_slice(&size.to_le_bytes());
    let length = lz4_flex::block::compress_into(bytes, &mut packed[start..])
        .expect("the output has the size lz4 asks for");
    packed.truncate(start + length);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: BlockHeader =
        BlockHeader { rows: 2, epoch: 0x0102_0304, sink: 7, shard: 3, base: 0x1122 };

    fn open(frame: &[u8]) -> Result<(StoredHeader, BlockBytes), Damage> {
        let head = frame.first_chunk().ok_or("no header")?;
        let stored = StoredHeader::decode(head);
        let body = &frame[BLOCK_HEADER_BYTES..];
        stored.check(body)?;
        Ok((stored, stored.unpack(frame.to_vec(), BLOCK_HEADER_BYTES)?))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let frame = Frame::rows(HEADER, b"ab", true);
        let golden = "020000000200000004030201000000000700000003000000221100000000000053d2c5006162";
        assert_eq!(hex(&frame.bytes()), golden);
        let mark = CloseMark { group: "g".into(), epoch: 9, complete_before: Some(8) };
        let golden = "0a000000000000000900000000000000000000000000020005000000000000004a15ee14\
                      01080000000000000067";
        assert_eq!(hex(&Frame::close(&mark, 5, false).bytes()), golden);
    }

    #[test]
    fn close_marks_return() {
        for (before, carried) in [(None, false), (Some(0), true), (Some(u64::MAX), false)] {
            let mark = CloseMark { group: "组".into(), epoch: 4, complete_before: before };
            let frame = Frame::close(&mark, 11, carried);
            let (stored, body) = open(&frame.bytes()).unwrap();
            assert_eq!(stored.close_mark(&body).unwrap(), mark);
            assert_eq!(stored.end(), if carried { 11 } else { 12 });
        }
    }

    #[test]
    fn compresses_only_what_shrinks() {
        let repeated = b"abcdefgh".repeat(1000);
        let packed = Frame::rows(HEADER, &repeated, true);
        assert!(packed.bytes().len() < 200);
        assert_eq!(&*open(&packed.bytes()).unwrap().1, &repeated);
        assert!(Frame::rows(HEADER, &repeated, false).bytes().len() > 8000);
        // A xorshift generator: lz4 finds nothing in it.
        let mut x = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[3]
        })
        .take(4096)
        .collect();
        assert_eq!(Frame::rows(HEADER, &noise, true).bytes().len(), 4096 + BLOCK_HEADER_BYTES);
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_seen(
            body in proptest::collection::vec(0u8..4, 0..400),
            bit in any::<proptest::sample::Index>(),
        ) {
            let mut frame = Frame::rows(HEADER, &body, true).bytes();
            let (stored, bytes) = open(&frame).unwrap();
            prop_assert_eq!(stored.header, HEADER);
            prop_assert_eq!(&*bytes, &body[..]);
            let reference = Frame::rows(HEADER, &body, true).reference(0, 0);
            let known = reference.crc_of_rows(HEADER, body.len());
            let is_plain = frame.len() == BLOCK_HEADER_BYTES + body.len();
            prop_assert_eq!(known, is_plain.then(|| crc32c::crc32c(&body)));
            let bit = bit.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&frame).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(open(&bytes).is_err());
        }
    }
}
