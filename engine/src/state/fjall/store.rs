//! The open database: its spaces, and how a batch is written to them.
//!
//! Locks are taken in the order `folding`, `writing`, `spaces`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use fjall::{CompressionType, Database, Keyspace, PersistMode};

use super::spaces::{DELTAS, Spaces};
use super::view::FjallView;
use super::{CACHED_FILES, FjallOptions, JOURNAL_BYTES_MIN, delta, failed};
use crate::state::backend::{Durability, StateBatch, StateError, StateWrite};

/// The database and what is known of it.
pub(super) struct Store {
    pub(super) database: Database,
    pub(super) options: FjallOptions,
    /// Handles of all spaces. Shared with the views, which keep a dropped space readable.
    pub(super) spaces: RwLock<Arc<Spaces>>,
    /// Held while writing, so that no space is dropped under a commit. Readers never take it.
    pub(super) writing: Mutex<Written>,
    /// Held while deltas are folded: there is one fold at a time.
    pub(super) folding: Mutex<()>,
    /// Why a fold failed. It stays, for no later commit may succeed.
    pub(super) fault: Mutex<Option<StateError>>,
    /// A fold that is under way should end: the store is being closed.
    pub(super) stopping: AtomicBool,
}

/// The deltas that are not folded.
#[derive(Default)]
pub(super) struct Written {
    /// Number of the next one.
    next: u64,
    /// Space and bytes of each.
    waiting: BTreeMap<u64, (Arc<str>, u64)>,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Written {
    fn note(&mut self, number: u64, space: Arc<str>, bytes: u64) {
        self.next = number + 1;
        self.bytes += bytes;
        self.waiting.insert(number, (space, bytes));
    }

    /// The delta is folded.
    pub(super) fn forget(&mut self, number: u64) {
        if let Some((_space, bytes)) = self.waiting.remove(&number) {
            self.bytes -= bytes;
        }
    }

    /// Whether one of them is of such a space.
    pub(super) fn any(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.waiting.values().any(|(space, _)| is_meant(space))
    }
}

/// A batch, parted by the way its writes go.
struct Parts {
    direct: Vec<StateWrite>,
    deltas: Vec<(Arc<str>, Vec<u8>)>,
}

impl Parts {
    fn of(batch: StateBatch, options: &FjallOptions) -> Self {
        let mut direct = Vec::new();
        let mut by_space: Vec<(Arc<str>, Vec<StateWrite>)> = Vec::new();
        for write in batch.writes {
            if !options.is_by_delta(&write.space) {
                direct.push(write);
                continue;
            }
            // Those of a space come together.
            match by_space.iter_mut().rev().find(|(space, _)| *space == write.space) {
                Some((_, writes)) => writes.push(write),
                None => by_space.push((write.space.clone(), vec![write])),
            }
        }
        let deltas = by_space.into_iter().flat_map(|(space, writes)| {
            delta::encode(writes).into_iter().map(move |bytes| (space.clone(), bytes))
        });
        Self { direct, deltas: deltas.collect() }
    }

    fn spaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let direct = self.direct.iter().map(|write| &write.space);
        direct.chain(self.deltas.iter().map(|(space, _)| space))
    }
}

