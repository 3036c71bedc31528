//! An append-only log of blocks: the outbox, and every partition of the embedded topic log.
//!
//! A topic partition is an outbox log that is kept. Rows are numbered without holes from 0; the
//! number of a row is its offset in a topic. The log is a directory of files (`<first number>.log`),
//! of which only the last grows. Its end for everybody else is a [`Mark`], which the checkpoint
//! batch makes durable; what lies behind the last durable mark never happened and is cut at open.
//!
//! The order of calls that keeps this true, per epoch: [`BlockLog::append`] …,
//! [`BlockLog::append_close`], [`BlockLog::sync`], [`BlockLog::mark`] into the checkpoint batch,
//! commit, and only then may a [`LogReader`] be given the mark. Whoever commits a mark before the
//! sync promises bytes that a crash can take back: `mark` therefore never answers more than the
//! last sync covered.
//!
//! After any error of a write the log refuses all further calls: the process must stop.

mod check;
mod cursor;
mod error;
mod file;
mod mark;
mod reader;
mod spare;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::block::{BlockHeader, BlockRef, CloseMark, Frame};
use crate::checkpoint::disk::{AppendFile, Disk};
use cursor::Cursor;
use spare::Spare;

pub use check::{Holes, VerifyReport, last_close_marks, verify};
pub use error::LogError;
pub use mark::{Mark, MarkError};
pub(in crate::outbox) use reader::read_ref_with;
pub use reader::{Check, LogReader, read_ref};

/// A block below this is copied behind its header: a call to the system costs as much.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// How a log writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// A new file is begun when the current one has this many bytes (`outbox.segment_bytes`).
    pub file_bytes: u64,
    /// Whether blocks are compressed where it saves more than an eighth.
    pub compress: bool,
    /// Whether a file that is needed no more is laid by, one at a time, and written over.
    pub recycle: bool,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { file_bytes: 256 << 20, compress: false, recycle: false }
    }
}

/// The writing end of a log. There MUST be one per directory.
pub struct BlockLog {
    disk: Arc<dyn Disk>,
    dir: String,
    family: u64,
    options: LogOptions,
    /// Whether somebody reads soon what is appended.
    is_read_soon: bool,
    /// Length of every file by its base number; of the current one as of its last append.
    files: BTreeMap<u64, u64>,
    spare: Spare,
    current: Option<Current>,
    next_base: u64,
    /// What the last sync covered.
    synced: Mark,
    /// The last close mark of every group. Invariant: each is in the current file.
    closes: BTreeMap<String, CloseMark>,
    failed: bool,
}

/// The file that grows.
struct Current {
    base: u64,
    file: Box<dyn AppendFile>,
    /// Whether its name may still be lost.
    new: bool,
    /// Length of what it is written over, 0 where it was made.
    over: u64,
}

