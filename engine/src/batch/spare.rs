//! Memory of blocks that were written, kept for the next ones.
//!
//! A block lives for an epoch or two. Given back to the allocator, its pages go back to the system
//! before they are wanted again, and every block begins with pages that are touched for the first
//! time: a tenth of the time of who fills it.
//!
//! What is kept are pieces of a few sizes, each twice the one before. All of it is bounded, and let go
//! when nothing is under way any more.

use std::sync::{Mutex, PoisonError};

use crate::outbox::block::BLOCK_BYTES_MAX;

/// The smallest piece; below it the allocator does well enough.
const SMALLEST_BYTES: usize = BLOCK_BYTES_MAX >> (SIZES - 1);
const SIZES: usize = 4;

/// See the module.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Shelves>);

/// Pieces by size, the smallest first.
#[derive(Default)]
struct Shelves {
    pieces: [Vec<Vec<u8>>; SIZES],
    /// Of all of them.
    bytes: usize,
}

impl Spare {
    /// Memory for `bytes`: a piece for what comes near its size.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        if bytes <= SMALLEST_BYTES / 2 {
            return Vec::with_capacity(bytes);
        }
        let size = bytes.next_power_of_two();
        let Some(shelf) = shelf(size) else { return Vec::with_capacity(bytes) };
        let kept = self.shelves(|shelves| {
            let kept = shelves.pieces[shelf].pop();
            shelves.bytes -= kept.as_ref().map_or(0, Vec::capacity);
            kept
        });
        kept.unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Keeps the memory if it is a piece and there are fewer than `most` bytes of them.
    pub(crate) fn keep(&self, mut memory: Vec<u8>, most: u64) {
        let size = memory.capacity();
        let Some(shelf) = shelf(size) else { return };
        memory.clear();
        self.shelves(|shelves| {
            if (shelves.bytes + size) as u64 <= most {
                shelves.bytes += size;
                shelves.pieces[shelf].push(memory);
            }
        });
    }

    /// Lets go of everything.
    pub(crate) fn clear(&self) {
        drop(self.shelves(std::mem::take));
    }

    /// Pieces kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shelves(|shelves| shelves.pieces.iter().map(Vec::len).sum())
    }

    /// Nothing that a panic elsewhere could leave half done.
    fn shelves<T>(&self, what: impl FnOnce(&mut Shelves) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where pieces of this size lie, if it is one of theirs.
fn shelf(size: usize) -> Option<usize> {
    (0..SIZES).find(|shelf| SMALLEST_BYTES << shelf == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_used_again_and_other_sizes_are_not_kept() {
        let spare = Spare::default();
        for size in [BLOCK_BYTES_MAX, BLOCK_BYTES_MAX / 4, SMALLEST_BYTES] {
            let piece = spare.take(size);
            let place = piece.as_ptr();
            spare.keep(piece, 2 << 20);
            spare.keep(vec![0; size - 1], 2 << 20);
            assert_eq!(spare.count(), 1, "of {size} bytes");
            let (again, other) = (spare.take(size / 2 + 1), spare.take(size));
            assert_eq!((again.as_ptr(), again.len()), (place, 0));
            assert_eq!((again.capacity(), other.capacity()), (size, size));
        }
        for bytes in [100, SMALLEST_BYTES / 2, BLOCK_BYTES_MAX + 1] {
            assert_eq!(spare.take(bytes).capacity(), bytes);
        }
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let (spare, most) = (Spare::default(), 2 * BLOCK_BYTES_MAX as u64);
        for expected in [1, 2, 2] {
            spare.keep(Vec::with_capacity(BLOCK_BYTES_MAX), most);
            assert_eq!(spare.count(), expected);
        }
        spare.clear();
        assert_eq!(spare.count(), 0);
    }
}
