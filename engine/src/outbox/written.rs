//! A block that lies in the outbox, and its bytes as long as they are still in memory.
//!
//! A sink asks for a block about an epoch after it was written. What is kept for it need not be read,
//! checked and decompressed again. The bytes are durable in the outbox before they are offered, and
//! whoever finds them gone reads them there: they may be let go at any time, by anybody.
//!
//! Sources wait for a sink that delivers but is behind, so nearly everything it wants is here
//! ([`QUEUED_SHARE`](crate::limit::QUEUED_SHARE)). What is kept is bounded, and what was kept first
//! stays: blocks are asked for in the order in which they were written, so letting go of the oldest for a
//! newer one would lose each just before its turn.
//! A sink takes the bytes with it when it first asks; another attempt is rare and reads the file, and
//! until then the memory serves a newer block. A sink that stands still takes nothing, so it would keep
//! its first blocks from all others: the writer lets go of them
//! ([`KEPT_UNITS_MAX`](crate::limit::KEPT_UNITS_MAX)).

use std::sync::{Arc, Mutex, PoisonError};

use super::block::{Block, BlockBytes, BlockHeader, BlockRef};
use crate::batch::buffer::Buffer;

/// See the module. Clones share the bytes, and that they are gone.
#[derive(Debug, Clone)]
pub(crate) struct WrittenBlock {
    pub(crate) reference: BlockRef,
    kept: Option<Arc<Mutex<Option<Block>>>>,
}

impl WrittenBlock {
    /// The block of `header` and `bytes` that was just written at `reference`, kept if there is room.
    pub(crate) fn new(reference: BlockRef, header: BlockHeader, bytes: Buffer) -> Self {
        let block = bytes.keep().map(|bytes| {
            let crc = reference.crc_of_rows(header, bytes.len());
            Block { header, bytes: BlockBytes::from(bytes).with_crc(crc) }
        });
        Self { reference, kept: block.map(|block| Arc::new(Mutex::new(Some(block)))) }
    }

    /// Takes the block, if it is still in memory.
    pub(super) fn take(&self) -> Option<Block> {
        // Nothing that a panic elsewhere could leave half done.
        let mut kept = self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }

    /// Lets go of the bytes: whoever wants them reads the outbox.
    pub(crate) fn let_go(&self) {
        drop(self.take());
    }
}

/// A block of which nothing is kept.
impl From<BlockRef> for WrittenBlock {
    fn from(reference: BlockRef) -> Self {
        Self { reference, kept: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::buffer::Budget;

    const HEADER: BlockHeader = BlockHeader { rows: 2, epoch: 1, sink: 1, shard: 0, base: 5 };
    const REFERENCE: BlockRef = BlockRef { file: 0, offset: 9, length: 41, rows: 2, crc: 3 };

    fn written(budget: &Arc<Budget>) -> WrittenBlock {
        let bytes = Buffer::new(b"bytes".to_vec(), Some(budget.clone()));
        WrittenBlock::new(REFERENCE, HEADER, bytes)
    }

    #[test]
    fn the_first_takes_it_and_the_memory_goes_with_its_last_reader() {
        let budget = Budget::keeping(100, 5);
        let (first, second) = (written(&budget), written(&budget));
        assert_eq!((budget.live(), budget.kept()), (0, 5));
        let block = first.clone().take().unwrap();
        assert_eq!((block.header, &*block.bytes), (HEADER, &b"bytes"[..]));
        assert!(first.take().is_none() && second.take().is_none());
        let shared = block.clone();
        drop(block);
        assert_eq!(budget.kept(), 5);
        drop(shared);
        assert_eq!((budget.live(), budget.kept()), (0, 0));
    }

    #[test]
    fn what_is_let_go_is_gone_for_all() {
        let budget = Budget::keeping(100, 5);
        let written = written(&budget);
        written.clone().let_go();
        assert_eq!((budget.kept(), written.take()), (0, None));
        WrittenBlock::from(REFERENCE).let_go();
    }
}
