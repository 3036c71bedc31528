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
