//! One embedded table: its specification, where its rows lie, and reading them.
//!
//! Rows come in the order of their key bytes, which is the order of the key columns
//! ([`engine::batch::key`]); the tables of the warehouse begin their key with the window's start, so
//! the last rows are the newest. All but [`DwsStore::newest`] walks the table: it is meant for dumps
//! and inspection, not for queries. A read sees whole units only.

use std::sync::Arc;

use engine::hash::hash_bytes;
use engine::state::backend::StateView;
use engine::state::fjall::KEY_BYTES_MAX;

use super::{DwsError, DwsStore};

const SPACE_PREFIX: &str = "table/";
/// Rows moved at a time.
const CHUNK: usize = 1024;

/// A table a sink writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name, such as `dws_traffic_page_view_window`.
    pub name: String,
}

/// The space of a table.
pub(super) fn space(table: &str) -> Arc<str> {
    format!("{SPACE_PREFIX}{table}").into()
}

/// The key a row is stored under. The store takes no longer ones than [`KEY_BYTES_MAX`]; of a longer
/// key (a text column of 64 KiB) the end is replaced by a hash of the whole.
pub(super) fn stored_key(key: &[u8]) -> Vec<u8> {
    if key.len() <= KEY_BYTES_MAX {
        return key.to_vec();
    }
    let hash = hash_bytes(key).to_be_bytes();
    let kept = key.iter().take(KEY_BYTES_MAX - hash.len());
    kept.chain(&hash).copied().collect()
}

impl DwsStore {
    /// Names of the tables that have ever had a row, sorted.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn tables(&self) -> Result<Vec<String>, DwsError> {
        let spaces = self.backend.spaces()?;
        let tables = spaces.iter().filter_map(|space| space.strip_prefix(SPACE_PREFIX));
        Ok(tables.map(str::to_owned).collect())
    }

    /// All rows of a table, each one JSON object, by key. An unknown table is an empty one.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn rows(&self, table: &str) -> Result<Vec<Vec<u8>>, DwsError> {
        let mut rows = Vec::new();
        self.each(table, |row| rows.push(row))?;
        Ok(rows)
    }

    /// The last `count` rows by key, the last one last. Reads no others.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn newest(&self, table: &str, count: usize) -> Result<Vec<Vec<u8>>, DwsError> {
        let entries = self.backend.view()?.last(&space(table), b"", count)?;
        Ok(entries.into_iter().map(|(_key, row)| row).collect())
    }

    /// Number of rows of a table. Walks the whole table.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn count(&self, table: &str) -> Result<u64, DwsError> {
        let mut count = 0;
        self.each(table, |_row| count += 1)?;
        Ok(count)
    }

    /// Number of rows of every table, sorted by name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn counts(&self) -> Result<Vec<(String, u64)>, DwsError> {
        let count = |table: String| self.count(&table).map(|count| (table, count));
        self.tables()?.into_iter().map(count).collect()
    }

    fn each(&self, table: &str, take: impl FnMut(Vec<u8>)) -> Result<(), DwsError> {
        each(self.backend.view()?.as_ref(), &space(table), take)
    }
}

/// Walks the rows of a space as of one instant.
fn each(view: &dyn StateView, space: &str, mut take: impl FnMut(Vec<u8>)) -> Result<(), DwsError> {
    let mut after = Vec::new();
    loop {
        let entries = view.scan(space, b"", &after, CHUNK)?;
        let last = entries.len() < CHUNK;
        for (key, value) in entries {
            after = key;
            take(value);
        }
        if last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::state::backend::{Durability, StateBackend, StateBatch};
    use engine::state::memory::MemoryBackend;

    use super::*;

    fn store(rows: u32) -> DwsStore {
        let backend = MemoryBackend::new();
        let store = DwsStore::new(Arc::new(backend.clone())).unwrap();
        let mut batch = StateBatch::default();
        for row in (0..rows).rev() {
            let value = format!("{{\"n\":{row}}}").into_bytes();
            batch.put(&space("t"), row.to_be_bytes().to_vec(), value);
        }
        batch.put(&space("other"), vec![1], b"{}".to_vec());
        backend.commit(batch, Durability::Synced).unwrap();
        store
    }

    #[test]
    fn rows_come_by_key_over_any_number_of_chunks() {
        for rows in [0, 1, 1023, 1024, 1025, 2048] {
            let store = store(rows);
            let expected: Vec<Vec<u8>> =
                (0..rows).map(|row| format!("{{\"n\":{row}}}").into_bytes()).collect();
            assert_eq!(store.rows("t").unwrap(), expected);
            assert_eq!(store.count("t").unwrap(), u64::from(rows));
            let newest = expected.get(expected.len().saturating_sub(3)..).unwrap();
            assert_eq!(store.newest("t", 3).unwrap(), newest);
            assert!(store.newest("t", 0).unwrap().is_empty());
        }
    }

    #[test]
    fn tables_are_known_by_their_rows() {
        let store = store(2);
        let counts = [("other".to_owned(), 1), ("t".to_owned(), 2)];
        assert_eq!(store.tables().unwrap(), ["other", "t"]);
        assert_eq!(store.counts().unwrap(), counts);
        assert!(store.rows("unknown").unwrap().is_empty());
    }

    #[test]
    fn long_keys_stay_apart() {
        let long = vec![1; KEY_BYTES_MAX];
        let longer = [long.clone(), vec![1]].concat();
        let other = [long.clone(), vec![2]].concat();
        let keys: std::collections::BTreeSet<_> =
            [&long, &longer, &other].map(|key| stored_key(key)).into();
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().all(|key| key.len() == KEY_BYTES_MAX));
    }
}
