//! The embedded dimension tables: what stands in for Phoenix when none is configured.
//!
//! A table is one space of a state store. Its rows lie under the row keys a Phoenix table of the same
//! key and salt has (`row_key.rs`), so they have its order, and an export to HBase is a mapping. The
//! job that routes dimensions writes through [`sink::DimensionSinkFactory`], joins ask through
//! [`lookup::DimensionLookup`], everybody else reads ([`table`]). Every column is VARCHAR; an empty
//! text is NULL. A row is merged, not replaced, by an upsert.
//!
//! | space | key | value |
//! |---|---|---|
//! | `meta` | `format` | u32 big-endian |
//! | `catalog` | `next_id` | u32 big-endian: id of the next table |
//! | `catalog` | `table/`, id u32, version u32, big-endian | the table's specification, see [`catalog`] |
//! | `delivered` | family u64, then the sink key of [`engine::checkpoint::layout::SinkKey`] | epoch u64, write time u64, big-endian |
//! | `table/<id>` | row key of the row, see `row_key.rs` | the row's cells, see `value.rs` |
//!
//! What a table's specification was at any time stays in the catalog; the greatest version counts.
//! The space of a table comes with its first row. A directory of another format is refused, never
//! rewritten.
//!
//! Not here: SQL, the Avatica protocol, types other than VARCHAR, dropping columns, and
//! expiry: a table's TTL is kept with its other properties and has no effect yet.

pub mod catalog;
pub mod lookup;
mod row_key;
pub mod sink;
pub mod table;
mod value;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use engine::clock::Moment;
use engine::state::backend::{Durability, StateBackend, StateBatch, StateError};
use engine::state::fjall::{FjallBackend, FjallOptions};

use catalog::Catalog;

/// Format of the directory; version 1 is the layout above.
const FORMAT: u32 = 1;
const META: &str = "meta";
const FORMAT_KEY: &[u8] = b"format";

/// Why the tables cannot be used or read. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum DimensionError {
    /// The store refused.
    #[error("cannot use the embedded dimension tables: {0}")]
    State(#[from] StateError),
    /// The directory is of another version, or holds something else.
    #[error(
        "cannot use the embedded dimension tables: their format is {found}, this version reads \
         {FORMAT}; remove the directory and replay, or use the version that wrote it"
    )]
    Format {
        /// What the directory says: a number, or `unknown`.
        found: String,
    },
    /// The catalog, or the mark of a sink, is not what was written.
    #[error("cannot use the embedded dimension tables: {what} is damaged")]
    Damaged {
        /// Which entry.
        what: String,
    },
    /// A row is not what was written, or was written by another version.
    #[error("row \"{key}\" of dimension table \"{table}\" is corrupt: {reason}")]
    Corrupt {
        /// The table.
        table: String,
        /// The stored row key, salt byte included; bytes that do not print are escaped.
        key: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// There is no table of this name.
    #[error("there is no dimension table \"{table}\"")]
    UnknownTable {
        /// The name, as it was asked for.
        table: String,
    },
}

/// The tables. Clones share them.
#[derive(Clone)]
pub struct DimensionStore {
    backend: Arc<dyn StateBackend>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The newest specification of every table; replaced as a whole after the commit that changed
    /// it, so whoever takes it has nothing that is not durable.
    catalog: RwLock<Arc<Catalog>>,
    /// Held from reading the catalog to replacing it: tables are created one at a time.
    changing: Mutex<()>,
    /// The last write time given out.
    written_at: AtomicU64,
}

impl DimensionStore {
    /// Opens the tables in the directory `path`, creating it if it is absent. There is one opener at
    /// a time.
    ///
    /// # Errors
    ///
    /// If the directory is in use, damaged, or of another format.
    pub fn open(path: &Path) -> Result<Self, DimensionError> {
        Self::new(Arc::new(FjallBackend::open(path, Self::options())?))
    }

    /// What [`DimensionStore::open`] lets the store cost: unlike state, these tables are read row by
    /// row while they are written (merges, lookups), so they have a cache.
    pub fn options() -> FjallOptions {
        FjallOptions { cache_bytes: 32 << 20, ..FjallOptions::default() }
    }

    /// The tables in `backend`, which holds nothing else.
    ///
    /// # Errors
    ///
    /// If the backend fails, or what it holds is damaged or of another format.
    pub fn new(backend: Arc<dyn StateBackend>) -> Result<Self, DimensionError> {
        let view = backend.view()?;
        match view.get(META, FORMAT_KEY)? {
            Some(format) if format == FORMAT.to_be_bytes() => {}
            Some(format) => return Err(DimensionError::Format { found: number(&format) }),
            None if backend.spaces()?.is_empty() => {
                let mut batch = StateBatch::default();
                batch.put(&META.into(), FORMAT_KEY.to_vec(), FORMAT.to_be_bytes().to_vec());
                backend.commit(batch, Durability::Synced)?;
            }
            None => return Err(DimensionError::Format { found: "unknown".to_owned() }),
        }
        let shared = Shared {
            catalog: RwLock::new(Arc::new(Catalog::read(view.as_ref())?)),
            changing: Mutex::new(()),
            written_at: AtomicU64::new(sink::last_written_at(view.as_ref())?),
        };
        Ok(Self { backend, shared: Arc::new(shared) })
    }

    /// The catalog as it stands.
    fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The write time of the next batch, milliseconds since 1970: the machine's, but greater than
    /// any given out before, also by an earlier process on these tables.
    fn write_time(&self, now: Moment) -> u64 {
        let wall_ms = u64::try_from(now.wall_ms).unwrap_or(0);
        let next = |last: u64| wall_ms.max(last + 1);
        let last =
            self.shared
                .written_at
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(last.expect("it is always changed"))
    }
}

fn number(bytes: &[u8]) -> String {
    let number = bytes.try_into().map(u32::from_be_bytes);
    number.map_or_else(|_other_length| "unknown".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests;