impl BlockLog {
    /// Opens the log in `dir` (relative to the data directory) at `mark`, the one of the last
    /// complete checkpoint, and cuts everything behind it. Without a mark nothing in the directory
    /// counts.
    ///
    /// `family` is the id of the state directory: files of another one are refused before anything
    /// is cut, as are files of a newer layout, and a mark that the files do not reach.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &str,
        family: u64,
        options: LogOptions,
        mark: Option<Mark>,
    ) -> Result<BlockLog, LogError> {
        let mark = mark.unwrap_or_default();
        disk.create_dir(dir).map_err(LogError::io("create", dir))?;
        let mut log = BlockLog {
            files: file::list(&*disk, dir)?,
            dir: dir.to_owned(),
            disk,
            family,
            options,
            is_read_soon: true,
            spare: Spare::default(),
            current: None,
            next_base: mark.next_base,
            synced: mark,
            closes: BTreeMap::new(),
            failed: false,
        };
        spare::forget(&*log.disk, dir)?;
        log.check_families(&mark)?;
        log.cut(&mark)?;
        if mark.length > 0 {
            log.resume(&mark)?;
        }
        Ok(log)
    }

    /// Refuses foreign files, and a mark that cannot be reached. Cuts nothing.
    fn check_families(&self, mark: &Mark) -> Result<(), LogError> {
        for base in self.files.keys() {
            let tail = *base > mark.file || mark.length == 0;
            match file::read_header(&*self.disk, &self.dir, *base) {
                Ok(found) if found != self.family => {
                    let file = file::path(&self.dir, *base);
                    return Err(LogError::Family { file, found, expected: self.family });
                }
                // The crash came before the header was on disk.
                Err(LogError::Short { .. } | LogError::Corrupt { .. }) if tail => {}
                other => drop(other?),
            }
        }
        let found = self.files.get(&mark.file).copied().unwrap_or(0);
        if found < mark.length {
            let file = file::path(&self.dir, mark.file);
            return Err(LogError::Short { file, needed: mark.length, found });
        }
        Ok(())
    }

    /// Removes the files behind the mark, newest first so that a crash in between leaves no hole,
    /// and cuts the mark's own file.
    fn cut(&mut self, mark: &Mark) -> Result<(), LogError> {
        let keep = if mark.length == 0 { mark.file } else { mark.file.saturating_add(1) };
        let behind = self.files.split_off(&keep);
        for base in behind.keys().rev() {
            self.remove(*base)?;
        }
        let Some(bytes) = self.files.get_mut(&mark.file).filter(|bytes| **bytes > mark.length)
        else {
            return Ok(());
        };
        *bytes = mark.length;
        let path = file::path(&self.dir, mark.file);
        self.disk.truncate(&path, mark.length).map_err(LogError::io("cut", &path))
    }

    /// Walks the mark's file for its close marks, checking that it ends as the mark says, and
    /// opens it for appending.
    fn resume(&mut self, mark: &Mark) -> Result<(), LogError> {
        let mut cursor = Cursor::open(&*self.disk, &self.dir, mark.file, Some(mark.length))?;
        check::collect(&*self.disk, &mut cursor, &mut self.closes, &mut false)?;
        if cursor.next_base != mark.next_base {
            return Err(cursor.corrupt("log does not end with the number in its mark"));
        }
        let path = file::path(&self.dir, mark.file);
        let file = self.disk.append_to(&path).map_err(LogError::io("open", &path))?;
        assert_eq!(file.length(), mark.length, "the file was cut to the mark");
        self.current = Some(Current { base: mark.file, file, new: false, over: 0 });
        Ok(())
    }

    /// Whether somebody reads soon what is appended from now on, as is thought at first. What nobody
    /// reads does not stay in memory.
    pub fn expect_reads(&mut self, soon: bool) -> Result<(), LogError> {
        if self.is_read_soon == soon {
            return Ok(());
        }
        self.is_read_soon = soon;
        self.guarded(|log| match &mut log.current {
            Some(current) => {
                let path = file::path(&log.dir, current.base);
                current.file.expect_reads(soon).map_err(LogError::io("append to", &path))
            }
            None => Ok(()),
        })
    }

    /// Appends a block of rows. `header.base` MUST be [`BlockLog::next_base`].
    ///
    /// # Panics
    /// If the block breaks a limit: no rows, a wrong base, more than
    /// [`BLOCK_BYTES_MAX`](super::block::BLOCK_BYTES_MAX) bytes in several rows.
    pub fn append(&mut self, header: BlockHeader, bytes: &[u8]) -> Result<BlockRef, LogError> {
        assert_eq!(header.base, self.next_base, "rows are numbered without holes");
        let frame = Frame::rows(header, bytes, self.options.compress);
        self.guarded(|log| log.write(&frame))
    }

    /// Appends a close mark. It takes one number.
    pub fn append_close(&mut self, close: CloseMark) -> Result<BlockRef, LogError> {
        let frame = Frame::close(&close, self.next_base, false);
        let reference = self.guarded(|log| log.write(&frame))?;
        self.closes.insert(close.group.clone(), close);
        Ok(reference)
    }

    /// Makes everything appended durable. Does nothing when nothing was appended.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.guarded(BlockLog::sync_current)
    }

    /// The end of what the last [`BlockLog::sync`] (or the mark given to [`BlockLog::open`]) covers.
    pub fn mark(&self) -> Mark {
        self.synced
    }

    /// The number the next row will have.
    pub fn next_base(&self) -> u64 {
        self.next_base
    }

    /// The number of the first row still there; `next_base` in an empty log.
    pub fn first_base(&self) -> u64 {
        self.files.first_key_value().map_or(self.next_base, |(base, _)| *base)
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Bytes in all files, those not yet synced included, without what is still to be written over.
    pub fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// Removes the files, named by their first number, that are not in `used`, and answers the bytes
    /// freed. Holes stay: readers that go from file to file are for logs without any.
    ///
    /// What the last sync covered MUST be committed: its file stays, and so does what is behind it.
    pub fn remove_unused(&mut self, used: &BTreeSet<u64>) -> Result<u64, LogError> {
        self.guarded(|log| {
            let before_mark = log.files.range(..log.synced.file).map(|(base, _)| *base);
            let unused: Vec<u64> = before_mark.filter(|base| !used.contains(base)).collect();
            let mut freed = 0;
            for base in unused {
                let bytes = log.files.remove(&base).expect("it was listed");
                if log.options.recycle && log.spare.is_empty() {
                    log.spare.lay_by(&*log.disk, &log.dir, base, bytes)?;
                } else {
                    log.remove(base)?;
                }
                freed += bytes;
            }
            Ok(freed)
        })
    }

    /// Removes the oldest files as long as `keep_bytes` or more stay and all their rows have numbers
    /// below `floor`; answers the bytes freed. What the last sync covered MUST be committed: its file
    /// stays.
    pub fn remove_surplus(&mut self, keep_bytes: u64, floor: u64) -> Result<u64, LogError> {
        self.guarded(|log| {
            let mut freed = 0;
            while let Some((first, bytes)) = log.surplus(keep_bytes, floor) {
                log.remove(first)?;
                log.files.remove(&first);
                freed += bytes;
            }
            Ok(freed)
        })
    }

    /// The oldest file, if it may go.
    fn surplus(&self, keep_bytes: u64, floor: u64) -> Option<(u64, u64)> {
        let mut files = self.files.iter();
        let ((first, bytes), (second, _)) = (files.next()?, files.next()?);
        let may = *first < self.synced.file && *second <= floor;
        (may && self.bytes() - bytes >= keep_bytes).then_some((*first, *bytes))
    }

    /// Runs a write; after the first error the log is dead.
    fn guarded<T>(
        &mut self,
        write: impl FnOnce(&mut BlockLog) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if self.failed {
            return Err(LogError::Failed { dir: self.dir.clone() });
        }
        let outcome = write(self);
        self.failed = outcome.is_err();
        outcome
    }

    /// Appends a frame to the current file or to a new one.
    fn write(&mut self, frame: &Frame<'_>) -> Result<BlockRef, LogError> {
        let limit = self.options.file_bytes;
        let current = match self.current.take() {
            // A file that has no number of its own yet would be followed by one of its own name.
            Some(current) if current.file.length() < limit || current.base == self.next_base => {
                self.current.insert(current)
            }
            full => {
                self.current = full;
                self.sync_current()?;
                self.cut_current()?;
                let new = self.begin_file()?;
                self.current.insert(new)
            }
        };
        let reference = frame.reference(current.base, current.file.length());
        let appended = append(current.file.as_mut(), frame);
        appended.map_err(LogError::io("append to", &file::path(&self.dir, current.base)))?;
        self.files.insert(current.base, current.file.length());
        self.next_base = frame.stored.end();
        Ok(reference)
    }

    /// Makes the next file: its header, and the last close mark of every group, so that the files
    /// before it can be removed.
    fn begin_file(&mut self) -> Result<Current, LogError> {
        let base = self.next_base;
        let path = file::path(&self.dir, base);
        let mut bytes = file::encode_header(self.family, base);
        for mark in self.closes.values() {
            bytes.extend_from_slice(&Frame::close(mark, base, true).bytes());
        }
        let (mut file, over) = match self.spare.take(&*self.disk, &self.dir, &path)? {
            Some(spare) => spare,
            None => (self.disk.append_to(&path).map_err(LogError::io("create", &path))?, 0),
        };
        assert_eq!(file.length(), 0, "files behind the mark were removed at open");
        file.expect_reads(self.is_read_soon).map_err(LogError::io("create", &path))?;
        file.append(&bytes).map_err(LogError::io("append to", &path))?;
        Ok(Current { base, file, new: true, over })
    }

    /// Cuts off what the current file was not written over: readers go to the end of a file that is
    /// followed by another.
    fn cut_current(&self) -> Result<(), LogError> {
        match &self.current {
            Some(current) if current.over > current.file.length() => {
                let path = file::path(&self.dir, current.base);
                let cut = self.disk.truncate(&path, current.file.length());
                cut.map_err(LogError::io("cut", &path))
            }
            _ => Ok(()),
        }
    }

    /// Syncs the current file and, where it is new, its name. Older files were synced when they
    /// were left, so that after a crash only the last file can be torn.
    fn sync_current(&mut self) -> Result<(), LogError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let end =
            Mark { file: current.base, length: current.file.length(), next_base: self.next_base };
        if end == self.synced {
            return Ok(());
        }
        let path = file::path(&self.dir, current.base);
        current.file.sync().map_err(LogError::io("sync", &path))?;
        if current.new {
            self.disk.sync_dir(&self.dir).map_err(LogError::io("sync", &self.dir))?;
            current.new = false;
        }
        self.synced = end;
        Ok(())
    }

    /// Removes one file and makes that durable.
    fn remove(&self, base: u64) -> Result<(), LogError> {
        let path = file::path(&self.dir, base);
        self.disk.remove(&path).map_err(LogError::io("remove", &path))?;
        self.disk.sync_dir(&self.dir).map_err(LogError::io("sync", &self.dir))
    }
}

/// A small block by one call, a large one without copying it.
fn append(file: &mut dyn AppendFile, frame: &Frame<'_>) -> io::Result<()> {
    if frame.body.len() < COPIED_BYTES_MAX {
        return file.append(&frame.bytes());
    }
    file.append(&frame.head)?;
    file.append(&frame.body)
}

#[cfg(test)]
mod tests;
