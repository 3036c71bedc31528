//! A state store in memory that forgets at a crash what a real one may forget.
//!
//! Replay and simulation run on it. A lazy commit is lost at a crash together with all later ones,
//! from a random point on; a synced commit, and everything before it, stays; no batch is ever
//! halved. The outcome of a commit that failed is unknown until after the crash, as it is with a
//! journal whose sync failed.
//!
//! A commit costs its own writes; it copies a whole space only while a view of that space is alive.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::{
    Durability, Entry, StateBackend, StateBatch, StateError, StateView, StateWrite, Visitor,
};

type Space = BTreeMap<Vec<u8>, Vec<u8>>;
type Spaces = BTreeMap<Arc<str>, Arc<Space>>;

/// The store; clones share the same state.
#[derive(Clone, Default)]
pub struct MemoryBackend {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    spaces: Spaces,
    /// Per commit that may be lost, oldest first: the writes that take it back.
    undo: Vec<Vec<StateWrite>>,
    fail_next: bool,
    /// After a failed commit, its batch; every later write is refused.
    failed: Option<StateBatch>,
}

impl MemoryBackend {
    /// An empty store.
    pub fn new() -> MemoryBackend {
        MemoryBackend::default()
    }

    /// The process dies: a random number of the latest unsynced commits is lost, and a failed
    /// commit takes effect or not. The store can then be used again. `random(n)` gives a number
    /// below `n`.
    pub fn crash(&self, random: &mut dyn FnMut(u64) -> u64) {
        let mut inner = self.lock();
        let kept = random(inner.undo.len() as u64 + 1);
        let lost = inner.undo.len() as u64 - kept;
        for _ in 0..lost {
            let undo = inner.undo.pop().expect("no more are lost than there are");
            apply(&mut inner.spaces, undo);
        }
        inner.undo.clear();
        inner.fail_next = false;
        if let Some(batch) = inner.failed.take()
            && lost == 0
            && random(2) == 0
        {
            apply(&mut inner.spaces, batch.writes);
        }
    }

