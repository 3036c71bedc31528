//! Reading a log up to a mark: row blocks in order, each checked.

use std::sync::Arc;

use super::super::block::{BLOCK_HEADER_BYTES, Block, BlockRef, StoredHeader};
use super::super::rows::records::Records;
use super::cursor::Cursor;
use super::{LogError, Mark, file};
use crate::checkpoint::disk::Disk;

/// A reader that sees nothing behind its mark, not even if it lies in the same file.
///
/// A reader holds no file open and no memory to speak of between two reads.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    dir: String,
    mark: Mark,
    /// The first number wanted; used until the place is found.
    from: u64,
    cursor: Option<Cursor>,
}

impl LogReader {
    /// A reader of the blocks that contain `from` and everything behind it. Nothing is read yet.
    ///
    /// Where `from` was removed already, the first block has a `base` above it: the caller MUST
    /// compare. Where `from` lies inside a block, the whole block is given.
    pub fn open(disk: Arc<dyn Disk>, dir: &str, mark: Mark, from: u64) -> LogReader {
        LogReader { disk, dir: dir.to_owned(), mark, from, cursor: None }
    }

    /// Raises the end to a newer mark of the same log.
    pub fn advance_to(&mut self, mark: Mark) {
        assert!(mark.next_base >= self.mark.next_base, "a mark only moves forward");
        self.mark = mark;
        if let Some(cursor) = &mut self.cursor {
            cursor.end = (cursor.file == mark.file).then_some(mark.length);
        }
    }

    /// The next row block, or `None` at the mark; more may follow after
    /// [`LogReader::advance_to`]. Close marks are passed over. Where the file it was at has been
    /// removed meanwhile, it goes on with the oldest one, as at [`LogReader::open`].
    pub fn read(&mut self) -> Result<Option<Block>, LogError> {
        if self.mark.length == 0 {
            return Ok(None);
        }
        loop {
            match self.next_block() {
                Err(error) if error.is_gone() && self.leave_removed()? => {}
                other => return other,
            }
        }
    }

    /// Forgets the place if older files than any still there are what was looked for. Retention
    /// removes from the front only, so a hole further on is damage.
    fn leave_removed(&mut self) -> Result<bool, LogError> {
        let files = file::list(&*self.disk, &self.dir)?;
        let sought = self.cursor.as_ref().map_or(self.from, |cursor| cursor.file);
        let removed = files.keys().next().is_some_and(|first| *first > sought);
        if let Some(cursor) = self.cursor.take_if(|_| removed) {
            self.from = self.from.max(cursor.next_base);
        }
        Ok(removed)
    }

    fn next_block(&mut self) -> Result<Option<Block>, LogError> {
        if self.cursor.is_none() {
            self.cursor = Some(self.find_file()?);
        }
        let disk = &*self.disk;
        loop {
            let cursor = self.cursor.as_mut().expect("found above");
            match cursor.peek(disk)? {
                // Its checksum is looked at: a row block must not pass for a close mark.
                Some(header) if header.is_close() => drop(cursor.close_mark(disk, &header)?),
                Some(header) if header.end() <= self.from => cursor.skip(&header),
                Some(header) => return cursor.block(disk, &header).map(Some),
                None if cursor.file == self.mark.file => return Ok(None),
                // It would be its own successor.
                None if cursor.next_base == cursor.file => {
                    return Err(cursor.corrupt("file ends before its first row"));
                }
                None => {
                    let next = cursor.next_base;
                    self.cursor = Some(Cursor::open(disk, &self.dir, next, end(&self.mark, next))?);
                }
            }
        }
    }

    /// The file in which `from` lies, else the first one.
    fn find_file(&self) -> Result<Cursor, LogError> {
        let files = file::list(&*self.disk, &self.dir)?;
        let upto = self.from.min(self.mark.file);
        let file = files.range(..=upto).next_back().or_else(|| files.first_key_value());
        let base = file.map_or(self.mark.file, |(base, _)| *base);
        Cursor::open(&*self.disk, &self.dir, base, end(&self.mark, base))
    }
}

/// Where the file `base` ends for a reader up to `mark`.
pub(super) fn end(mark: &Mark, base: u64) -> Option<u64> {
    (base == mark.file).then_some(mark.length)
}

/// Who goes over the bytes of a block for its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Who reads it.
    Here,
    /// Of rows that lie as records, whoever gets them: they MUST be sent with the checksum that follows
    /// from [`BlockBytes::crc`](super::super::block::BlockBytes::crc), to somebody who refuses what it
    /// does not fit. All other blocks are checked here.
    There,
}

/// Reads the one block a checkpoint refers to; a block other than the one referred to is an error.
pub fn read_ref(disk: &dyn Disk, dir: &str, reference: &BlockRef) -> Result<Block, LogError> {
    read_ref_with(disk, dir, reference, Check::Here)
}

/// Likewise, checked by whom `check` says.
pub(in crate::outbox) fn read_ref_with(
    disk: &dyn Disk,
    dir: &str,
    reference: &BlockRef,
    check: Check,
) -> Result<Block, LogError> {
    let path = file::path(dir, reference.file);
    let needed = reference.offset + u64::from(reference.length);
    let length = usize::try_from(reference.length).expect("32 bits fit");
    let bytes = match disk.read_at(&path, reference.offset, length) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(LogError::Short { file: path, needed, found: 0 });
        }
        other => other.map_err(LogError::io("read", &path))?,
    };
    if bytes.len() < length {
        let found = reference.offset + bytes.len() as u64;
        return Err(LogError::Short { file: path, needed, found });
    }
    open_ref(bytes, reference, check).map_err(|reason| LogError::Corrupt {
        file: path,
        offset: reference.offset,
        reason,
    })
}

fn open_ref(bytes: Vec<u8>, reference: &BlockRef, check: Check) -> Result<Block, &'static str> {
    let (head, stored) = bytes
        .split_first_chunk::<BLOCK_HEADER_BYTES>()
        .ok_or("reference is shorter than a block header")?;
    let header = StoredHeader::decode(head);
    if check == Check::Here || !header.is_plain() || Records::of(stored).is_none() {
        header.check(stored)?;
    }
    if !header.matches(reference) || header.is_close() {
        return Err("block is not the one referred to");
    }
    let bytes = header.unpack(bytes, BLOCK_HEADER_BYTES)?;
    let crc = reference.crc_of_rows(header.header, bytes.len());
    Ok(Block { header: header.header, bytes: bytes.with_crc(crc) })
}
