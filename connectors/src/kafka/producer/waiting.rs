//! Records of one partition that are not sent yet: copied there one by one, or as they lie in a block.

use engine::outbox::rows::records::{PREAMBLE_BYTES, Records};
use engine::outbox::rows::{OutRow, RowWriter};

use super::ready::Ready;
use crate::kafka::wire::batch::Sum;

/// See the module.
#[derive(Debug)]
pub(super) enum Waiting {
    /// In memory that is used again.
    Filling(RowWriter),
    /// They take no more.
    Ready(Ready),
}

impl Waiting {
    /// None yet, in this memory.
    pub(super) fn begin(memory: Vec<u8>) -> Self {
        // Who keeps them knows where they go.
        Self::Filling(RowWriter::of_partition(memory, 0, 0))
    }

    /// Appends one. There MUST be [room](Self::has_room) for it.
    #[inline]
    pub(super) fn push(&mut self, row: &OutRow<'_>) {
        let Self::Filling(rows) = self else { unreachable!("there is no room for it") };
        rows.push(row);
    }

    /// Whether a record of so many bytes may follow, if all must not have more than `bytes_max`.
    #[inline]
    pub(super) fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        match self {
            Self::Filling(_) => self.bytes().len() + bytes <= bytes_max,
            Self::Ready(_) => false,
        }
    }

    /// As they are sent, behind the header of their batch.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Filling(rows) => &rows.bytes()[PREAMBLE_BYTES..],
            Self::Ready(ready) => ready.bytes(),
        }
    }

    /// What their header says of them.
    pub(super) fn sum(&self) -> Sum {
        let records = self.bytes();
        let (count, crc) = match self {
            Self::Filling(rows) => (rows.rows(), crc32c::crc32c(records)),
            Self::Ready(ready) => (ready.count(), ready.crc()),
        };
        Sum { bytes: records.len(), count, crc }
    }

    /// No record has more bytes of key and value.
    pub(super) fn largest(&self) -> usize {
        match self {
            Self::Filling(rows) => {
                let records = Records::of(rows.bytes()).expect("they are written as records");
                usize::try_from(records.largest).expect("32 bits fit")
            }
            Self::Ready(ready) => ready.largest,
        }
    }

    /// Memory that can be used again.
    pub(super) fn into_memory(self) -> Option<Vec<u8>> {
        match self {
            Self::Filling(rows) => Some(rows.into_bytes()),
            Self::Ready(_) => None,
        }
    }
}
