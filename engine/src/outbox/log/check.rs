//! What can be said about a log as a whole: its last close marks, and whether every byte is good.

use std::collections::BTreeMap;

use super::super::block::CloseMark;
use super::cursor::Cursor;
use super::{LogError, Mark, file, reader};
use crate::checkpoint::disk::Disk;

/// The last close mark of every group, also from behind the last mark, read before
/// [`BlockLog::open`](super::BlockLog::open) cuts that tail: a group whose `complete` is below its
/// `complete_before` has lost a durable tail (engine.md 13.9).
///
/// A torn end is passed over. A close mark tells the truth whether or not it was synced: what it
/// says was complete was so before it was written.
pub fn last_close_marks(
    disk: &dyn Disk,
    dir: &str,
) -> Result<BTreeMap<String, CloseMark>, LogError> {
    let mut marks = BTreeMap::new();
    // A file begins with the last mark of every group, so older files matter only where the crash
    // came before that beginning was written.
    for base in file::list(disk, dir)?.into_keys().rev() {
        let mut found = BTreeMap::new();
        let whole = collect_tolerant(disk, dir, base, &mut found)?;
        found.append(&mut marks);
        marks = found;
        if whole {
            break;
        }
    }
    Ok(marks)
}

/// Collects the close marks of a file up to the first damage. Answers whether all marks carried
/// into the file were among them.
fn collect_tolerant(
    disk: &dyn Disk,
    dir: &str,
    base: u64,
    marks: &mut BTreeMap<String, CloseMark>,
) -> Result<bool, LogError> {
    let mut own = false;
    let walk = Cursor::open(disk, dir, base, None)
        .and_then(|mut cursor| collect(disk, &mut cursor, marks, &mut own));
    match walk {
        Ok(()) | Err(LogError::Corrupt { .. } | LogError::Short { .. }) => Ok(own),
        Err(error) => Err(error),
    }
}

/// Walks to the end of the file and keeps the last close mark of every group. `own` is set once a
/// good block follows the carried ones: a torn one may look like anything.
pub(super) fn collect(
    disk: &dyn Disk,
    cursor: &mut Cursor,
    marks: &mut BTreeMap<String, CloseMark>,
    own: &mut bool,
) -> Result<(), LogError> {
    while let Some(header) = cursor.peek(disk)? {
        if header.is_close() {
            let mark = cursor.close_mark(disk, &header)?;
            marks.insert(mark.group.clone(), mark);
        } else if *own {
            cursor.skip(&header);
        } else {
            cursor.block(disk, &header)?;
        }
        *own |= !header.is_carried();
    }
    Ok(())
}

/// What [`verify`] has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files up to the mark.
    pub files: u64,
    /// Blocks in them, close marks included.
    pub blocks: u64,
    /// Rows in the blocks.
    pub rows: u64,
    /// Bytes of the files up to the mark.
    pub bytes: u64,
}

/// What it means that a file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// Damage: files of a topic go from the front only.
    Damage,
    /// Nobody needs it any more: the outbox.
    Removed,
}

/// Reads everything up to the mark and checks every checksum, every number and every end.
pub fn verify(
    disk: &dyn Disk,
    dir: &str,
    mark: Mark,
    holes: Holes,
) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::default();
    if mark.length == 0 {
        return Ok(report);
    }
    let files = file::list(disk, dir)?;
    let mut base = files.first_key_value().map_or(mark.file, |(first, _)| (*first).min(mark.file));
    loop {
        let mut cursor = Cursor::open(disk, dir, base, reader::end(&mark, base))?;
        verify_file(disk, &mut cursor, &mut report)?;
        if base == mark.file {
            return match cursor.next_base == mark.next_base {
                true => Ok(report),
                false => Err(cursor.corrupt("log does not end with the number in its mark")),
            };
        }
        // A file without a number of its own would be named as the one before it.
        if cursor.next_base <= base || cursor.next_base > mark.file {
            return Err(cursor.corrupt("files do not continue each other"));
        }
        base = match holes {
            Holes::Damage => cursor.next_base,
            Holes::Removed => {
                let next = files.range(cursor.next_base..=mark.file).next();
                next.map_or(mark.file, |(base, _)| *base)
            }
        };
    }
}

fn verify_file(
    disk: &dyn Disk,
    cursor: &mut Cursor,
    report: &mut VerifyReport,
) -> Result<(), LogError> {
    while let Some(header) = cursor.peek(disk)? {
        if header.is_close() {
            cursor.close_mark(disk, &header)?;
        } else {
            cursor.block(disk, &header)?;
        }
        report.blocks += 1;
        report.rows += u64::from(header.header.rows);
    }
    report.files += 1;
    report.bytes += cursor.offset;
    Ok(())
}
