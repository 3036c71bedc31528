//! Memory of a block that was written and waits for its sink.
//!
//! It counts neither as alive nor as spare but by itself, up to a bound: as long as a sink stands still,
//! what it was meant to get must close no epoch and stop no source. When the last one who holds it lets
//! go, the memory is spare.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::buffer::Budget;

/// Made by [`Buffer::keep`](super::buffer::Buffer::keep).
pub(crate) struct Kept {
    bytes: Vec<u8>,
    budget: Arc<Budget>,
}

impl Kept {
    /// Bytes that `budget` counts as kept already.
    pub(super) fn new(bytes: Vec<u8>, budget: Arc<Budget>) -> Self {
        Self { bytes, budget }
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes)", self.len())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.give_back_kept(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::buffer::Buffer;
    use super::*;

    fn buffer(budget: &Arc<Budget>, bytes: usize) -> Buffer {
        Buffer::new(vec![7; bytes], Some(budget.clone()))
    }

    #[test]
    fn what_is_kept_is_not_alive_and_bounded() {
        let budget = Budget::keeping(100, 10);
        let (first, second) = (buffer(&budget, 6).keep(), buffer(&budget, 5).keep());
        assert_eq!((budget.live(), budget.kept()), (0, 6));
        assert_eq!((first.as_deref(), second.is_some()), (Some(&[7; 6][..]), false));
        let third = buffer(&budget, 4).keep();
        assert_eq!((budget.live(), budget.kept(), third.is_some()), (0, 10, true));
        drop(first);
        assert_eq!(budget.kept(), 4);
        drop(third);
        assert_eq!((budget.live(), budget.kept()), (0, 0));
        let nothing = Budget::keeping(100, 0);
        assert!(buffer(&nothing, 1).keep().is_none());
        assert!(Buffer::new(vec![7], None).keep().is_none(), "nobody would count it");
    }

    #[test]
    fn sources_go_on_though_blocks_are_kept() {
        let (budget, opened) = (Budget::keeping(100, 100), Arc::new(AtomicU64::new(0)));
        let count = opened.clone();
        let open = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        budget.listen(|| (), open);
        let written = buffer(&budget, 80);
        assert!(budget.is_closed() && budget.is_filling());
        let kept = written.keep();
        assert!(!budget.is_closed() && !budget.is_filling());
        assert_eq!((kept.is_some(), opened.load(Ordering::Relaxed)), (true, 1));
    }

    #[test]
    fn memory_is_spare_when_it_is_let_go_and_gone_with_the_last() {
        let budget = Budget::keeping(16 << 20, 4 << 20);
        let block = || Buffer::new(budget.memory(1 << 20), Some(budget.clone()));
        let (alive, kept, last) = (block(), block().keep(), block().keep());
        drop(kept);
        assert_eq!(budget.spares(), 1);
        drop(block().keep());
        assert_eq!(budget.spares(), 1, "the piece was used again");
        drop(alive);
        assert_eq!((budget.spares(), budget.kept()), (2, 1 << 20), "a block is still under way");
        drop(last);
        assert_eq!((budget.spares(), budget.kept(), budget.live()), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_and_what_is_spare_share_their_room() {
        let budget = Budget::keeping(4 << 20, 1 << 20);
        let block = || Buffer::new(budget.memory(1 << 20), Some(budget.clone()));
        let (alive, kept) = (block(), block().keep());
        drop((block(), block()));
        let pair = (block(), block());
        drop(pair);
        assert_eq!(budget.spares(), 1, "half of the limit, less what is kept");
        drop(kept);
        assert_eq!(budget.spares(), 2);
        drop(alive);
    }
}