    /// Makes the next commit fail, and all after it until [`MemoryBackend::crash`].
    pub fn fail_next_commit(&self) {
        self.lock().fail_next = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies writes in order and answers those that take them back, in order of application.
fn apply(spaces: &mut Spaces, writes: Vec<StateWrite>) -> Vec<StateWrite> {
    let mut undo = Vec::with_capacity(writes.len());
    for StateWrite { space, key, value } in writes {
        let entries = Arc::make_mut(spaces.entry(space.clone()).or_default());
        let before = match value {
            Some(value) => entries.insert(key.clone(), value),
            None => entries.remove(&key),
        };
        undo.push(StateWrite { space, key, value: before });
    }
    undo.reverse();
    undo
}

impl Inner {
    fn commit(&mut self, batch: StateBatch, durability: Durability) -> Result<(), StateError> {
        let refused = |message: &str| Err(StateError::new("commit", message));
        if self.failed.is_some() {
            return refused("an earlier commit failed");
        }
        if self.fail_next {
            self.failed = Some(batch);
            return refused("simulated device error");
        }
        let undo = apply(&mut self.spaces, batch.writes);
        match durability {
            Durability::Synced => self.undo.clear(),
            Durability::Lazy => self.undo.push(undo),
        }
        Ok(())
    }
}

impl StateBackend for MemoryBackend {
    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        Ok(Box::new(MemoryView { spaces: self.lock().spaces.clone() }))
    }

    fn commit(&self, batch: StateBatch, durability: Durability) -> Result<(), StateError> {
        super::fjall::check(&batch, durability)?;
        self.lock().commit(batch, durability)
    }

    fn spaces(&self) -> Result<Vec<String>, StateError> {
        Ok(self.lock().spaces.keys().map(|name| name.to_string()).collect())
    }

    /// Durable at once, whatever becomes of the commits before it.
    fn drop_space(&self, space: &str) -> Result<(), StateError> {
        let mut inner = self.lock();
        inner.spaces.remove(space);
        for undo in &mut inner.undo {
            undo.retain(|write| &*write.space != space);
        }
        Ok(())
    }
}

/// The spaces as of one instant, shared with the store until it writes to them.
struct MemoryView {
    spaces: Spaces,
}

impl StateView for MemoryView {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.spaces.get(space).and_then(|entries| entries.get(key).cloned()))
    }

    fn visit(
        &self,
        space: &str,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        visitor: Visitor<'_>,
    ) -> Result<usize, StateError> {
        let Some(entries) = self.spaces.get(space) else { return Ok(0) };
        let start = super::fjall::scan_start(prefix, after);
        let found = entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit);
        Ok(found.map(|(key, value)| visitor(key, value)).count())
    }

    fn last(&self, space: &str, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, StateError> {
        let Some(entries) = self.spaces.get(space) else { return Ok(Vec::new()) };
        let mut entries: Vec<Entry> = entries
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .rev()
            .skip_while(|(key, _)| !key.starts_with(prefix))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        entries.reverse();
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fjall::tests::contract;

    fn put(backend: &MemoryBackend, key: u8, value: u8, durability: Durability) {
        let mut batch = StateBatch::default();
        batch.put(&"a".into(), vec![key], vec![value]);
        batch.put(&"b".into(), vec![key], vec![value]);
        backend.commit(batch, durability).unwrap();
    }

    fn values(backend: &MemoryBackend) -> (Vec<Entry>, Vec<Entry>) {
        let view = backend.view().unwrap();
        (view.scan("a", b"", b"", 99).unwrap(), view.scan("b", b"", b"", 99).unwrap())
    }

    #[test]
    fn keeps_the_contract() {
        contract(&MemoryBackend::new());
    }

    #[test]
    fn a_crash_loses_the_latest_lazy_commits_and_never_half_of_one() {
        let mut seen = std::collections::BTreeSet::new();
        for kept in 0..=3 {
            let backend = MemoryBackend::new();
            put(&backend, 1, 1, Durability::Lazy);
            put(&backend, 2, 1, Durability::Synced);
            for round in 2..5 {
                put(&backend, 1, round, Durability::Lazy);
            }
            backend.crash(&mut |n| {
                assert_eq!(n, 4);
                kept
            });
            let (a, b) = values(&backend);
            assert_eq!(a, b, "no batch is halved");
            assert_eq!(a.len(), 2);
            seen.insert(a[0].1.clone());
            // What a crash left is durable.
            backend.crash(&mut |_| 0);
            assert_eq!(values(&backend).0, a);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [[1], [2], [3], [4]]);
    }

    #[test]
    fn a_failed_commit_ends_writing_and_its_outcome_is_open() {
        for (luck, expected) in [(0, 2), (1, 1)] {
            let backend = MemoryBackend::new();
            put(&backend, 1, 1, Durability::Synced);
            backend.fail_next_commit();
            for _ in 0..2 {
                let mut batch = StateBatch::default();
                batch.put(&"a".into(), vec![2], vec![2]);
                let error = backend.commit(batch, Durability::Synced).unwrap_err();
                assert!(error.to_string().starts_with("could not commit state: "));
            }
            assert_eq!(values(&backend).0.len(), 1);
            backend.crash(&mut |n| if n == 1 { 0 } else { luck });
            assert_eq!(values(&backend).0.len(), expected);
            put(&backend, 3, 3, Durability::Synced);
        }
    }

    #[test]
    fn a_dropped_space_does_not_come_back() {
        let backend = MemoryBackend::new();
        put(&backend, 1, 1, Durability::Synced);
        put(&backend, 1, 2, Durability::Lazy);
        backend.drop_space("a").unwrap();
        backend.crash(&mut |_| 0);
        assert_eq!(backend.spaces().unwrap(), ["b"]);
        assert_eq!(values(&backend), (vec![], vec![(vec![1], vec![1])]));
    }
}
