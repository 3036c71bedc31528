//! A file that one thread appends to: through the page cache, or, where nobody reads it soon, past it.
//!
//! Past the cache means `RWF_DONTCACHE` (Linux 6.14): the kernel begins to write at once and gives a page
//! back when the disk has it, so that the same few pages are used again and again. Before, and on file
//! systems that cannot, it is written through the cache.
//!
//! A page that has been given back would have to be read before more could be put into it. So only
//! whole pages are written; the one that is not full yet is kept here, written by each sync, and written
//! over when it is full.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;

use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use crate::checkpoint::disk::AppendFile;

/// A page of the cache; where it is larger, some are read again.
const PAGE_BYTES: u64 = 4096;
/// `RWF_DONTCACHE` of Linux's `include/uapi/linux/fs.h`, which `rustix` does not name yet.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// A file with one writer; the length is counted, not asked for.
pub(super) struct RealFile {
    file: File,
    /// What lies before is written.
    start: u64,
    /// What follows: less than a page, in a file past the cache; else nothing.
    rest: Vec<u8>,
    is_read_soon: bool,
    /// Flags of a write past the cache.
    past: ReadWriteFlags,
}

impl RealFile {
    /// Appends behind the first `length` bytes.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { file, start: length, rest: Vec::new(), is_read_soon: true, past: DONT_CACHE }
    }

    /// Writes the rest and `bytes` behind it, which end a page, past the cache.
    fn write_pages(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut parts = &mut [IoSlice::new(&self.rest), IoSlice::new(bytes)][..];
        while !parts.is_empty() {
            let written = match pwritev2(&self.file, parts, self.start, self.past) {
                Err(Errno::OPNOTSUPP) if !self.past.is_empty() => {
                    self.past = ReadWriteFlags::empty();
                    continue;
                }
                Err(Errno::INTR) => continue,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => other?,
            };
            self.start += written as u64;
            IoSlice::advance_slices(&mut parts, written);
        }
        self.rest.clear();
        Ok(())
    }
}

impl AppendFile for RealFile {
    fn length(&self) -> u64 {
        self.start + self.rest.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_read_soon {
            self.file.write_all_at(bytes, self.start)?;
            self.start += bytes.len() as u64;
            return Ok(());
        }
        let end = self.length() + bytes.len() as u64;
        let whole = (end - end % PAGE_BYTES).saturating_sub(self.length());
        let (whole, rest) = bytes.split_at(usize::try_from(whole).expect("a part of these bytes"));
        if !whole.is_empty() {
            self.write_pages(whole)?;
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.rest, self.start)?;
        self.file.sync_data()
    }

    fn expect_reads(&mut self, soon: bool) -> io::Result<()> {
        if soon && !self.is_read_soon {
            self.file.write_all_at(&self.rest, self.start)?;
            self.start = self.length();
            self.rest.clear();
        }
        self.is_read_soon = soon;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// What may happen to a file.
    #[derive(Debug, Clone)]
    enum Step {
        Append(Vec<u8>),
        Sync,
        Reopen,
        ExpectReads(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes =
            |most: usize| (any::<u8>(), 0..most).prop_map(|(byte, count)| vec![byte; count]);
        prop_oneof![
            5 => prop_oneof![bytes(10), bytes(5_000), bytes(50_000)].prop_map(Step::Append),
            1 => Just(Step::Sync),
            1 => Just(Step::Reopen),
            1 => any::<bool>().prop_map(Step::ExpectReads),
        ]
    }

    proptest! {
        #[test]
        fn the_file_holds_what_was_appended(steps in proptest::collection::vec(step(), 1..40)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let mut file = RealFile::new(File::create(&path).unwrap(), 0);
            file.expect_reads(false).unwrap();
            let mut expected = Vec::new();
            for step in steps {
                match &step {
                    Step::Append(bytes) => {
                        file.append(bytes).unwrap();
                        expected.extend_from_slice(bytes);
                    }
                    Step::Sync | Step::Reopen => {
                        file.sync().unwrap();
                        prop_assert_eq!(&fs::read(&path).unwrap(), &expected);
                    }
                    Step::ExpectReads(soon) => file.expect_reads(*soon).unwrap(),
                }
                if matches!(step, Step::Reopen) {
                    let same = File::options().write(true).open(&path).unwrap();
                    file = RealFile::new(same, expected.len() as u64);
                    file.expect_reads(false).unwrap();
                }
                prop_assert_eq!(file.length(), expected.len() as u64);
            }
            file.sync().unwrap();
            prop_assert_eq!(fs::read(&path).unwrap(), expected);
        }
    }

    #[test]
    fn past_the_cache_whole_pages_are_written_at_once_and_the_rest_at_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let length = || fs::metadata(&path).unwrap().len();
        let mut file = RealFile::new(File::create(&path).unwrap(), 0);
        file.append(b"head").unwrap();
        assert_eq!(length(), 4, "somebody reads it soon");
        file.expect_reads(false).unwrap();
        file.append(&[1; 100]).unwrap();
        assert_eq!((file.length(), length()), (104, 4));
        file.append(&[2; 9_000]).unwrap();
        assert_eq!((file.length(), length()), (9_104, 8_192));
        file.sync().unwrap();
        assert_eq!(length(), 9_104);
        file.append(&[3; 10]).unwrap();
        file.expect_reads(true).unwrap();
        assert_eq!((file.length(), length()), (9_114, 9_114));
    }

    #[test]
    fn where_the_kernel_cannot_it_writes_through_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = RealFile::new(File::create(&path).unwrap(), 0);
        // No kernel has a flag of this number.
        file.past = ReadWriteFlags::from_bits_retain(1 << 31);
        file.expect_reads(false).unwrap();
        file.append(&[7; 10_000]).unwrap();
        assert!(file.past.is_empty());
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![7; 10_000]);
    }
}
