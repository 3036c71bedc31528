//! The embedded DWS tables: what stands in for Doris when none is configured.
//!
//! A table is one space of a state store: key bytes of the row to its JSON object. Jobs write
//! through [`sink::DwsSinkFactory`], everybody else reads. Rows replace the row of their key, as in a
//! table whose metrics are REPLACE. There is no SQL here yet.
//!
//! | space | key | value |
//! |---|---|---|
//! | `meta` | `format` | u32 big-endian |
//! | `delivered` | family u64, then the sink key of [`engine::checkpoint::layout::SinkKey`] | epoch u64 big-endian |
//! | `table/<name>` | key bytes of the row, see [`table`] | the row's value |
//!
//! A directory of another format is refused, never rewritten.

pub mod sink;
pub mod table;

use std::path::Path;
use std::sync::Arc;

use engine::state::backend::{Durability, StateBackend, StateBatch, StateError};
use engine::state::fjall::{FjallBackend, FjallOptions};

/// Format of the directory; version 1 is the layout above.
const FORMAT: u32 = 1;
const META: &str = "meta";
const FORMAT_KEY: &[u8] = b"format";

/// Why the tables cannot be used. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum DwsError {
    /// The store refused.
    #[error("cannot use the embedded tables: {0}")]
    State(#[from] StateError),
    /// The directory is of another version, or holds something else.
    #[error(
        "cannot use the embedded tables: their format is {found}, this version reads {FORMAT}; \
         remove the directory and replay, or use the version that wrote it"
    )]
    Format {
        /// What the directory says: a number, or `unknown`.
        found: String,
    },
}

/// The tables. Clones share them.
#[derive(Clone)]
pub struct DwsStore {
    backend: Arc<dyn StateBackend>,
}

impl DwsStore {
    /// Opens the tables in the directory `path` (`<data>/store/dws`), creating it if it is absent.
    /// There is one opener at a time.
    ///
    /// # Errors
    ///
    /// If the directory is in use, damaged, or of another format.
    pub fn open(path: &Path) -> Result<Self, DwsError> {
        Self::new(Arc::new(FjallBackend::open(path, FjallOptions::default())?))
    }

    /// The tables in `backend`, which holds nothing else.
    ///
    /// # Errors
    ///
    /// If the backend fails, or what it holds is of another format.
    pub fn new(backend: Arc<dyn StateBackend>) -> Result<Self, DwsError> {
        match backend.view()?.get(META, FORMAT_KEY)? {
            Some(format) if format == FORMAT.to_be_bytes() => {}
            Some(format) => return Err(DwsError::Format { found: number(&format) }),
            None if backend.spaces()?.is_empty() => {
                let mut batch = StateBatch::default();
                batch.put(&META.into(), FORMAT_KEY.to_vec(), FORMAT.to_be_bytes().to_vec());
                backend.commit(batch, Durability::Synced)?;
            }
            None => return Err(DwsError::Format { found: "unknown".to_owned() }),
        }
        Ok(Self { backend })
    }
}

fn number(bytes: &[u8]) -> String {
    let number = bytes.try_into().map(u32::from_be_bytes);
    number.map_or_else(|_other_length| "unknown".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use engine::state::memory::MemoryBackend;

    use super::*;

    #[test]
    fn another_format_is_refused_and_left_alone() {
        let put = |space: &str, key: &[u8], value: &[u8]| {
            let backend = MemoryBackend::new();
            let mut batch = StateBatch::default();
            batch.put(&space.into(), key.to_vec(), value.to_vec());
            backend.commit(batch, Durability::Synced).unwrap();
            backend
        };
        for (backend, found) in [
            (
                put(META, FORMAT_KEY, &2_u32.to_be_bytes()),
                "their format is 2, this version reads 1",
            ),
            (put(META, FORMAT_KEY, b"?"), "their format is unknown"),
            (put("table/t", b"k", b"v"), "their format is unknown"),
        ] {
            let error = DwsStore::new(Arc::new(backend.clone())).err().expect("refused");
            assert!(error.to_string().contains(found), "{error}");
            assert_eq!(backend.spaces().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_directory_can_be_opened_again_but_not_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store/dws");
        let store = DwsStore::open(&path).unwrap();
        assert!(DwsStore::open(&path).is_err());
        drop(store);
        assert!(DwsStore::open(&path).unwrap().tables().unwrap().is_empty());
    }
}
