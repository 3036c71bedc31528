//! The reserve: a file that holds space back, so that a process on a full disk can still say why it
//! stops.
//!
//! It is made at every start, and removed when a write finds no space: what is freed is for the
//! record of the crash and for whoever looks after the machine. A start that finds less space than
//! the whole reserve holds back a half of it, a quarter and so on: so on a disk that stays full
//! there is room for the record of every attempt, though each is shorter than the one before. Where
//! the file system cannot hold space back, or hardly any is left, the process runs without.

use std::io;

use super::disk::Disk;
use crate::error::is_no_space;

/// Where it lies, relative to the data directory.
pub const RESERVE_FILE: &str = "state/reserve";
/// Its directory.
const STATE_DIR: &str = "state";
/// The least that is held back, as a part of the whole.
const PART_MIN: u64 = 64;

/// Whether space is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// So many bytes are: those asked for, or as many as there were.
    Held(u64),
    /// There is hardly any.
    NoSpace,
    /// The file system does not give space to a file that has no bytes yet.
    Unsupported,
}

/// Holds `bytes` back, or a part of it, or finds out why that cannot be. Any other error is one of
/// the disk.
pub fn hold(disk: &dyn Disk, bytes: u64) -> io::Result<Reserve> {
    disk.create_dir(STATE_DIR)?;
    let mut part = bytes;
    while part > 0 && part >= bytes / PART_MIN {
        match disk.allocate(RESERVE_FILE, part) {
            Ok(()) => return Ok(Reserve::Held(part)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                disk.remove(RESERVE_FILE)?;
                return Ok(Reserve::Unsupported);
            }
            Err(error) if !is_no_space(&error) => return Err(error),
            // Some of it may have been given.
            Err(_full) => disk.remove(RESERVE_FILE)?,
        }
        part /= 2;
    }
    Ok(Reserve::NoSpace)
}

/// Gives the space back. The name need not be durable: a start finds the file again or makes it.
pub fn free(disk: &dyn Disk) -> io::Result<()> {
    disk.remove(RESERVE_FILE)
}

/// Bytes held back; `None` where there is no reserve.
pub fn held_bytes(disk: &dyn Disk) -> io::Result<Option<u64>> {
    let files = disk.list(STATE_DIR)?;
    let reserve = files.into_iter().find(|(name, _)| format!("{STATE_DIR}/{name}") == RESERVE_FILE);
    Ok(reserve.map(|(_, bytes)| bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::disk::real::RealDisk;
    use crate::testing::disk::SimDisk;

    #[test]
    fn it_is_held_as_far_as_there_is_space() {
        let disk = SimDisk::new();
        disk.limit_bytes(200);
        disk.create_dir("d").unwrap();
        let mut file = disk.append_to("d/f").unwrap();
        file.append(&[1; 50]).unwrap();
        assert_eq!(hold(&disk, 100).unwrap(), Reserve::Held(100));
        assert_eq!(hold(&disk, 100).unwrap(), Reserve::Held(100), "it is there already");
        assert!(is_no_space(&file.append(&[1; 51]).unwrap_err()));
        free(&disk).unwrap();
        free(&disk).unwrap();
        file.append(&[1; 25]).unwrap();
        assert_eq!(hold(&disk, 100).unwrap(), Reserve::Held(50), "75 are left");
        assert_eq!(held_bytes(&disk).unwrap(), Some(50));
        disk.heal();
        assert_eq!(hold(&disk, 100).unwrap(), Reserve::Held(100), "made whole");
        free(&disk).unwrap();
        disk.limit_bytes(disk.bytes());
        assert_eq!(hold(&disk, 100).unwrap(), Reserve::NoSpace);
        assert_eq!(held_bytes(&disk).unwrap(), None);
    }

    /// A file of this length without its blocks would hold nothing back.
    #[test]
    fn on_a_real_disk_it_has_its_blocks() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let bytes = 3 << 20;
        // Some file systems of test machines cannot.
        if hold(&disk, bytes).unwrap() == Reserve::Held(bytes) {
            let file = std::fs::metadata(dir.path().join(RESERVE_FILE)).unwrap();
            assert_eq!(file.len(), bytes);
            assert!(file.blocks() * 512 >= bytes, "{} blocks", file.blocks());
            // Somebody copied the directory, and holes with it.
            std::fs::write(dir.path().join(RESERVE_FILE), "short").unwrap();
            hold(&disk, bytes).unwrap();
            assert_eq!(held_bytes(&disk).unwrap(), Some(bytes));
        }
        free(&disk).unwrap();
        assert_eq!(held_bytes(&disk).unwrap(), None);
    }
}
