//! The state store on disk: one fjall database, one of its keyspaces per space.
//!
//! fjall keeps one journal for all keyspaces, which is what makes a batch over several of them
//! atomic. What it does not do, and the engine therefore does: it finds a bit flip in its journal
//! only mostly (the tests below say what happens where), so close marks in the outbox tell when a
//! durable tail is gone (engine.md 13.9), and whoever stores a value that must not be wrong
//! gives it a checksum.
//!
//! At an open fjall replays the journal, at a cost for each entry and hardly for each byte. So what a
//! commit writes to a space of keyed state is one entry, a [`delta`]; deltas are folded into the
//! tables of their spaces behind ([`fold`]), and reads look at both ([`view`]): decision 19. Other
//! spaces are written entry by entry. A space that is written both ways would lose writes; which way
//! it goes is fixed by its name.
//!
//! Memory: a keyspace holds its latest writes in memory up to `memtable_bytes`, that of the deltas up
//! to 16 MiB; the sum of these, the block cache and the open files is what the store costs. A fold
//! adds an index of its writes, 16 bytes each.

mod delta;
mod fold;
mod layer;
mod spaces;
mod store;
mod view;

use std::any::Any;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::is_no_space;

use super::backend::{Durability, StateBackend, StateBatch, StateError, StateView};
use store::Store;

/// Bytes of the longest key fjall takes.
pub const KEY_BYTES_MAX: usize = 65_535;
/// Bytes of the longest space name fjall takes.
const SPACE_NAME_BYTES_MAX: usize = 255;
/// The least journal fjall takes: it preallocates its files with this size.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
/// This many times the bytes of a fold may wait for one.
const FOLDS_WAITING_MAX: u64 = 4;
/// Descriptors kept open; a small store has few files.
const CACHED_FILES: usize = 100;

/// What the store may cost, and which spaces are written how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FjallOptions {
    /// Bytes of journal before old ones are made superfluous by flushing; not below 64 MiB. It
    /// bounds the time of an open: 1.1 s per 128 MiB of small entries, a tenth of that where nearly
    /// all are deltas.
    pub journal_bytes_max: u64,
    /// Bytes of the cache of table blocks.
    pub cache_bytes: u64,
    /// Bytes of writes a space holds in memory before they become a table. Fixed for a space when
    /// it is created.
    pub memtable_bytes: u64,
    /// Threads that flush and compact; fjall starts them itself.
    pub worker_threads: usize,
    /// Spaces whose names begin so are written by deltas: those that get many entries with each
    /// commit and are read when the store has just been opened. `None`: no space is.
    pub by_delta: Option<&'static str>,
    /// Bytes of deltas at which they are folded, in a thread that ends with the fold. At four times as
    /// many a commit waits for it, and does what is still to do itself.
    pub fold_bytes: u64,
}

impl Default for FjallOptions {
    fn default() -> FjallOptions {
        FjallOptions {
            journal_bytes_max: JOURNAL_BYTES_MIN,
            // State is read at restore only, so a cache earns little.
            cache_bytes: 8 << 20,
            memtable_bytes: 4 << 20,
            worker_threads: 1,
            // Keyed state of a job: `checkpoint::layout::space::state`.
            by_delta: Some("state/"),
            fold_bytes: 8 << 20,
        }
    }
}

impl FjallOptions {
    fn is_by_delta(&self, space: &str) -> bool {
        self.by_delta.is_some_and(|beginning| space.starts_with(beginning))
    }
}

/// The store. There is one per state directory; fjall locks it.
pub struct FjallBackend {
    store: Arc<Store>,
    /// Of the last fold that was begun.
    folding: Mutex<Option<JoinHandle<()>>>,
}

impl FjallBackend {
    /// Opens the database in the directory `path`, creating it if it is absent. Replays the
    /// journal: a batch that was not written to its end is dropped.
    ///
    /// fjall answers some damage with a panic; it is caught here and is an error like all others.
    pub fn open(path: &Path, options: FjallOptions) -> Result<FjallBackend, StateError> {
        let open = || {
            let store = Store::open(path, options).map_err(failed("open"))?;
            store.take_over()?;
            Ok(FjallBackend { store: Arc::new(store), folding: Mutex::default() })
        };
        let opened = catch_unwind(AssertUnwindSafe(open));
        opened.unwrap_or_else(|panic| Err(damaged("open", &*panic)))
    }