impl Store {
    /// Opens the database; replays its journal.
    pub(super) fn open(path: &Path, options: FjallOptions) -> fjall::Result<Self> {
        let database = Database::builder(path)
            .max_journaling_size(options.journal_bytes_max.max(JOURNAL_BYTES_MIN))
            // It is read once, at a start, and most of it never.
            .journal_compression(CompressionType::None)
            .cache_size(options.cache_bytes)
            .max_cached_files(Some(CACHED_FILES))
            .worker_threads(options.worker_threads.max(1))
            .open()?;
        let spaces = Spaces::open(&database, &options)?;
        Ok(Self {
            database,
            options,
            spaces: RwLock::new(Arc::new(spaces)),
            writing: Mutex::default(),
            folding: Mutex::default(),
            fault: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Counts the deltas that were left. Those of spaces that are written directly from now on are
    /// folded first: they would hide what is written.
    pub(super) fn take_over(&self) -> Result<(), StateError> {
        let view = self.view()?;
        let mut written = self.writing();
        for found in &view.unfolded.deltas {
            let bytes = u64::try_from(found.bytes.len()).unwrap_or(u64::MAX);
            written.note(found.number, found.space.as_str().into(), bytes);
        }
        let strangers = written.any(|space| !self.options.is_by_delta(space));
        drop(written);
        if strangers { self.fold() } else { Ok(()) }
    }

    /// Why no more can be written, if so.
    pub(super) fn fault(&self) -> Option<StateError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn handles(&self) -> RwLockReadGuard<'_, Arc<Spaces>> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Written> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A view of everything committed.
    pub(super) fn view(&self) -> Result<FjallView, StateError> {
        // Both under one lock: a space that the handles lack has nothing in the snapshot.
        let spaces = self.handles();
        FjallView::new(self.database.snapshot(), spaces.clone())
    }

    /// Writes the batch; answers how many bytes of deltas wait for a fold.
    pub(super) fn commit(
        &self,
        batch: StateBatch,
        durability: Durability,
    ) -> Result<u64, StateError> {
        let parts = Parts::of(batch, &self.options);
        let mut written = self.writing();
        let spaces = self.spaces_of(&parts)?;
        let mode = match durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Lazy => PersistMode::Buffer,
        };
        let mut writes = self.database.batch().durability(Some(mode));
        for write in parts.direct {
            let space = spaces.named.get(&write.space).expect("made by `spaces_of`");
            match write.value {
                Some(value) => writes.insert(space, write.key, value),
                None => writes.remove(space, write.key),
            }
        }
        let mut added = Vec::new();
        for ((space, bytes), number) in parts.deltas.into_iter().zip(written.next..) {
            let deltas = spaces.deltas.as_ref().expect("made by `spaces_of`");
            added.push((number, space.clone(), u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
            writes.insert(deltas, delta::encode_key(number, &space), bytes);
        }
        writes.commit().map_err(failed("commit"))?;
        added.into_iter().for_each(|(number, space, bytes)| written.note(number, space, bytes));
        Ok(written.bytes)
    }

    /// The handles of all spaces of a batch; absent ones are made.
    fn spaces_of(&self, parts: &Parts) -> Result<Arc<Spaces>, StateError> {
        let known = self.handles().clone();
        let has_place = parts.deltas.is_empty() || known.deltas.is_some();
        if has_place && parts.spaces().all(|space| known.named.contains_key(space)) {
            return Ok(known);
        }
        drop(known);
        let mut guard = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        let spaces = Arc::make_mut(&mut guard);
        if !has_place {
            spaces.add_deltas(&self.database).map_err(failed("commit"))?;
        }
        for space in parts.spaces() {
            if !spaces.named.contains_key(space) {
                spaces.add(&self.database, space, &self.options).map_err(failed("commit"))?;
            }
        }
        Ok(guard.clone())
    }

    /// Drops a space. Its deltas are folded first and are gone for good before it is: one that came
    /// back after a crash would be of a space that is no more, or of another with its name.
    pub(super) fn drop_space(&self, space: &str) -> Result<(), StateError> {
        debug_assert_ne!(space, DELTAS, "`check` refuses to write to it");
        let _folding = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = self.writing();
        if written.any(|other| other == space) {
            let fold = self.begin_fold()?;
            assert!(
                fold.ingest(self)?,
                "whoever calls this has the store, so it is not being closed"
            );
            fold.remove(self, &mut written)?;
        }
        let Some(keyspace) = self.handles().named.get(space).cloned() else { return Ok(()) };
        self.mark_used(&keyspace).map_err(failed("drop a space of"))?;
        let mut spaces = self.spaces.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut spaces).named.remove(space);
        self.database.delete_keyspace(keyspace).map_err(failed("drop a space of"))
    }

    /// Leaves an entry of a keyspace in the journal, and syncs it, with the removal of deltas that an
    /// earlier fold wrote. The entry changes nothing, but fjall gives no keyspace the number of another
    /// that it finds in the journal; one that is made after a crash with the number of one that was
    /// dropped just before is not there at the next open (seen with 3.1.13, whose sequence numbers then
    /// fall behind those of its list of keyspaces).
    fn mark_used(&self, keyspace: &Keyspace) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        match keyspace.first_key_value() {
            Some(guard) => {
                let (key, value) = guard.into_inner()?;
                batch.insert(keyspace, key, value);
            }
            None => batch.remove(keyspace, [0]),
        }
        batch.commit()
    }
}
