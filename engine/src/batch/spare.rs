//! Memory of blocks that were written, kept for the next ones.
//!
//! A block is a mebibyte that lives for an epoch or two. Given back to the allocator, its pages go back
//! to the system before they are wanted again, and every block begins with pages that are touched for
//! the first time: a tenth of the time of who fills it.
//!
//! What is kept is bounded, and let go when nothing is under way any more.

use std::sync::{Mutex, PoisonError};

use crate::outbox::block::BLOCK_BYTES_MAX;

/// Capacity of what is kept.
const PIECE_BYTES: usize = BLOCK_BYTES_MAX;

/// See the module.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// Memory for `bytes`: a piece for what comes near its size.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        if bytes <= PIECE_BYTES / 2 || bytes > PIECE_BYTES {
            return Vec::with_capacity(bytes);
        }
        let kept = self.pieces(Vec::pop);
        kept.unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES))
    }

    /// Keeps the memory if it is a piece and there are fewer than `most` bytes of them.
    pub(crate) fn keep(&self, mut memory: Vec<u8>, most: u64) {
        if memory.capacity() != PIECE_BYTES {
            return;
        }
        memory.clear();
        self.pieces(|pieces| {
            if ((pieces.len() + 1) * PIECE_BYTES) as u64 <= most {
                pieces.push(memory);
            }
        });
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        drop(self.pieces(std::mem::take));
    }

    /// Pieces kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.pieces(|pieces| pieces.len())
    }

    /// Nothing that a panic elsewhere could leave half done.
    fn pieces<T>(&self, what: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_used_again_and_other_sizes_are_not_kept() {
        let spare = Spare::default();
        let piece = spare.take(PIECE_BYTES);
        let place = piece.as_ptr();
        spare.keep(piece, 2 << 20);
        spare.keep(vec![0; PIECE_BYTES / 2], 2 << 20);
        let (again, other) = (spare.take(PIECE_BYTES / 2 + 1), spare.take(PIECE_BYTES));
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!((again.capacity(), other.capacity()), (PIECE_BYTES, PIECE_BYTES));
        for (bytes, capacity) in [(100, 100), (PIECE_BYTES + 1, PIECE_BYTES + 1)] {
            assert_eq!(spare.take(bytes).capacity(), capacity);
        }
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let (spare, most) = (Spare::default(), 2 * PIECE_BYTES as u64);
        for expected in [1, 2, 2] {
            spare.keep(Vec::with_capacity(PIECE_BYTES), most);
            assert_eq!(spare.count(), expected);
        }
        spare.clear();
        assert_eq!(spare.count(), 0);
    }
}
