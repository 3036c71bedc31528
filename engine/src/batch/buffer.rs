//! Shared bytes that count against the budget for as long as they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Live bytes of a process: the third brake (specification 17.3). Every [`Buffer`] adds its size
/// when made and subtracts it when dropped, so the sum is exact, stashed rows included. What counts
/// is the memory taken, not how much of it is filled.
#[derive(Debug, Default)]
pub struct Budget {
    live: AtomicU64,
    limit: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { live: AtomicU64::new(0), limit })
    }

    /// Bytes alive now.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether the open epoch should close early. What an epoch holds grows several times over when
    /// its results are encoded, so this comes well before the limit.
    pub fn is_filling(&self) -> bool {
        self.live() > self.limit / 4
    }

    /// Whether sources must stop taking. Half of the limit is kept for what the rows that are in
    /// grow to: log records split into four to five times their bytes.
    pub fn is_closed(&self) -> bool {
        self.live() > self.limit / 2
    }
}

/// Bytes with an accounting guard.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    budget: Option<Arc<Budget>>,
}

impl Buffer {
    /// Takes `bytes` and counts them against `budget`.
    pub fn new(bytes: Vec<u8>, budget: Option<Arc<Budget>>) -> Self {
        if let Some(budget) = &budget {
            budget.live.fetch_add(bytes.capacity() as u64, Ordering::Relaxed);
        }
        Self { bytes, budget }
    }

    /// Counts the bytes against `budget` from now on.
    pub(crate) fn attach(&mut self, budget: &Arc<Budget>) {
        if self.budget.is_none() {
            budget.live.fetch_add(self.bytes.capacity() as u64, Ordering::Relaxed);
            self.budget = Some(budget.clone());
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The budget these bytes count against, for buffers derived from this one.
    pub fn budget(&self) -> Option<Arc<Budget>> {
        self.budget.clone()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.live.fetch_sub(self.bytes.capacity() as u64, Ordering::Relaxed);
        }
    }
}

impl Serialize for Buffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

/// A received buffer counts against no budget until one is attached on receipt.
impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { bytes: Vec::<u8>::deserialize(deserializer)?, budget: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_live_bytes_exactly() {
        let budget = Budget::new(20);
        let first = Arc::new(Buffer::new(vec![0; 8], Some(budget.clone())));
        let shared = first.clone();
        assert_eq!((budget.live(), budget.is_closed()), (8, false));
        let second = Buffer::new(vec![0; 3], first.budget());
        assert!(budget.is_closed());
        drop((first, second));
        assert_eq!(budget.live(), 8);
        drop(shared);
        assert_eq!(budget.live(), 0);
    }
}
