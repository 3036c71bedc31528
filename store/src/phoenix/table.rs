//! Reading dimension tables: one row by its key, all rows by row key.
//!
//! A read sees whole units only, and every unit that was acknowledged before it began. A scan sees
//! the table as of its beginning, in the order of the row keys over all salt buckets, which is more
//! than Phoenix promises; it holds one chunk of rows per bucket in memory. A row that cannot be read
//! is an error in its place, with its key, and the rows after it follow: nothing is skipped.

mod merge;

use std::iter::Peekable;
use std::sync::Arc;

use engine::state::backend::StateView;

use super::catalog::{DimensionColumn, DimensionTable, Place};
use super::value::{Cells, ValueView};
use super::{DimensionError, DimensionStore, row_key};
use merge::Merge;

/// Rows read at a time, over all buckets.
const CHUNK: usize = 1024;

/// A row of a dimension table.
#[derive(Debug, Clone)]
pub struct DimensionRow {
    /// Its table.
    pub table: Arc<DimensionTable>,
    key: Vec<u8>,
    /// Invariant: [`ValueView::read`] takes it.
    value: Vec<u8>,
}

impl DimensionRow {
    /// The row as it is stored, or why it is none.
    fn new(
        table: &Arc<DimensionTable>,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<Self, DimensionError> {
        match ValueView::read(&value) {
            Ok(_) => Ok(Self { table: table.clone(), key, value }),
            Err(reason) => Err(corrupt(table, &key, reason)),
        }
    }

    /// All columns of the table in declared order, each with its text; `None` is NULL.
    pub fn cells(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let value = ValueView::read(&self.value).expect("checked when the row was made");
        cells(&self.table, &self.key, value)
    }

    /// Appends the row as a JSON object without a line end: column names in lower case, texts as
    /// they are, NULL as `null`. Bytes that are not UTF-8 become U+FFFD.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        for (index, (column, text)) in self.cells().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            push_string(out, &column.to_lowercase());
            out.push(b':');
            match text {
                None => out.extend_from_slice(b"null"),
                Some(text) => push_string(out, &String::from_utf8_lossy(text)),
            }
        }
        out.push(b'}');
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a text to memory cannot fail");
}

/// The columns of a stored row in declared order.
pub(super) fn cells<'a>(
    table: &'a DimensionTable,
    key: &'a [u8],
    value: ValueView<'a>,
) -> RowCells<'a> {
    RowCells { table, key, columns: table.columns.iter(), cells: value.cells().peekable() }
}

/// The columns of a stored row: a merge of two lists that both ascend by qualifier.
pub(super) struct RowCells<'a> {
    table: &'a DimensionTable,
    key: &'a [u8],
    columns: std::slice::Iter<'a, DimensionColumn>,
    cells: Peekable<Cells<'a>>,
}

impl<'a> Iterator for RowCells<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let column = self.columns.next()?;
        let text = match column.place {
            Place::Key(position) => {
                let count = self.table.keys.len();
                row_key::text(self.key, self.table.salt_buckets, position, count)
            }
            Place::Cell(qualifier) => {
                while self.cells.next_if(|cell| cell.qualifier < qualifier).is_some() {}
                self.cells.next_if(|cell| cell.qualifier == qualifier).map(|cell| cell.text)
            }
        };
        Some((&column.name, text))
    }
}

/// The error for a stored row that is none.
pub(super) fn corrupt(table: &DimensionTable, key: &[u8], reason: &'static str) -> DimensionError {
    let key = key.escape_ascii().to_string();
    DimensionError::Corrupt { table: table.name.clone(), key, reason }
}

/// The rows of a table in the order of their row keys.
pub struct DimensionRows {
    table: Arc<DimensionTable>,
    view: Box<dyn StateView>,
    merge: Merge,
}

impl Iterator for DimensionRows {
    type Item = Result<DimensionRow, DimensionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.merge.next(self.view.as_ref())?;
        let row = entry.map_err(DimensionError::from);
        Some(row.and_then(|(key, value)| DimensionRow::new(&self.table, key, value)))
    }
}

impl DimensionStore {
    /// The row of this key, or `None`. `key` has one text per key column, in key order; no row has a
    /// key of another length.
    ///
    /// # Errors
    ///
    /// If the store fails, there is no such table, or the row is corrupt.
    pub fn get(&self, table: &str, key: &[&str]) -> Result<Option<DimensionRow>, DimensionError> {
        let table = self.known(table)?;
        let texts: Vec<_> = key.iter().map(|text| Some(text.as_bytes())).collect();
        let Ok(key) = row_key::of(&table, &texts) else { return Ok(None) };
        let value = self.backend.view()?.get(&table.space, &key)?;
        value.map(|value| DimensionRow::new(&table, key, value)).transpose()
    }

    /// All rows of a table as of now, in the order of their row keys.
    ///
    /// # Errors
    ///
    /// If the store fails, or there is no such table.
    pub fn scan(&self, table: &str) -> Result<DimensionRows, DimensionError> {
        let table = self.known(table)?;
        let view = self.backend.view()?;
        let merge = Merge::new(&table.space, table.salt_buckets);
        Ok(DimensionRows { table, view, merge })
    }

    /// Number of rows of every table, by name in upper case; tables without rows too. Walks all
    /// tables; corrupt rows count.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn counts(&self) -> Result<Vec<(String, u64)>, DimensionError> {
        let view = self.backend.view()?;
        let count = |table: Arc<DimensionTable>| {
            Ok((table.name.clone(), count(view.as_ref(), &table.space)?))
        };
        self.tables().into_iter().map(count).collect()
    }

    fn known(&self, table: &str) -> Result<Arc<DimensionTable>, DimensionError> {
        let unknown = || DimensionError::UnknownTable { table: table.to_owned() };
        self.table(table).ok_or_else(unknown)
    }
}

fn count(view: &dyn StateView, space: &str) -> Result<u64, DimensionError> {
    let mut count = 0;
    let mut after = Vec::new();
    loop {
        let entries = view.scan(space, b"", &after, CHUNK)?;
        count += entries.len() as u64;
        match entries.into_iter().nth(CHUNK - 1) {
            Some((key, _)) => after = key,
            None => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests;
