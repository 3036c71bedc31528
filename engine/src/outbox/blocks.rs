//! The blocks of a delivery unit, one after the other: from memory where they still are, else read from
//! the outbox.
//!
//! A unit may be as large as what an epoch gives in a second; a sink holds one block of it at a time.
//! Every attempt to deliver gets the same bytes, or an error that ends the process: a damaged block is
//! never delivered, and what was sent before it must not become visible. Whoever sends the checksum of a
//! block along may leave the check to who receives it ([`Check::There`]).

use std::fmt;
use std::sync::Arc;

use super::block::{Block, BlockRef};
use super::log::{Check, read_ref_with};
use super::written::WrittenBlock;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::OUTBOX_DIR;
use crate::error::Fatal;

/// The blocks of a unit in their order; cheap to clone, iterated as often as needed.
#[derive(Clone)]
pub struct Blocks(Inner);

#[derive(Clone)]
enum Inner {
    Written { disk: Arc<dyn Disk>, blocks: Arc<[WrittenBlock]> },
    Held(Arc<[Arc<Block>]>),
}

impl Blocks {
    /// Blocks that lie in the outbox.
    pub fn stored(disk: Arc<dyn Disk>, references: &[BlockRef]) -> Self {
        let blocks = references.iter().map(|reference| WrittenBlock::from(*reference));
        Self::written(disk, blocks.collect())
    }

    /// Blocks that lie in the outbox, some of them still in memory, too.
    pub(crate) fn written(disk: Arc<dyn Disk>, blocks: Arc<[WrittenBlock]>) -> Self {
        Self(Inner::Written { disk, blocks })
    }

    /// Rows in all blocks, without reading them.
    pub fn rows(&self) -> u64 {
        match &self.0 {
            Inner::Written { blocks, .. } => {
                blocks.iter().map(|block| u64::from(block.reference.rows)).sum()
            }
            Inner::Held(blocks) => blocks.iter().map(|block| u64::from(block.header.rows)).sum(),
        }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Written { blocks, .. } => blocks.len(),
            Inner::Held(blocks) => blocks.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives them, each read and checked when it is asked for. After an error the caller MUST stop the
    /// process.
    pub fn iter(&self) -> BlockIter<'_> {
        BlockIter { blocks: self, next: 0 }
    }

    /// The block of this number, which MUST be one of [`Blocks::len`], checked by whom `check` says. After
    /// an error the caller MUST stop the process.
    pub fn read(&self, index: usize, check: Check) -> Result<Arc<Block>, Fatal> {
        match &self.0 {
            Inner::Written { disk, blocks } => {
                let WrittenBlock { reference, .. } = &blocks[index];
                let read = || read_ref_with(disk.as_ref(), OUTBOX_DIR, reference, check);
                let block = blocks[index].take().map_or_else(read, Ok);
                block.map(Arc::new).map_err(Fatal::disk)
            }
            Inner::Held(blocks) => Ok(blocks[index].clone()),
        }
    }
}

/// Blocks that are in memory already.
impl From<Vec<Arc<Block>>> for Blocks {
    fn from(blocks: Vec<Arc<Block>>) -> Self {
        Self(Inner::Held(blocks.into()))
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blocks({})", self.len())
    }
}

/// See [`Blocks::iter`].
#[derive(Debug)]
pub struct BlockIter<'a> {
    blocks: &'a Blocks,
    next: usize,
}

impl Iterator for BlockIter<'_> {
    type Item = Result<Arc<Block>, Fatal>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        self.next = self.blocks.len().min(index + 1);
        (index < self.next).then(|| self.blocks.read(index, Check::Here))
    }
}

impl<'a> IntoIterator for &'a Blocks {
    type Item = Result<Arc<Block>, Fatal>;
    type IntoIter = BlockIter<'a>;

    fn into_iter(self) -> BlockIter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::buffer::{Budget, Buffer};
    use crate::error::exit;
    use crate::outbox::block::BlockHeader;
    use crate::outbox::log::{BlockLog, LogOptions};
    use crate::testing::disk::SimDisk;

