//! The largest row that each topic or table of a sink takes.
//!
//! A target says so itself, so it is known once the sink is prepared, and no source begins before.
//! Rows are measured where they are encoded: what is larger becomes a dead letter there, before
//! anything is durable, and a planned unit never changes. A target whose limit is lowered later may
//! therefore refuse a row that lies in the outbox by then; such a unit stops its sink until the
//! target takes it again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Nothing else is published with a limit.
const ORDER: Ordering = Ordering::Relaxed;

/// Shared by a [`SinkFactory`](super::SinkFactory), which hands it out, and its sinks, which tell it
/// what they find out.
#[derive(Debug, Clone, Default)]
pub struct RowLimits {
    numbered: Arc<[AtomicU64]>,
    /// Of topics that rows name.
    named: Arc<RwLock<BTreeMap<String, u64>>>,
}

impl RowLimits {
    /// Nothing is known yet of so many targets: they take every row.
    pub fn unknown(targets: usize) -> Self {
        let numbered = (0..targets).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self { numbered, named: Arc::default() }
    }

    /// The target of this number takes rows up to so many bytes, counted as by
    /// [`OutRow::bytes`](crate::outbox::rows::OutRow::bytes). A number beyond the targets is passed
    /// over.
    pub fn learn(&self, target: usize, bytes_max: u64) {
        if let Some(known) = self.numbered.get(target) {
            known.store(bytes_max, ORDER);
        }
    }

    /// The topic of this name takes rows up to so many bytes, likewise.
    pub fn learn_named(&self, topic: &str, bytes_max: u64) {
        // Plain values: none can be left half changed by a panic.
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.insert(topic.to_owned(), bytes_max);
    }

    /// The largest row that a topic takes which rows name, bytes. While nobody has said, what the
    /// narrowest of the numbered ones takes: limits of topics are mostly those of their cluster.
    pub fn bytes_max_named(&self, topic: &str) -> u64 {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let any = || self.numbered.iter().map(|known| known.load(ORDER)).min();
        named.get(topic).copied().or_else(any).unwrap_or(u64::MAX)
    }

    /// The largest row it takes, bytes; `u64::MAX` while nobody has said.
    #[inline]
    pub fn bytes_max(&self, target: u16) -> u64 {
        self.numbered.get(usize::from(target)).map_or(u64::MAX, |known| known.load(ORDER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_learns_all_know() {
        let limits = RowLimits::unknown(2);
        limits.clone().learn(1, 7);
        limits.learn(2, 7);
        let known = [0, 1, 2].map(|target| limits.bytes_max(target));
        assert_eq!(known, [u64::MAX, 7, u64::MAX]);
        limits.clone().learn_named("a", 9);
        assert_eq!(["a", "b"].map(|topic| limits.bytes_max_named(topic)), [9, 7]);
        assert_eq!(RowLimits::default().bytes_max_named("a"), u64::MAX);
    }
}
