//! Names and kinds of the columns of a batch.

use serde::{Deserialize, Serialize};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes of the row, or null.
    Slice,
    /// A 64-bit integer, or null.
    Int,
}

/// Columns of a batch, addressed by index; the owner of a schema publishes the indexes as constants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// For messages and `explain`.
    pub name: String,
    /// Column names and kinds, in index order.
    pub columns: Vec<(String, Kind)>,
}

impl Schema {
    /// A schema from its column list.
    pub fn new(name: &str, columns: &[(&str, Kind)]) -> std::sync::Arc<Self> {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        std::sync::Arc::new(Self { name: name.to_owned(), columns })
    }

    /// Index of the column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column == name)
    }
}
