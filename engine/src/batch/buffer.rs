//! Shared bytes that count against the budget for as long as they live.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::kept::Kept;
use super::spare::Spare;
use crate::limit::{KEPT_SHARE, QUEUED_SHARE};

/// Live bytes of a process: the third brake (specification 17.3). Every [`Buffer`] adds its size
/// when made and subtracts it when dropped, so the sum is exact, stashed rows included. What counts
/// is the memory taken, not how much of it is filled.
#[derive(Default)]
pub struct Budget {
    live: AtomicU64,
    limit: u64,
    /// Bytes of blocks that are written and wait for their sink; not among the live ones.
    kept: AtomicU64,
    kept_most: u64,
    listener: OnceLock<Listener>,
    spare: Spare,
}

/// Who is told of a budget's news; called by whichever thread makes or drops a buffer.
struct Listener {
    filling: Box<dyn Fn() + Send + Sync>,
    open: Box<dyn Fn() + Send + Sync>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Self::keeping(limit, limit / KEPT_SHARE)
    }

    /// A budget of `limit` bytes, beside which written blocks of at most `kept_most` bytes are kept.
    pub(crate) fn keeping(limit: u64, kept_most: u64) -> Arc<Self> {
        Arc::new(Self { limit, kept_most, ..Self::default() })
    }

    /// From now on calls `filling` when the budget begins to fill ([`Budget::is_filling`]), and `open`
    /// when sources may take again ([`Budget::is_closed`]): nobody has to look again and again. The
    /// first caller is the only one.
    pub(crate) fn listen(
        &self,
        filling: impl Fn() + Send + Sync + 'static,
        open: impl Fn() + Send + Sync + 'static,
    ) {
        let listener = Listener { filling: Box::new(filling), open: Box::new(open) };
        drop(self.listener.set(listener));
    }

    /// Memory for `bytes`, perhaps that of a buffer which is no more. It counts from when it is one.
    pub(crate) fn memory(&self, bytes: usize) -> Vec<u8> {
        self.spare.take(bytes)
    }

    /// Bytes alive now.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Bytes of written blocks that are kept now.
    pub(crate) fn kept(&self) -> u64 {
        self.kept.load(Ordering::SeqCst)
    }

    /// Bytes planned for one sink behind the unit under way, above which its sources are held while it
    /// delivers: what is in flight then still finds room among what is kept.
    pub(crate) fn queued_most(&self) -> u64 {
        self.kept_most / QUEUED_SHARE
    }

    /// Whether the open epoch should close early. What an epoch holds grows several times over when
    /// its results are encoded, so this comes well before the limit.
    pub fn is_filling(&self) -> bool {
        self.live() > self.filling_above()
    }

    /// Whether sources must stop taking. Half of the limit is kept for what the rows that are in
    /// grow to: log records split into four to five times their bytes.
    pub fn is_closed(&self) -> bool {
        self.live() > self.closed_above()
    }

    /// How much an epoch lets in before it may close early while another is under way. A smaller one
    /// would not be worth its syncs.
    pub fn early_share(&self) -> u64 {
        self.limit / 8
    }

    fn filling_above(&self) -> u64 {
        self.limit / 4
    }

    /// Bytes of spare memory at most: about the blocks of an epoch under full load. They do not count
    /// as alive. What is kept is taken from it, so that a process grows no larger by that.
    fn spare_most(&self) -> u64 {
        (self.limit / 2).saturating_sub(self.kept())
    }

    fn closed_above(&self) -> u64 {
        self.limit / 2
    }

    /// Pieces of spare memory.
    #[cfg(test)]
    pub(super) fn spares(&self) -> usize {
        self.spare.count()
    }

    fn take(&self, bytes: usize) {
        let before = self.live.fetch_add(bytes as u64, Ordering::Relaxed);
        let filling = self.filling_above();
        if before <= filling && before + bytes as u64 > filling {
            self.listener.get().iter().for_each(|listener| (listener.filling)());
        }
    }

    fn give_back(&self, memory: Vec<u8>) {
        let bytes = memory.capacity() as u64;
        self.spare.keep(memory, self.spare_most());
        self.end_live(bytes);
    }

    fn end_live(&self, bytes: u64) {
        let before = self.live.fetch_sub(bytes, Ordering::SeqCst);
        let closed = self.closed_above();
        if before > closed && before - bytes <= closed {
            self.listener.get().iter().for_each(|listener| (listener.open)());
        }
        // Of two threads that end the last live and the last kept bytes, one sees both at zero.
        if before == bytes && self.kept() == 0 {
            self.spare.clear();
        }
    }

    /// Counts live bytes as kept from now on; not if more would be kept than may.
    fn keep(&self, bytes: u64) -> bool {
        let within = |kept: u64| kept.checked_add(bytes).filter(|kept| *kept <= self.kept_most);
        let kept = self.kept.fetch_update(Ordering::SeqCst, Ordering::SeqCst, within).is_ok();
        if kept {
            self.end_live(bytes);
        }
        kept
    }

    pub(super) fn give_back_kept(&self, memory: Vec<u8>) {
        let bytes = memory.capacity() as u64;
        self.spare.keep(memory, self.spare_most() + bytes);
        let before = self.kept.fetch_sub(bytes, Ordering::SeqCst);
        if before == bytes && self.live.load(Ordering::SeqCst) == 0 {
            self.spare.clear();
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.live(), self.limit)
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
            budget.take(bytes.capacity());
        }
        Self { bytes, budget }
    }

    /// Counts the bytes against `budget` from now on.
    pub(crate) fn attach(&mut self, budget: &Arc<Budget>) {
        if self.budget.is_none() {
            budget.take(self.bytes.capacity());
            self.budget = Some(budget.clone());
        }
    }

    /// Keeps bytes that are written, for who is to read them. `None` where as much is kept as may be;
    /// then they are let go.
    pub(crate) fn keep(mut self) -> Option<Kept> {
        let bytes = self.bytes.capacity() as u64;
        let budget = self.budget.take_if(|budget| budget.keep(bytes))?;
        Some(Kept::new(std::mem::take(&mut self.bytes), budget))
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
            budget.give_back(std::mem::take(&mut self.bytes));
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

    #[test]
    fn spare_memory_goes_with_the_last_buffer() {
        let budget = Budget::new(16 << 20);
        let block = || Buffer::new(budget.memory(1 << 20), Some(budget.clone()));
        let (first, second, third) = (block(), block(), block());
        drop((first, second));
        assert_eq!(budget.spares(), 2);
        let again = block();
        assert_eq!((budget.spares(), budget.live()), (1, 2 << 20));
        drop((again, third));
        assert_eq!((budget.spares(), budget.live()), (0, 0), "nothing is under way");
    }

    #[test]
    fn news_are_told_once_at_each_crossing() {
        let (filling, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let count = |counter: &Arc<AtomicU64>| {
            let counter = counter.clone();
            move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let budget = Budget::new(40);
        budget.listen(count(&filling), count(&open));
        let told = || (filling.load(Ordering::Relaxed), open.load(Ordering::Relaxed));
        let buffer = |bytes| Buffer::new(vec![0; bytes], Some(budget.clone()));
        let first = buffer(10);
        assert_eq!(told(), (0, 0));
        let second = buffer(1);
        assert_eq!((told(), budget.is_filling(), budget.is_closed()), ((1, 0), true, false));
        let third = buffer(10);
        assert_eq!((told(), budget.is_closed()), ((1, 0), true));
        drop(second);
        assert_eq!((told(), budget.is_closed()), ((1, 1), false));
        drop((first, third));
        assert_eq!(told(), (1, 1));
        drop(buffer(11));
        assert_eq!(told(), (2, 1));
    }
}
