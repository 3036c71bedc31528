//! Which dimension tables there are: their specifications, made, widened and kept.
//!
//! A table is made once and only grows: columns are added at its end, nothing is ever dropped, key
//! and salt are decided for good, because they are in every row key. A definition that needs another
//! key or salt changes nothing and is told what differs. Only a definition of another edition makes a
//! table anew: it takes a new number, and the rows of the edition before are dropped. Names are folded to upper case, as Phoenix
//! folds unquoted ones. A change names its table without a schema, so a name is in one schema only.
//!
//! A specification as bytes; a part is a length varint and text (UTF-8), lists begin with their count
//! as varint:
//!
//! ```text
//! version u8 = 1 | name part | schema part (empty: none) | salt buckets varint (0: none)
//!   | next qualifier varint
//!   | columns: per column name part, qualifier varint (0: a key column)
//!   | keys: per key column, in key order, its place among the columns varint
//!   | options: name part, value part | split points: part
//!
//! version u8 = 2 | edition varint | the rest likewise: a table that was made anew
//! ```

mod definition;
mod specification;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use engine::sink::TableDefinition;
use engine::state::backend::{Durability, StateBatch, StateView};

use super::value::Qualifier;
use super::{DimensionError, DimensionStore};
use definition::difference;

const CATALOG: &str = "catalog";
const NEXT_ID_KEY: &[u8] = b"next_id";
const TABLE_PREFIX: &[u8] = TABLE_PREFIX_TEXT.as_bytes();
/// Begins the names of spaces, too.
const TABLE_PREFIX_TEXT: &str = "table/";
/// Entries read at a time.
const CHUNK: usize = 256;

/// The newest specification of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimensionTable {
    /// Its number, never used again; names its space.
    pub id: u32,
    /// Counts the specifications of this table from 1.
    pub version: u32,
    /// Name, in upper case.
    pub name: String,
    /// Schema, in upper case.
    pub schema: Option<String>,
    /// Salt buckets, 0 to 256; 0 is a table without salt.
    pub salt_buckets: u16,
    /// All columns ever configured, in order; those added later at the end.
    pub columns: Vec<DimensionColumn>,
    /// The key columns in key order, as indexes of `columns`.
    pub keys: Vec<usize>,
    /// Properties as they were given when the table was made, names in upper case.
    pub options: Vec<(String, String)>,
    /// Split points, likewise.
    pub split_on: Vec<String>,
    /// Which edition of the table it is; 0 unless it was made anew.
    pub edition: u64,
    /// The space its rows lie in.
    pub(super) space: Arc<str>,
    /// Qualifier of the next column.
    next_qualifier: Qualifier,
}

/// A column; its type is VARCHAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimensionColumn {
    /// Name, in upper case.
    pub name: String,
    /// Where its text lies.
    pub(super) place: Place,
}

/// Where the text of a column lies in a stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At this position of the row key.
    Key(usize),
    /// In the cell of this qualifier. Ascends over the columns of a table.
    Cell(Qualifier),
}

impl DimensionTable {
    /// Names of the key columns, in key order.
    pub fn key_names(&self) -> Vec<&str> {
        let name = |index: &usize| self.columns.get(*index).map(|column| column.name.as_str());
        self.keys.iter().filter_map(name).collect()
    }

    /// Number of columns that are not in the key.
    pub(super) fn cells_count(&self) -> usize {
        self.columns.len() - self.keys.len()
    }
}

/// A name as it is kept.
pub(super) fn fold(name: &str) -> String {
    name.to_uppercase()
}

/// What came of [`DimensionStore::ensure_table`]. All but the last two say that the table can take
/// the rows of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// It was made, or made anew.
    Created,
    /// It was there with all these columns.
    Matched,
    /// It was there; this many columns were added.
    Altered(usize),
    /// It is there with another key, salt or schema: left as it is. Says what differs.
    Conflict(String),
    /// It is not there, and this is no definition of a dimension table. Says why.
    Invalid(String),
}

/// The newest specification of every table.
#[derive(Debug, Default, Clone)]
pub(super) struct Catalog {
    /// By name.
    tables: BTreeMap<String, Arc<DimensionTable>>,
    next_id: u32,
}

