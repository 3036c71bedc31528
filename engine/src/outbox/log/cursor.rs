//! A walk over the blocks of one file, header by header.
//!
//! Headers are read through a small window, bodies only when asked for, so that looking for a row
//! in a file of 256 MiB touches little of it. A header is covered by its block's checksum, which
//! a walk that skips the body does not check; what it does check is that the numbers continue
//! without a hole, so a wrong length leads to [`LogError::Corrupt`] and not to invented blocks.

use super::super::block::{BLOCK_HEADER_BYTES, Block, CloseMark, Damage, StoredHeader};
use super::{LogError, file};
use crate::checkpoint::disk::Disk;

/// Bytes read at a time while walking.
const WINDOW_BYTES: usize = 16 << 10;

/// A place before a block of one file.
#[derive(Debug)]
pub(super) struct Cursor {
    path: String,
    /// Base number in the file's name.
    pub(super) file: u64,
    /// Byte of the next block.
    pub(super) offset: u64,
    /// The number the next block must have.
    pub(super) next_base: u64,
    /// Bytes of the file that count; `None`: all of them.
    pub(super) end: Option<u64>,
    window: Vec<u8>,
    window_offset: u64,
}

impl Cursor {
    /// A cursor before the first block of the file `base`, whose header is checked.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &str,
        base: u64,
        end: Option<u64>,
    ) -> Result<Cursor, LogError> {
        file::read_header(disk, dir, base)?;
        Ok(Cursor {
            path: file::path(dir, base),
            file: base,
            offset: file::FILE_HEADER_BYTES as u64,
            next_base: base,
            end,
            window: Vec::new(),
            window_offset: 0,
        })
    }

    /// The header of the next block; `None` at the end.
    pub(super) fn peek(&mut self, disk: &dyn Disk) -> Result<Option<StoredHeader>, LogError> {
        if self.end.is_some_and(|end| self.offset >= end) {
            return Ok(None);
        }
        let bytes = self.fetch(disk, self.offset, BLOCK_HEADER_BYTES)?;
        let Some(header) = bytes.first_chunk() else {
            // Where the end is known, it was not reached.
            if bytes.is_empty() && self.end.is_none() {
                return Ok(None);
            }
            return Err(self.corrupt("file ends inside a block header"));
        };
        let header = StoredHeader::decode(header);
        if header.header.base != self.next_base {
            return Err(self.corrupt("row numbers do not continue"));
        }
        if self.end.is_some_and(|end| header.stored_bytes() > end - self.offset) {
            return Err(self.corrupt("block goes past the end of the log"));
        }
        Ok(Some(header))
    }

    /// Moves behind the block `header`, which [`Cursor::peek`] gave.
    pub(super) fn skip(&mut self, header: &StoredHeader) {
        self.offset += header.stored_bytes();
        self.next_base = header.end();
    }

    /// Reads, checks and passes the block `header`, which [`Cursor::peek`] gave.
    pub(super) fn block(
        &mut self,
        disk: &dyn Disk,
        header: &StoredHeader,
    ) -> Result<Block, LogError> {
        let length = usize::try_from(header.length).expect("32 bits fit");
        let stored = self.fetch(disk, self.offset + BLOCK_HEADER_BYTES as u64, length)?;
        let checked = header.check(stored);
        checked.map_err(|reason| self.corrupt(reason))?;
        let stored = self.take_window(length);
        let bytes = header.unpack(stored, 0).map_err(|reason| self.corrupt(reason))?;
        self.skip(header);
        Ok(Block { header: header.header, bytes })
    }

    /// The same for a close mark.
    pub(super) fn close_mark(
        &mut self,
        disk: &dyn Disk,
        header: &StoredHeader,
    ) -> Result<CloseMark, LogError> {
        self.body(disk, header, StoredHeader::close_mark)
    }

    fn body<T>(
        &mut self,
        disk: &dyn Disk,
        header: &StoredHeader,
        read: impl FnOnce(&StoredHeader, &[u8]) -> Result<T, Damage>,
    ) -> Result<T, LogError> {
        let length = usize::try_from(header.length).expect("32 bits fit");
        let stored = self.fetch(disk, self.offset + BLOCK_HEADER_BYTES as u64, length)?;
        let body = header.check(stored).and_then(|()| read(header, stored));
        // A large block is not kept: a process has many readers, and most of them are idle.
        if self.window.len() > WINDOW_BYTES {
            self.window = Vec::new();
        }
        let body = body.map_err(|reason| self.corrupt(reason))?;
        self.skip(header);
        Ok(body)
    }

    /// The `length` bytes that were fetched last. A large block is the window itself, which is then
    /// given away: a process has many readers, and most of them are idle.
    fn take_window(&mut self, length: usize) -> Vec<u8> {
        let body = self.offset + BLOCK_HEADER_BYTES as u64;
        if self.window_offset == body && self.window.len() == length {
            return std::mem::take(&mut self.window);
        }
        let start = usize::try_from(body - self.window_offset).expect("it lies in the window");
        self.window[start..start + length].to_vec()
    }

    /// `length` bytes at `at`, fewer at the end of the file.
    fn fetch(&mut self, disk: &dyn Disk, at: u64, length: usize) -> Result<&[u8], LogError> {
        let inside = at.checked_sub(self.window_offset).and_then(|skip| usize::try_from(skip).ok());
        let start = match inside {
            Some(start) if start.saturating_add(length) <= self.window.len() => start,
            _ => {
                let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(at));
                let wanted = length.max(WINDOW_BYTES).min(usize::try_from(left).unwrap_or(length));
                let read = disk.read_at(&self.path, at, wanted);
                self.window = read.map_err(LogError::io("read", &self.path))?;
                self.window_offset = at;
                0
            }
        };
        let stop = self.window.len().min(start + length);
        Ok(&self.window[start..stop])
    }

    /// The error at this place.
    pub(super) fn corrupt(&self, reason: &'static str) -> LogError {
        LogError::Corrupt { file: self.path.clone(), offset: self.offset, reason }
    }
}
