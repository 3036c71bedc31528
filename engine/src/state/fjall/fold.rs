//! Folding: deltas become tables of their spaces, and are removed.
//!
//! A fold is three steps, and a crash between any two of them costs nothing but that it is done again:
//!
//! 1. The journal is synced. What goes to tables is durable at once, so it must not hold what a crash
//!    could still take from the other spaces of its commit.
//! 2. The deltas of each space become a table (`Keyspace::start_ingestion`, which writes no journal).
//!    From here on they are there twice and say the same: whatever came later is a delta, too, and
//!    lies over both.
//! 3. One batch removes the deltas. That it is not synced matters nowhere: before the next fold writes
//!    anything, its first step makes this removal durable as well.
//!
//! A space is therefore written by deltas only, or not at all: a direct write would be hidden by an
//! older delta, and overtaken when that is folded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fjall::{Keyspace, PersistMode, Snapshot};

use super::layer::{Layer, Unfolded};
use super::spaces::Spaces;
use super::store::{Store, Written};
use super::{damaged, delta, failed};
use crate::state::backend::StateError;

/// Tables of the first level, where each fold adds one, at which a fold waits for the compaction:
/// every read looks into each of them. fjall slows down commits at 20.
const TABLES_WAITING_MAX: usize = 20;
/// How often a fold that waits looks again.
const LOOK: Duration = Duration::from_millis(10);

/// A fold that has begun.
pub(super) struct Fold {
    pub(super) unfolded: Unfolded,
    pub(super) spaces: Arc<Spaces>,
    /// Keeps the deltas readable where they lie.
    _snapshot: Snapshot,
}

impl Store {
    /// Folds all there is now. Commits go on meanwhile, but for the moments in which a table becomes
    /// part of its space and in which the deltas are removed.
    pub(super) fn fold(&self) -> Result<(), StateError> {
        self.fold_down_to(0)
    }

    /// As [`Store::fold`], if more than so many bytes of deltas wait when no other fold is under way.
    pub(super) fn fold_down_to(&self, bytes: u64) -> Result<(), StateError> {
        let _folding = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        let writing = self.writing();
        if writing.bytes <= bytes {
            return Ok(());
        }
        let fold = self.begin_fold();
        drop(writing);
        let fold = fold?;
        if fold.ingest(self)? { fold.remove(self, &mut self.writing()) } else { Ok(()) }
    }

    /// As [`Store::fold`], for a thread of its own: commits ask for what went wrong.
    pub(super) fn fold_behind(&self) {
        let folded = catch_unwind(AssertUnwindSafe(|| self.fold()));
        let folded = folded.unwrap_or_else(|panic| Err(damaged("fold", &*panic)));
        if let Err(error) = folded {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    /// Takes what there is to fold. To be called while nothing is written, or the snapshot might see
    /// a part of a commit.
    pub(super) fn begin_fold(&self) -> Result<Fold, StateError> {
        let (snapshot, spaces) = (self.database.snapshot(), self.handles().clone());
        let unfolded = match &spaces.deltas {
            Some(keyspace) => Unfolded::read(&snapshot, keyspace)?,
            None => Unfolded::default(),
        };
        Ok(Fold { unfolded, spaces, _snapshot: snapshot })
    }
}

impl Fold {
    /// Makes tables of the deltas; false if it was stopped before the last one.
    pub(super) fn ingest(&self, store: &Store) -> Result<bool, StateError> {
        store.database.persist(PersistMode::SyncData).map_err(failed("fold"))?;
        for (space, layer) in self.unfolded.layers()? {
            if store.stopping.load(Ordering::Acquire) {
                return Ok(false);
            }
            let Some(keyspace) = self.spaces.named.get(space) else {
                let message = format!("there are deltas of space {space:?}, which does not exist");
                return Err(StateError::new("fold", message));
            };
            await_compaction(store, keyspace)?;
            ingest(keyspace, &layer).map_err(failed("fold"))?;
        }
        Ok(true)
    }

    /// Removes the deltas, all of which are tables now.
    pub(super) fn remove(&self, store: &Store, written: &mut Written) -> Result<(), StateError> {
        let Some(keyspace) = &self.spaces.deltas else { return Ok(()) };
        let mut batch = store.database.batch().durability(Some(PersistMode::Buffer));
        for found in &self.unfolded.deltas {
            batch.remove(keyspace, delta::encode_key(found.number, &found.space));
        }
        batch.commit().map_err(failed("fold"))?;
        self.unfolded.deltas.iter().for_each(|found| written.forget(found.number));
        Ok(())
    }
}

pub(super) fn ingest(keyspace: &Keyspace, layer: &Layer) -> fjall::Result<()> {
    let mut ingestion = keyspace.start_ingestion()?;
    for (key, value) in layer.all() {
        match value {
            Some(value) => ingestion.write(key, value)?,
            None => ingestion.write_tombstone(key)?,
        }
    }
    ingestion.finish()
}

/// Waits until the compaction has caught up; forever only if it stands still, which is an error.
fn await_compaction(store: &Store, keyspace: &Keyspace) -> Result<(), StateError> {
    while keyspace.l0_table_count() >= TABLES_WAITING_MAX && !store.stopping.load(Ordering::Acquire)
    {
        store.database.persist(PersistMode::Buffer).map_err(failed("fold"))?;
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}