impl Catalog {
    /// Reads what [`DimensionStore::ensure_table`] wrote.
    pub(super) fn read(view: &dyn StateView) -> Result<Self, DimensionError> {
        let damaged = |what: &str| DimensionError::Damaged { what: what.to_owned() };
        let next_id = view.get(CATALOG, NEXT_ID_KEY)?;
        let next_id = next_id.map(|bytes| bytes.try_into().map(u32::from_be_bytes)).transpose();
        let next_id = next_id.map_err(|_length| damaged("the number of the next table"))?;
        let mut catalog = Self { tables: BTreeMap::new(), next_id: next_id.unwrap_or(1) };
        let mut after = Vec::new();
        loop {
            let entries = view.scan(CATALOG, TABLE_PREFIX, &after, CHUNK)?;
            let last = entries.len() < CHUNK;
            for (key, value) in entries {
                let table = table_of_key(&key)
                    .and_then(|(id, version)| DimensionTable::decode(id, version, &value))
                    .ok_or_else(|| damaged("the specification of a table"))?;
                // In key order, so a later version replaces the one before.
                catalog.put(table);
                after = key;
            }
            if last {
                return Ok(catalog);
            }
        }
    }

    /// The table of this name, however it is spelled.
    pub(super) fn table(&self, name: &str) -> Option<&Arc<DimensionTable>> {
        self.tables.get(name).or_else(|| self.tables.get(&fold(name)))
    }

    /// All tables by name.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<DimensionTable>> {
        self.tables.values()
    }

    fn put(&mut self, table: DimensionTable) {
        self.tables.insert(table.name.clone(), Arc::new(table));
    }
}

impl DimensionStore {
    /// All tables, by name; also those without rows.
    pub fn tables(&self) -> Vec<Arc<DimensionTable>> {
        self.catalog().tables().cloned().collect()
    }

    /// The table of this name, in any case.
    pub fn table(&self, name: &str) -> Option<Arc<DimensionTable>> {
        self.catalog().table(name).cloned()
    }

    /// Makes the table, or adds the columns it lacks; in one batch that is durable on return. Never
    /// drops anything. May be called by many at once.
    ///
    /// Properties and split points are those of the first definition; `SALT_BUCKETS` is the salt.
    ///
    /// # Errors
    ///
    /// If the store fails. That a definition does not fit is an answer.
    pub fn ensure_table(&self, definition: &TableDefinition) -> Result<Ensured, DimensionError> {
        let _changing = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = self.catalog();
        let wanted = match DimensionTable::of_definition(definition, catalog.next_id) {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Ensured::Invalid(reason)),
        };
        let Some(table) = catalog.tables.get(&wanted.name) else {
            self.store(&catalog, wanted)?;
            return Ok(Ensured::Created);
        };
        if table.edition != wanted.edition {
            self.store(&catalog, wanted)?;
            self.drop_former()?;
            return Ok(Ensured::Created);
        }
        if let Some(difference) = difference(table, &wanted) {
            return Ok(Ensured::Conflict(difference));
        }
        let before = table.columns.len();
        match table.widened(&wanted) {
            Err(reason) => Ok(Ensured::Invalid(reason)),
            Ok(wider) if wider.columns.len() == before => Ok(Ensured::Matched),
            Ok(wider) => {
                let added = wider.columns.len() - before;
                self.store(&catalog, wider)?;
                Ok(Ensured::Altered(added))
            }
        }
    }

    /// Drops the rows of all editions that are gone; a unit under way may have brought back some of
    /// an earlier one.
    fn drop_former(&self) -> Result<(), DimensionError> {
        let catalog = self.catalog();
        for space in self.backend.spaces()? {
            let kept = || catalog.tables().any(|table| *table.space == *space);
            if space.starts_with(TABLE_PREFIX_TEXT) && !kept() {
                self.backend.drop_space(&space)?;
            }
        }
        Ok(())
    }

    /// Makes a specification durable, then visible.
    fn store(&self, catalog: &Catalog, table: DimensionTable) -> Result<(), DimensionError> {
        let mut catalog = catalog.clone();
        catalog.next_id = catalog.next_id.max(table.id + 1);
        let space = CATALOG.into();
        let mut batch = StateBatch::default();
        batch.put(&space, NEXT_ID_KEY.to_vec(), catalog.next_id.to_be_bytes().to_vec());
        batch.put(&space, table_key(&table), table.encode());
        self.backend.commit(batch, Durability::Synced)?;
        catalog.put(table);
        let mut current = self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(catalog);
        Ok(())
    }
}

fn table_key(table: &DimensionTable) -> Vec<u8> {
    [TABLE_PREFIX, &table.id.to_be_bytes(), &table.version.to_be_bytes()].concat()
}

fn table_of_key(key: &[u8]) -> Option<(u32, u32)> {
    let (id, version) = key.strip_prefix(TABLE_PREFIX)?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), u32::from_be_bytes(version.try_into().ok()?)))
}

#[cfg(test)]
mod tests;
