//! The store behind checkpoints: named ordered key spaces with atomic batches over all of them.
//!
//! Hot state lives in memory with its operator; the backend is written once per epoch and read only
//! at restore (and by `inspect`). Implementations: [`fjall`](super::fjall) and
//! [`memory`](super::memory), the latter for simulation, where it loses what was not synced.

use std::fmt;

use crate::error::DiskError;

/// Why the store refused. Always fatal: the caller stops the process with exit code 74 and never
/// retries, because a poisoned store may have lost its tail.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not {action} state: {message}")]
pub struct StateError {
    /// What was attempted: `open`, `read`, `commit`.
    pub action: &'static str,
    /// The store's own words.
    pub message: String,
    /// Whether the disk is full, as far as the store says so.
    pub no_space: bool,
}

impl StateError {
    /// The store refused `action`.
    pub fn new(action: &'static str, message: impl Into<String>) -> Self {
        Self { action, message: message.into(), no_space: false }
    }
}

impl DiskError for StateError {
    fn is_no_space(&self) -> bool {
        self.no_space
    }
}

/// Whether a commit returns only after its bytes are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// `fdatasync` of the journal before returning.
    Synced,
    /// May be lost with everything after it at a crash, never torn.
    Lazy,
}

/// Puts and deletes over several spaces that take effect together or not at all.
#[derive(Default, Clone)]
pub struct StateBatch {
    /// In order; a later write of a key wins.
    pub writes: Vec<StateWrite>,
}

/// One put (`Some`) or delete (`None`).
#[derive(Clone, PartialEq, Eq)]
pub struct StateWrite {
    /// Name of the key space, created on first use.
    pub space: std::sync::Arc<str>,
    /// Full key.
    pub key: Vec<u8>,
    /// New value, or `None` to delete.
    pub value: Option<Vec<u8>>,
}

impl StateBatch {
    /// Adds a put.
    pub fn put(&mut self, space: &std::sync::Arc<str>, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push(StateWrite { space: space.clone(), key, value: Some(value) });
    }

    /// Adds a delete.
    pub fn delete(&mut self, space: &std::sync::Arc<str>, key: Vec<u8>) {
        self.writes.push(StateWrite { space: space.clone(), key, value: None });
    }
}

impl fmt::Debug for StateBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateBatch({} writes)", self.writes.len())
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Takes a key and its value, as they lie in the store.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

/// Reads over several spaces as of one instant.
pub trait StateView: Send {
    /// The value of `key`, or `None`. An unknown space is an empty one.
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Shows up to `limit` entries whose key starts with `prefix` and is strictly greater than
    /// `after` (pass an empty `after` to begin), in key order, and answers how many. Fewer than
    /// `limit` means the end.
    fn visit(
        &self,
        space: &str,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        visitor: Visitor<'_>,
    ) -> Result<usize, StateError>;
    /// Copies of what [`StateView::visit`] shows.
    fn scan(
        &self,
        space: &str,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StateError> {
        let mut entries = Vec::new();
        self.visit(space, prefix, after, limit, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
        })?;
        Ok(entries)
    }
    /// The last `limit` entries whose key starts with `prefix`, in key order; costs what they cost,
    /// however many there are before them.
    fn last(&self, space: &str, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, StateError>;
}

/// The store itself.
pub trait StateBackend: Send + Sync {
    /// A view of everything committed so far, unaffected by later commits.
    fn view(&self) -> Result<Box<dyn StateView>, StateError>;
    /// Applies the batch atomically.
    fn commit(&self, batch: StateBatch, durability: Durability) -> Result<(), StateError>;
    /// Names of all spaces, sorted.
    fn spaces(&self) -> Result<Vec<String>, StateError>;
    /// Drops a space and its entries; no error if it is absent.
    fn drop_space(&self, space: &str) -> Result<(), StateError>;
}
