//! Rows on their way: immutable groups that share their bytes.
//!
//! A [`Batch`] is a byte buffer plus typed cells. A row owns a *region* of the buffer (and
//! perhaps of a second one, `extra`, where a decoder put text that does not stand in the source's
//! bytes as such); a slice cell points into the region of its row. So a decoder copies nothing, nor
//! does a split per target worker, and an output row is a piece of the input.
//!
//! ```text
//!   body   [ row 0 .................. ][ row 1 ............ ]     shared, as the source read it
//!   extra  [ layout 0 ][ layout 1, decoded text 1 ]               what the decoder added
//!   slice cells: (start, length) relative to body region, continued by the extra region
//! ```
//!
//! Rows are made, copied and taken one by one, so what belongs to a row lies together: its cells side
//! by side, and a head with the rest.
//!
//! Each row carries its event time and its [`Order`]; see [`order`]. The columnar (Arrow) form
//! comes with SQL.

pub mod buffer;
pub mod build;
pub(crate) mod kept;
pub mod key;
pub mod order;
pub mod row;
pub mod schema;
mod spare;
pub mod stored;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use buffer::Buffer;
use order::Order;
use row::Row;
use schema::{Kind, Schema};

/// Event time of a row that has none.
pub const NO_TIME: i64 = i64::MIN;

/// A place in a row's region; `NULL` where the value is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// First byte, counted from the row's first byte.
    pub start: u32,
    /// Length in bytes.
    pub length: u32,
}

impl Slice {
    /// The absent value, different from the empty one.
    pub const NULL: Self = Self { start: u32::MAX, length: 0 };

    /// Whether this is the absent value.
    pub fn is_null(self) -> bool {
        self.start == u32::MAX
    }
}

/// The value of one column of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// A byte range of the row.
    Slice(Slice),
    /// An integer.
    Int(Option<i64>),
    /// Nobody has set it: a fault of the program.
    Unset,
}

impl Cell {
    /// Whether it may stand in a column of this kind.
    const fn is(self, kind: Kind) -> bool {
        match self {
            Self::Slice(_) => matches!(kind, Kind::Slice),
            Self::Int(_) => matches!(kind, Kind::Int),
            Self::Unset => false,
        }
    }
}

/// The bytes of one row: `(start, length)` in body and in extra.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Region {
    pub(crate) body: (u32, u32),
    pub(crate) extra: (u32, u32),
}

/// What a row carries beside its cells.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) region: Region,
    pub(crate) order: Order,
    pub(crate) time: i64,
}

/// An immutable group of rows of one schema.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    pub(crate) schema: Arc<Schema>,
    pub(crate) body: Arc<Buffer>,
    pub(crate) extra: Arc<Buffer>,
    pub(crate) heads: Vec<Head>,
    /// Row by row, each with as many as the schema has columns.
    pub(crate) cells: Vec<Cell>,
    pub(crate) behind: Option<Vec<i64>>,
}

impl Batch {
    /// The schema all rows share.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Row `index`; panics when out of range, like a slice.
    pub fn row(&self, index: usize) -> Row<'_> {
        assert!(index < self.len(), "row {index} of a batch of {}", self.len());
        Row::new(self, index)
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|index| Row::new(self, index))
    }

    /// Bytes that this batch keeps alive.
    pub fn bytes(&self) -> usize {
        self.body.bytes().len() + self.extra.bytes().len()
    }
}
