//! The state store on disk: one fjall database, one of its keyspaces per space.
//!
//! fjall keeps one journal for all keyspaces, which is what makes a batch over several of them
//! atomic. What it does not do, and the engine therefore does: it finds a bit flip in its journal
//! only mostly (the tests below say what happens where), so close marks in the outbox tell when a
//! durable tail is gone (engine.md 13.9), and whoever stores a value that must not be wrong
//! gives it a checksum.
//!
//! Memory: a keyspace holds its latest writes in memory up to `memtable_bytes`; the sum of these,
//! the block cache and the open files is what the store costs.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use crate::error::is_no_space;

use super::backend::{Durability, Entry, StateBackend, StateBatch, StateError, StateView, Visitor};

/// Bytes of the longest key fjall takes.
pub const KEY_BYTES_MAX: usize = 65_535;
/// Bytes of the longest space name fjall takes.
const SPACE_NAME_BYTES_MAX: usize = 255;
/// The least journal fjall takes: it preallocates its files with this size.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;
/// Descriptors kept open; a small store has few files.
const CACHED_FILES: usize = 100;

/// What the store may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FjallOptions {
    /// Bytes of journal before old ones are made superfluous by flushing; not below 64 MiB. It
    /// bounds the time of an open: 1.1 s per 128 MiB.
    pub journal_bytes_max: u64,
    /// Bytes of the cache of table blocks.
    pub cache_bytes: u64,
    /// Bytes of writes a space holds in memory before they become a table. Fixed for a space when
    /// it is created.
    pub memtable_bytes: u64,
    /// Threads that flush and compact; fjall starts them itself.
    pub worker_threads: usize,
}

impl Default for FjallOptions {
    fn default() -> FjallOptions {
        FjallOptions {
            journal_bytes_max: JOURNAL_BYTES_MIN,
            // State is read at restore only, so a cache earns little.
            cache_bytes: 8 << 20,
            memtable_bytes: 4 << 20,
            worker_threads: 1,
        }
    }
}

type Spaces = BTreeMap<Arc<str>, Keyspace>;

/// The store. There is one per state directory; fjall locks it.
pub struct FjallBackend {
    database: Database,
    options: FjallOptions,
    /// Handles of all spaces. Shared with the views, which keep a dropped space readable.
    spaces: RwLock<Arc<Spaces>>,
    /// Held while writing, so that no space is dropped under a commit. Readers never take it.
    writing: Mutex<()>,
}

impl FjallBackend {
    /// Opens the database in the directory `path`, creating it if it is absent. Replays the
    /// journal: a batch that was not written to its end is dropped.
    ///
    /// fjall answers some damage with a panic; it is caught here and is an error like all others.
    pub fn open(path: &Path, options: FjallOptions) -> Result<FjallBackend, StateError> {
        match catch_unwind(AssertUnwindSafe(|| open(path, options))) {
            Ok(Ok(backend)) => Ok(backend),
            Ok(Err(error)) => Err(failed("open")(error)),
            Err(panic) => {
                let message = format!("the store is damaged: {}", panic_text(&*panic));
                Err(StateError::new("open", message))
            }
        }
    }

    fn handles(&self) -> RwLockReadGuard<'_, Arc<Spaces>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handles of all spaces of the batch; absent ones are created, which costs several syncs.
    fn spaces_of(&self, batch: &StateBatch) -> Result<Arc<Spaces>, StateError> {
        let known = self.handles().clone();
        if batch.writes.iter().all(|write| known.contains_key(&write.space)) {
            return Ok(known);
        }
        drop(known);
        let mut guard = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        for write in &batch.writes {
            if !guard.contains_key(&write.space) {
                let handle = keyspace(&self.database, &write.space, self.options);
                let handle = handle.map_err(failed("commit"))?;
                Arc::make_mut(&mut guard).insert(write.space.clone(), handle);
            }
        }
        Ok(guard.clone())
    }
}

fn open(path: &Path, options: FjallOptions) -> fjall::Result<FjallBackend> {
    let database = Database::builder(path)
        .max_journaling_size(options.journal_bytes_max.max(JOURNAL_BYTES_MIN))
        .cache_size(options.cache_bytes)
        .max_cached_files(Some(CACHED_FILES))
        .worker_threads(options.worker_threads.max(1))
        .open()?;
    let mut spaces = Spaces::new();
    for name in database.list_keyspace_names() {
        spaces.insert(Arc::from(&*name), keyspace(&database, &name, options)?);
    }
    let spaces = RwLock::new(Arc::new(spaces));
    Ok(FjallBackend { database, options, spaces, writing: Mutex::new(()) })
}

fn keyspace(database: &Database, name: &str, options: FjallOptions) -> fjall::Result<Keyspace> {
    database.keyspace(name, || {
        KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
    })
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
        let named = (1..=SPACE_NAME_BYTES_MAX).contains(&write.space.len());
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
        // Both under one lock: a space that the handles lack has nothing in the snapshot.
        let spaces = self.handles();
        Ok(Box::new(FjallView { snapshot: self.database.snapshot(), spaces: spaces.clone() }))
    }

    fn commit(&self, batch: StateBatch, durability: Durability) -> Result<(), StateError> {
        check(&batch, durability)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let spaces = self.spaces_of(&batch)?;
        let mode = match durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Lazy => PersistMode::Buffer,
        };
        let mut writes = self.database.batch().durability(Some(mode));
        for write in batch.writes {
            let space = spaces.get(&write.space).expect("created by `spaces_of`");
            match write.value {
                Some(value) => writes.insert(space, write.key, value),
                None => writes.remove(space, write.key),
            }
        }
        writes.commit().map_err(failed("commit"))
    }

    fn spaces(&self) -> Result<Vec<String>, StateError> {
        Ok(self.handles().keys().map(|name| name.to_string()).collect())
    }

    /// Durable at once, whatever becomes of the commits before it.
    fn drop_space(&self, space: &str) -> Result<(), StateError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        match Arc::make_mut(&mut spaces).remove(space) {
            Some(handle) => {
                self.database.delete_keyspace(handle).map_err(failed("drop a space of"))
            }
            None => Ok(()),
        }
    }
}

/// A snapshot over all spaces. As long as it lives, fjall keeps what it may still read.
struct FjallView {
    snapshot: Snapshot,
    spaces: Arc<Spaces>,
}

impl StateView for FjallView {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let Some(space) = self.spaces.get(space) else { return Ok(None) };
        let value = self.snapshot.get(space, key).map_err(failed("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn visit(
        &self,
        space: &str,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        visitor: Visitor<'_>,
    ) -> Result<usize, StateError> {
        let Some(space) = self.spaces.get(space) else { return Ok(0) };
        if after > prefix && !after.starts_with(prefix) {
            // Behind all keys with the prefix.
            return Ok(0);
        }
        let range = (scan_start(prefix, after), Bound::Unbounded);
        let mut visited = 0;
        for guard in self.snapshot.range::<&[u8], _>(space, range).take(limit) {
            let (key, value) = guard.into_inner().map_err(failed("read"))?;
            if !key.starts_with(prefix) {
                break;
            }
            visitor(&key, &value);
            visited += 1;
        }
        Ok(visited)
    }

    fn last(&self, space: &str, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, StateError> {
        let Some(space) = self.spaces.get(space) else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        for guard in self.snapshot.prefix(space, prefix).rev().take(limit) {
            let (key, value) = guard.into_inner().map_err(failed("read"))?;
            entries.push((key.to_vec(), value.to_vec()));
        }
        entries.reverse();
        Ok(entries)
    }
}

#[cfg(test)]
pub(super) mod tests;
