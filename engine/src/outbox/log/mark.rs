//! The end of what is durable and visible in a log, as kept in the checkpoint batch.
//!
//! Layout, little endian, 30 bytes: `version u16 | file u64 | length u64 | next_base u64 | crc32c u32`,
//! the checksum over all before it (the state store does not find every bit flip, engine.md 13.4).

/// Version of the layout above.
const VERSION: u16 = 1;

/// Where a log ends for everybody but its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Base number in the name of the last file.
    pub file: u64,
    /// Bytes of that file; 0 where the log has no file yet.
    pub length: u64,
    /// The number the next row will have.
    pub next_base: u64,
}

/// Why bytes are not a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// Wrong length or checksum.
    #[error("log mark is damaged")]
    Damaged,
    /// Written by a newer version.
    #[error("log mark has version {0} and needs a newer version, this one reads {VERSION}")]
    Version(u16),
}

impl crate::error::DiskError for MarkError {}

impl Mark {
    /// Bytes of an encoded mark.
    pub const ENCODED_BYTES: usize = 30;

    /// The mark as stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Mark::ENCODED_BYTES);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        for field in [self.file, self.length, self.next_base] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a stored mark; the version is judged before the length, which it may change.
    pub fn decode(bytes: &[u8]) -> Result<Mark, MarkError> {
        let (body, crc) = bytes.split_last_chunk().ok_or(MarkError::Damaged)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(MarkError::Damaged);
        }
        let (version, body) = body.split_first_chunk().ok_or(MarkError::Damaged)?;
        match u16::from_le_bytes(*version) {
            VERSION => {}
            other => return Err(MarkError::Version(other)),
        }
        let (fields, []) = body.as_chunks::<8>() else { return Err(MarkError::Damaged) };
        match fields {
            [file, length, next_base] => Ok(Mark {
                file: u64::from_le_bytes(*file),
                length: u64::from_le_bytes(*length),
                next_base: u64::from_le_bytes(*next_base),
            }),
            _ => Err(MarkError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { file: 1, length: 0x0203, next_base: u64::MAX };

    #[test]
    fn golden_bytes() {
        let mut golden = vec![1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0];
        golden.extend([0xff; 8]);
        golden.extend([0xab, 0xfc, 0xdd, 0x5f]);
        assert_eq!(MARK.encode(), golden);
        assert_eq!(Mark::decode(&golden), Ok(MARK));
    }

    #[test]
    fn damage_and_newer_versions_are_named() {
        let good = MARK.encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bad), Err(MarkError::Damaged));
        }
        for length in 0..good.len() {
            assert_eq!(Mark::decode(&good[..length]), Err(MarkError::Damaged));
        }
        let mut newer = vec![2, 0, 9, 9, 9];
        newer.extend(crc32c::crc32c(&newer).to_le_bytes());
        assert_eq!(Mark::decode(&newer), Err(MarkError::Version(2)));
    }
}