    /// Begins a fold, unless one is under way.
    fn fold_behind(&self) -> Result<(), StateError> {
        let mut folding = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        if folding.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        let store = self.store.clone();
        let thread = std::thread::Builder::new().name("fold".to_owned());
        let thread = thread.spawn(move || store.fold_behind());
        *folding = Some(thread.map_err(|error| StateError::new("fold", error.to_string()))?);
        Ok(())
    }
}

impl Drop for FjallBackend {
    fn drop(&mut self) {
        self.store.stopping.store(true, Ordering::Release);
        let folding = self.folding.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = folding.take() {
            // Nobody is left to hear of a fault.
            drop(thread.join());
        }
    }
}

/// For `map_err`: fjall refused `action`.
fn failed(action: &'static str) -> impl Fn(fjall::Error) -> StateError {
    move |error| StateError {
        no_space: says_no_space(&error),
        ..StateError::new(action, error.to_string())
    }
}

/// Whether there is "no space" at the bottom. Once a flush in the background has failed, fjall says
/// only that it is poisoned, and not why.
fn says_no_space(error: &fjall::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if this.downcast_ref().is_some_and(is_no_space) {
            return true;
        }
        cause = this.source();
    }
    false
}

/// A caught panic as an error.
fn damaged(action: &'static str, panic: &(dyn Any + Send)) -> StateError {
    StateError::new(action, format!("the store is damaged: {}", panic_text(panic)))
}

/// What a caught panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "it panicked without a message",
    }
}

/// Refuses what the store would answer with a panic or, worse, with silence: an empty synced batch
/// returns from fjall 3.1 at once and syncs nothing, so it would leave earlier lazy commits at risk.
pub(super) fn check(batch: &StateBatch, durability: Durability) -> Result<(), StateError> {
    assert!(
        durability == Durability::Lazy || !batch.writes.is_empty(),
        "an empty batch is not synced; every checkpoint writes at least its epoch"
    );
    for write in &batch.writes {
        let fits = (1..=KEY_BYTES_MAX).contains(&write.key.len());
        let named = (1..=SPACE_NAME_BYTES_MAX).contains(&write.space.len())
            && &*write.space != spaces::DELTAS;
        if !fits || !named {
            let message = format!(
                "key of {} bytes in space {:?}: a key has 1 to {KEY_BYTES_MAX} bytes, a name 1 to \
                 {SPACE_NAME_BYTES_MAX}",
                write.key.len(),
                write.space
            );
            return Err(StateError::new("commit", message));
        }
    }
    Ok(())
}

/// Where a scan begins: behind `after`, but not before `prefix`.
pub(super) fn scan_start<'a>(prefix: &'a [u8], after: &'a [u8]) -> Bound<&'a [u8]> {
    if after.is_empty() || after < prefix {
        Bound::Included(prefix)
    } else {
        Bound::Excluded(after)
    }
}

impl StateBackend for FjallBackend {
    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        Ok(Box::new(self.store.view()?))
    }

    fn commit(&self, batch: StateBatch, durability: Durability) -> Result<(), StateError> {
        check(&batch, durability)?;
        if let Some(fault) = self.store.fault() {
            return Err(fault);
        }
        let fold_bytes = self.store.options.fold_bytes;
        let bytes_max = fold_bytes.saturating_mul(FOLDS_WAITING_MAX);
        if self.store.writing().bytes > bytes_max {
            self.store.fold_down_to(bytes_max)?;
        }
        let waiting = self.store.commit(batch, durability)?;
        if waiting > fold_bytes { self.fold_behind() } else { Ok(()) }
    }

    fn spaces(&self) -> Result<Vec<String>, StateError> {
        Ok(self.store.handles().named.keys().map(|name| name.to_string()).collect())
    }

    /// Durable at once, whatever becomes of the commits before it.
    fn drop_space(&self, space: &str) -> Result<(), StateError> {
        self.store.drop_space(space)
    }
}

#[cfg(test)]
pub(super) mod tests;
