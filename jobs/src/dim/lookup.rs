//! Dimension rows as another job of the process keeps them: looked up, never stale.
//!
//! A job imports the changes of [`super::dimensions`] ([`tables`], [`dictionary`]) and joins its rows
//! to them with [`engine::operator::lookup_join`]; [`DimensionRow`] is what it keeps of a row. What is
//! looked up in an epoch has every change of the epochs up to it (warehouse 5.5).
//!
//! Columns are asked for by name without case. Keys are comparable bytes of the texts of the key
//! columns in their order ([`push_key`]).

use connectors::format::dimension::{ChangeView, DimensionOp};
use engine::batch::key::push_bytes;
use engine::batch::row::Row;
use engine::graph::{Edge, JobBuilder};
use engine::operator::keyed::{Codec, Slot};

use super::compose::compose_bytes;
use super::dimensions::{EXPORT_DICTIONARY, EXPORT_TABLES, NAME};
use super::rows::{CHANGE, KEY, SINK};

/// Column of a change by which it is routed, and of a row that looks up: the bytes of [`push_key`].
pub const CHANGE_KEY: usize = KEY;

/// The changes of all dimension tables.
pub fn tables(job: &mut JobBuilder) -> Edge {
    job.import(NAME, EXPORT_TABLES, 0)
}

/// The changes of the dictionary, `base_dic`.
pub fn dictionary(job: &mut JobBuilder) -> Edge {
    job.import(NAME, EXPORT_DICTIONARY, 0)
}

/// Appends the key of a dimension row: texts of its key columns.
pub fn push_key<'a>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'a [u8]>) {
    texts.into_iter().for_each(|text| push_bytes(out, Some(text)));
}

/// The table that a change is about, in upper case.
pub fn table_of(change: Row<'_>) -> &[u8] {
    change.bytes(SINK).unwrap_or_default()
}

/// The key that a change is about, as [`push_key`] makes it.
pub fn key_of(change: Row<'_>) -> &[u8] {
    change.bytes(KEY).unwrap_or_default()
}

/// A row of a dimension table: all its changes made into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimensionRow(Vec<u8>);

impl DimensionRow {
    /// Applies a change to what is kept of its row.
    pub fn apply(change: Row<'_>, mut kept: Slot<'_, Self>) {
        let bytes = change.bytes(CHANGE).unwrap_or_default();
        let op = ChangeView::read(bytes).expect("changes are written by the job").op;
        if op == DimensionOp::Delete {
            kept.take();
            return;
        }
        let row = match kept.get() {
            Some(Self(before)) if op == DimensionOp::Upsert => compose_bytes(before, bytes),
            _ => bytes.to_vec(),
        };
        kept.set(Self(row));
    }

    /// The text of a column; `None` if it is NULL or the table has no such column.
    pub fn text(&self, column: &str) -> Option<&[u8]> {
        let view = ChangeView::read(&self.0).expect("written by apply");
        view.cells().find(|(name, _)| name.eq_ignore_ascii_case(column))?.1
    }
}

impl Codec for DimensionRow {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        ChangeView::read(bytes)?;
        Some(Self(bytes.to_vec()))
    }
}
