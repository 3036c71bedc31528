//! Names and headers of the files of a log.
//!
//! A file is named after the number of its first row: 20 digits, so that names sort as numbers, and
//! `.log`. It begins with 26 bytes, little endian:
//!
//! ```text
//! "WSLG" | layout u16 | family u64 | base u64 | crc32c u32 (over the 22 bytes before)
//! ```
//!
//! The header has this form in every layout, so that a torn header is never taken for a newer one.

use std::collections::BTreeMap;

use super::LogError;
use crate::checkpoint::disk::Disk;

/// Bytes before the first block.
pub(super) const FILE_HEADER_BYTES: usize = 26;
/// The layout this version writes, and the newest it reads.
const LAYOUT: u16 = 1;
const MAGIC: &[u8; 4] = b"WSLG";

/// The path of the file that begins with number `base`.
pub(super) fn path(dir: &str, base: u64) -> String {
    format!("{dir}/{base:020}.log")
}

/// All files of the log with their lengths. Other names in the directory are none of our business.
pub(super) fn list(disk: &dyn Disk, dir: &str) -> Result<BTreeMap<u64, u64>, LogError> {
    let files = disk.list(dir).map_err(LogError::io("list", dir))?;
    Ok(files.into_iter().filter_map(|(name, bytes)| Some((base_of(&name)?, bytes))).collect())
}

/// The number in a file's name.
fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The header of a new file.
pub(super) fn encode_header(family: u64, base: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&LAYOUT.to_le_bytes());
    bytes.extend_from_slice(&family.to_le_bytes());
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// Reads and checks the header of the file that begins with `base`; answers its family.
pub(super) fn read_header(disk: &dyn Disk, dir: &str, base: u64) -> Result<u64, LogError> {
    let file = path(dir, base);
    let bytes = match disk.read_at(&file, 0, FILE_HEADER_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(LogError::io("read", &file))?,
    };
    decode_header(&bytes, file, base)
}

fn decode_header(bytes: &[u8], file: String, base: u64) -> Result<u64, LogError> {
    let needed = FILE_HEADER_BYTES as u64;
    let Some(header) = bytes.first_chunk::<FILE_HEADER_BYTES>() else {
        return Err(LogError::Short { file, needed, found: bytes.len() as u64 });
    };
    let corrupt = |file, reason| Err(LogError::Corrupt { file, offset: 0, reason });
    let layout = u16::from_le_bytes([header[4], header[5]]);
    if !header.starts_with(MAGIC) {
        return corrupt(file, "this is not a log file");
    }
    let (body, crc) = header.split_last_chunk().expect("the header is longer than its checksum");
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return corrupt(file, "checksum of the file header does not match");
    }
    if layout > LAYOUT {
        return Err(LogError::Layout { file, found: layout, readable: LAYOUT });
    }
    let (fields, _) = body[6..].as_chunks::<8>();
    let [family, found] = fields else { unreachable!("16 bytes are two numbers") };
    if u64::from_le_bytes(*found) != base {
        return corrupt(file, "file does not begin with the number in its name");
    }
    Ok(u64::from_le_bytes(*family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let header = encode_header(0x0102, 7);
        assert_eq!(header[..22], *b"WSLG\x01\0\x02\x01\0\0\0\0\0\0\x07\0\0\0\0\0\0\0");
        assert_eq!(header.len(), FILE_HEADER_BYTES);
        assert_eq!(decode_header(&header, String::new(), 7).unwrap(), 0x0102);
    }

    #[test]
    fn names() {
        assert_eq!(path("outbox", 42), "outbox/00000000000000000042.log");
        let max = "18446744073709551615.log";
        for (name, base) in [
            ("00000000000000000042.log", Some(42)),
            (max, Some(u64::MAX)),
            ("18446744073709551616.log", None),
            ("42.log", None),
            ("+0000000000000000042.log", None),
            ("00000000000000000042.log.tmp", None),
        ] {
            assert_eq!(base_of(name), base, "{name}");
        }
    }

    #[test]
    fn damage_is_seen_and_a_newer_layout_is_named() {
        let good = encode_header(5, 7);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_header(&bad, String::new(), 7).is_err(), "bit {bit}");
        }
        assert!(decode_header(&good, String::new(), 8).is_err());
        assert!(decode_header(&good[..25], String::new(), 7).is_err());
        let mut newer = good[..22].to_vec();
        newer[4] = 2;
        newer.extend(crc32c::crc32c(&newer).to_le_bytes());
        let error = decode_header(&newer, "outbox/x".into(), 7).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot use \"outbox/x\": layout 2 needs a newer version, this one reads 1"
        );
    }
}
