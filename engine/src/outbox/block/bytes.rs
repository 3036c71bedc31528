//! Bytes of a block, in the memory they were read into or written from: a block is not copied once more,
//! and its checksum not counted again where the outbox knew it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::batch::kept::Kept;

/// See the module. Cheap to clone where they were not read.
#[derive(Clone)]
pub struct BlockBytes {
    place: Place,
    crc: Option<u32>,
}

#[derive(Clone)]
enum Place {
    /// Read from a file, behind `before` others such as the header.
    Read { whole: Vec<u8>, before: usize },
    /// Still where they were when they were written.
    Kept(Arc<Kept>),
}

impl BlockBytes {
    /// Bytes that were read together with `before` others, which lie before them.
    pub(super) fn read(whole: Vec<u8>, before: usize) -> Self {
        Self { place: Place::Read { whole, before }, crc: None }
    }

    /// The same, whose CRC-32C is known.
    pub(in crate::outbox) fn with_crc(self, crc: Option<u32>) -> Self {
        Self { crc, ..self }
    }

    /// Their CRC-32C.
    pub fn crc(&self) -> u32 {
        self.crc.unwrap_or_else(|| crc32c::crc32c(self))
    }
}

impl Deref for BlockBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Read { whole, before } => &whole[*before..],
            Place::Kept(bytes) => bytes,
        }
    }
}

impl From<Kept> for BlockBytes {
    fn from(bytes: Kept) -> Self {
        Self { place: Place::Kept(Arc::new(bytes)), crc: None }
    }
}

impl From<Vec<u8>> for BlockBytes {
    fn from(whole: Vec<u8>) -> Self {
        Self::read(whole, 0)
    }
}

impl From<&[u8]> for BlockBytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl PartialEq for BlockBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for BlockBytes {}

impl fmt::Debug for BlockBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockBytes({} bytes)", self.len())
    }
}
