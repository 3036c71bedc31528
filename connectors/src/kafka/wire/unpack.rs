//! Compressed record batches: the records in them, unpacked.
//!
//! Sources: the compression types of Kafka's record batch, each in the framing that Java clients and
//! librdkafka write: gzip members, LZ4 frames, zstd frames, and for snappy either one raw block or the
//! stream of blocks of Java's snappy ("xerial"): `82 "SNAPPY" 00 | version i32 | compatible with i32 |
//! (length i32, block) ...`, big endian.

use std::io::{self, Read};

use super::bytes::Reader;
use super::records::{Codec, Unreadable};

/// Far above any batch of records that brokers take; what claims to be more is made to do harm.
const UNPACKED_BYTES_MAX: usize = 128 << 20;
const XERIAL: &[u8] = b"\x82SNAPPY\0";
/// Two version numbers after the magic bytes.
const XERIAL_HEADER_BYTES: usize = XERIAL.len() + 8;

const BAD: Unreadable = Unreadable::Damaged("a compressed batch cannot be unpacked");
const LARGE: Unreadable = Unreadable::Damaged("a compressed batch unpacks to more than 128 MiB");

/// The records that were packed so.
pub(in crate::kafka) fn unpack(codec: Codec, packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    match codec {
        Codec::None => Ok(packed.to_vec()),
        Codec::Gzip => stream(flate2::read::MultiGzDecoder::new(packed)),
        Codec::Snappy => snappy(packed),
        Codec::Lz4 => stream(lz4_flex::frame::FrameDecoder::new(packed)),
        Codec::Zstd => stream(zstd::stream::read::Decoder::with_buffer(packed).map_err(bad)?),
    }
}

fn bad(_error: io::Error) -> Unreadable {
    BAD
}

fn stream(reader: impl Read) -> Result<Vec<u8>, Unreadable> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(UNPACKED_BYTES_MAX).expect("far below 64 bits");
    reader.take(most + 1).read_to_end(&mut unpacked).map_err(bad)?;
    if unpacked.len() > UNPACKED_BYTES_MAX { Err(LARGE) } else { Ok(unpacked) }
}

fn snappy(packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut unpacked = Vec::new();
    if !packed.starts_with(XERIAL) {
        snappy_block(packed, &mut unpacked)?;
        return Ok(unpacked);
    }
    let mut blocks = Reader::new(packed.get(XERIAL_HEADER_BYTES..).ok_or(BAD)?);
    while blocks.left() > 0 {
        let length = usize::try_from(blocks.i32()?).map_err(|_negative| BAD)?;
        snappy_block(blocks.bytes(length)?, &mut unpacked)?;
    }
    Ok(unpacked)
}

fn snappy_block(block: &[u8], unpacked: &mut Vec<u8>) -> Result<(), Unreadable> {
    let length = snap::raw::decompress_len(block).map_err(|_wrong| BAD)?;
    let from = unpacked.len();
    if from + length > UNPACKED_BYTES_MAX {
        return Err(LARGE);
    }
    unpacked.resize(from + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut unpacked[from..]);
    if written.is_ok_and(|written| written == length) { Ok(()) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = b"one two one two one two one two one two one two three";

    fn packed(codec: Codec) -> Vec<u8> {
        match codec {
            Codec::None => TEXT.to_vec(),
            Codec::Gzip => {
                let mut to = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                to.write_all(TEXT).unwrap();
                to.finish().unwrap()
            }
            Codec::Snappy => snap::raw::Encoder::new().compress_vec(TEXT).unwrap(),
            Codec::Lz4 => {
                let mut to = lz4_flex::frame::FrameEncoder::new(Vec::new());
                to.write_all(TEXT).unwrap();
                to.finish().unwrap()
            }
            Codec::Zstd => zstd::encode_all(TEXT, 1).unwrap(),
        }
    }

    #[test]
    fn every_codec_returns_what_was_packed_or_says_that_it_cannot() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = packed(codec);
            assert_eq!(unpack(codec, &packed).unwrap(), TEXT, "{codec:?}");
            if codec != Codec::None {
                let cut = unpack(codec, &packed[..packed.len() - 9]);
                assert_eq!(cut, Err(BAD), "{codec:?}");
            }
        }
    }

    #[test]
    fn snappy_of_java_is_a_stream_of_blocks() {
        let block = packed(Codec::Snappy);
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        let header = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
        let packed = [&header[..], &length, &block, &length, &block].concat();
        assert_eq!(unpack(Codec::Snappy, &packed).unwrap(), [TEXT, TEXT].concat());
        assert!(unpack(Codec::Snappy, &packed[..packed.len() - 1]).is_err());
        assert_eq!(unpack(Codec::Snappy, header).unwrap(), b"");
    }

    #[test]
    fn what_unpacks_to_far_too_much_is_refused() {
        let zeros = io::repeat(0).take(u64::try_from(UNPACKED_BYTES_MAX + 1).unwrap());
        let bomb = zstd::encode_all(zeros, 1).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert_eq!(unpack(Codec::Zstd, &bomb), Err(LARGE));
        // A snappy block says how long it is: 4 GiB less one byte.
        assert_eq!(unpack(Codec::Snappy, b"\xff\xff\xff\xff\x0f\0"), Err(LARGE));
    }
}
