//! Records that are sent as they lie in a block of the outbox.

use std::sync::Arc;

use engine::checksum::joined;
use engine::outbox::block::Block;
use engine::outbox::rows::records::{PREAMBLE_BYTES, Records};

/// The records of such a block, which stays in memory until they are sent.
#[derive(Debug, Clone)]
pub(in crate::kafka) struct Ready {
    block: Arc<Block>,
    /// Which topic of the sink.
    pub(in crate::kafka) target: u16,
    pub(super) partition: usize,
    /// No record has more bytes of key and value.
    pub(in crate::kafka) largest: usize,
}

impl Ready {
    /// The records of a block; `None` if its rows lie there in another form.
    pub(in crate::kafka) fn of(block: &Arc<Block>) -> Option<Self> {
        let Records { target, partition, largest, .. } = Records::of(&block.bytes)?;
        let wide = |number: u32| usize::try_from(number).expect("32 bits fit");
        let (partition, largest) = (wide(partition), wide(largest));
        Some(Self { block: block.clone(), target, partition, largest })
    }

    /// As they are sent, behind the header of their batch.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.block.bytes[PREAMBLE_BYTES..]
    }

    /// CRC-32C of [these](Self::bytes): that of the block, without what is before them.
    pub(super) fn crc(&self) -> u32 {
        let (preamble, records) = self.block.bytes.split_at(PREAMBLE_BYTES);
        let bytes = u32::try_from(records.len()).expect("a block is far below 4 GiB");
        joined(crc32c::crc32c(preamble), self.block.bytes.crc(), bytes)
    }

    pub(in crate::kafka) fn count(&self) -> u32 {
        self.block.header.rows
    }
}