    #[test]
    fn each_is_read_when_it_is_asked_for_and_damage_is_fatal() {
        let disk = SimDisk::new();
        let options = LogOptions::default();
        let mut log = BlockLog::open(Arc::new(disk.clone()), OUTBOX_DIR, 7, options, None).unwrap();
        let mut append = |bytes: &[u8]| {
            let header =
                BlockHeader { rows: 2, epoch: 1, sink: 1, shard: 0, base: log.next_base() };
            log.append(header, bytes).unwrap()
        };
        let references = [append(b"first"), append(b"second")];
        let blocks = Blocks::stored(Arc::new(disk.clone()), &references);
        assert_eq!((blocks.rows(), blocks.len()), (4, 2));
        let mut reading = blocks.iter();
        assert_eq!(&*reading.next().unwrap().unwrap().bytes, b"first");
        let file = "state/outbox/00000000000000000000.log";
        disk.flip_bit(file, references[1].offset + 40);
        let fatal = reading.next().unwrap().unwrap_err();
        assert_eq!(fatal.code, exit::DISK);
        assert!(fatal.message.contains(file), "{fatal}");
        assert!(reading.next().is_none());
        // Another attempt begins again.
        assert!(blocks.iter().next().unwrap().is_ok());
    }

    #[test]
    fn only_records_may_be_checked_by_who_gets_them() {
        use crate::outbox::rows::RowWriter;
        let disk = SimDisk::new();
        let options = LogOptions::default();
        let mut log = BlockLog::open(Arc::new(disk.clone()), OUTBOX_DIR, 7, options, None).unwrap();
        let records = RowWriter::of_partition(Vec::new(), 1, 2);
        let references = [records.bytes(), b"of another form"].map(|bytes| {
            let header =
                BlockHeader { rows: 2, epoch: 1, sink: 1, shard: 0, base: log.next_base() };
            log.append(header, bytes).unwrap()
        });
        let blocks = Blocks::stored(Arc::new(disk.clone()), &references);
        for index in [0, 1] {
            let good = blocks.read(index, Check::There).unwrap();
            assert_eq!(good.bytes.crc(), crc32c::crc32c(&good.bytes));
            let file = "state/outbox/00000000000000000000.log";
            let reference = &references[index];
            disk.flip_bit(file, reference.offset + u64::from(reference.length) - 1);
            assert!(blocks.read(index, Check::Here).is_err());
        }
        let damaged = blocks.read(0, Check::There).unwrap();
        assert_ne!(damaged.bytes.crc(), crc32c::crc32c(&damaged.bytes));
        assert!(blocks.read(1, Check::There).is_err());
    }

    #[test]
    fn what_is_in_memory_is_not_read_but_the_next_time() {
        let disk = SimDisk::new();
        let options = LogOptions::default();
        let mut log = BlockLog::open(Arc::new(disk.clone()), OUTBOX_DIR, 7, options, None).unwrap();
        let budget = Budget::keeping(100, 5);
        let mut write = |bytes: &[u8]| {
            let header =
                BlockHeader { rows: 2, epoch: 1, sink: 1, shard: 0, base: log.next_base() };
            let reference = log.append(header, bytes).unwrap();
            let bytes = Buffer::new(bytes.to_vec(), Some(budget.clone()));
            WrittenBlock::new(reference, header, bytes)
        };
        // There is room for one of them.
        let written = [write(b"first"), write(b"second")];
        let blocks = Blocks::written(Arc::new(disk.clone()), written.clone().into());
        let (file, first) = ("state/outbox/00000000000000000000.log", written[0].reference);
        let flip = || disk.flip_bit(file, first.offset + u64::from(first.length) - 1);
        flip();
        assert_eq!((blocks.rows(), blocks.len(), budget.kept()), (4, 2, 5));
        let attempt: Vec<_> = blocks.iter().map(Result::unwrap).collect();
        assert_eq!(blocks.iter().next().unwrap().unwrap_err().code, exit::DISK);
        flip();
        let again: Vec<_> = blocks.iter().map(Result::unwrap).collect();
        assert_eq!(attempt, again);
        for block in attempt.iter().chain(&again) {
            assert_eq!(block.bytes.crc(), crc32c::crc32c(&block.bytes));
        }
        assert_eq!(budget.kept(), 5, "the sink still has it");
        drop(attempt);
        assert_eq!((budget.kept(), budget.live()), (0, 0));
    }
}
