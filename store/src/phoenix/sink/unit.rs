//! The rows of one unit, made into one batch.
//!
//! Several changes of one key become one write, merged in their order: the batch holds the row as
//! the changes so far leave it. The old row is read only where it matters, which is an upsert that
//! does not name all columns. Everything is read from one view: the state before the unit.

use std::sync::Arc;

use connectors::format::dimension::{ChangeView, DimensionOp, ROW_BYTES_MAX};
use engine::error::Fault;
use engine::hash::{Map, hash_bytes};
use engine::outbox::rows::{Op, RowReader};
use engine::state::backend::{StateBatch, StateError, StateView, StateWrite};

use super::super::catalog::{Catalog, DimensionTable, Place, fold};
use super::super::table::corrupt;
use super::super::value::{Changed, ValueView, merge};
use super::super::{DimensionStore, row_key};
use super::Refusal;

/// Writes the changes of one unit, whose blocks are borrowed for `'a`.
pub(super) struct UnitWriter<'a> {
    catalog: Arc<Catalog>,
    view: Box<dyn StateView>,
    written_at: u64,
    batch: StateBatch,
    /// Where in the batch a row is, by the hash of its key. Keys of one hash take the next number
    /// that is free.
    places: Map<u64, usize>,
    targets: Vec<Target<'a>>,
    target_names: Map<&'a str, usize>,
    /// Scratch: texts of the key columns of one change, in key order.
    texts: Vec<Option<&'a [u8]>>,
    /// Scratch: its other columns, by qualifier.
    changed: Vec<Changed<'a>>,
}

/// A table as the changes spell it.
struct Target<'a> {
    table: Arc<DimensionTable>,
    columns: Map<&'a str, Place>,
}

impl<'a> UnitWriter<'a> {
    /// A writer over the tables as they stand.
    pub(super) fn new(store: &DimensionStore, written_at: u64) -> Result<Self, StateError> {
        Ok(Self {
            // The catalog first: a view that is younger has at least its tables.
            catalog: store.catalog(),
            view: store.backend.view()?,
            written_at,
            batch: StateBatch::default(),
            places: Map::default(),
            targets: Vec::new(),
            target_names: Map::default(),
            texts: Vec::new(),
            changed: Vec::new(),
        })
    }

    /// The batch; the view is let go of, which the commit wants.
    pub(super) fn into_batch(self) -> StateBatch {
        self.batch
    }

    /// Adds all changes of a block.
    pub(super) fn write_block(&mut self, block: &'a [u8]) -> Result<(), Refusal> {
        for row in RowReader::new(block) {
            let row = row.map_err(|fault| refused(fault.to_string()))?;
            let value = row.value.filter(|_| row.op == Op::Insert);
            let change = value.and_then(ChangeView::read);
            let change = change.ok_or_else(|| refused("a row is no change of a dimension row"))?;
            self.write(&change)?;
        }
        Ok(())
    }

    fn write(&mut self, change: &ChangeView<'a>) -> Result<(), Refusal> {
        let target = self.target(change.table)?;
        let target = self.targets.get_mut(target).expect("an index of a target");
        if change.edition < target.table.edition {
            // Its table was dropped, and with it every row.
            return Ok(());
        }
        if change.edition > target.table.edition {
            return Err(refused_row(&target.table, "its edition was never made"));
        }
        target.split(change, &mut self.texts, &mut self.changed)?;
        let table = target.table.clone();
        let key = row_key::of(&table, &self.texts).map_err(|reason| refused_row(&table, reason))?;
        let place = self.place(&table, &key);
        let value = match change.op {
            DimensionOp::Delete => None,
            DimensionOp::Replace => Some(merge(None, &self.changed, self.written_at)),
            DimensionOp::Upsert => Some(self.merged(&table, &key, place)?),
        };
        if value.as_ref().is_some_and(|value| value.len() > ROW_BYTES_MAX) {
            return Err(refused_row(&table, "the row is larger than 10 MiB"));
        }
        let space = table.space.clone();
        match self.batch.writes.get_mut(place) {
            Some(write) => write.value = value,
            None => self.batch.writes.push(StateWrite { space, key, value }),
        }
        Ok(())
    }

    /// The target of this name.
    fn target(&mut self, name: &'a str) -> Result<usize, Refusal> {
        if let Some(target) = self.target_names.get(name) {
            return Ok(*target);
        }
        let table = self.catalog.table(name).cloned().ok_or_else(|| {
            let message = format!("cannot write to dimension table {name:?}: it does not exist");
            let hint = "tables are made before their rows come: if the tables' directory was \
                        removed, remove the state directory too and start again";
            Refusal::Fault(Fault::never(message).with_hint(hint))
        })?;
        self.targets.push(Target { table, columns: Map::default() });
        self.target_names.insert(name, self.targets.len() - 1);
        Ok(self.targets.len() - 1)
    }

    /// The place in the batch of the row with this key: its write, or the end.
    fn place(&mut self, table: &DimensionTable, key: &[u8]) -> usize {
        let mut hash = hash_bytes(key).wrapping_add(u64::from(table.id));
        let end = self.batch.writes.len();
        loop {
            let place = *self.places.entry(hash).or_insert(end);
            match self.batch.writes.get(place) {
                Some(write) if write.key != key || write.space != table.space => {
                    hash = hash.wrapping_add(1);
                }
                _ => return place,
            }
        }
    }

    /// The row of an upsert over what the key has now.
    fn merged(
        &mut self,
        table: &DimensionTable,
        key: &[u8],
        place: usize,
    ) -> Result<Vec<u8>, Refusal> {
        if self.changed.len() == table.cells_count() {
            // Nothing of the old row stays.
            return Ok(merge(None, &self.changed, self.written_at));
        }
        let old = match self.batch.writes.get_mut(place) {
            Some(write) => write.value.take(),
            None => self.view.get(&table.space, key)?,
        };
        let old = old.as_deref().map(ValueView::read).transpose();
        let old = old.map_err(|reason| corrupt(table, key, reason))?;
        Ok(merge(old, &self.changed, self.written_at))
    }
}

impl<'a> Target<'a> {
    /// Splits the cells of a change into the texts of the key and the other columns by qualifier,
    /// each column once: the last cell of a column counts.
    fn split(
        &mut self,
        change: &ChangeView<'a>,
        texts: &mut Vec<Option<&'a [u8]>>,
        changed: &mut Vec<Changed<'a>>,
    ) -> Result<(), Refusal> {
        texts.clear();
        texts.resize(self.table.keys.len(), None);
        changed.clear();
        for (column, text) in change.cells() {
            match self.column(column)? {
                Place::Key(position) => {
                    *texts.get_mut(position).expect("a position in the key") = text;
                }
                Place::Cell(qualifier) => changed.push((qualifier, text)),
            }
        }
        if !changed.is_sorted_by(|a, b| a.0 < b.0) {
            changed.sort_by_key(|(qualifier, _)| *qualifier);
            changed.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        Ok(())
    }

    fn column(&mut self, name: &'a str) -> Result<Place, Refusal> {
        if let Some(place) = self.columns.get(name) {
            return Ok(*place);
        }
        let folded = fold(name);
        let column = self.table.columns.iter().find(|column| column.name == folded);
        let column = column.ok_or_else(|| {
            refused_row(&self.table, &format!("the table has no column {folded:?}"))
        })?;
        self.columns.insert(name, column.place);
        Ok(column.place)
    }
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::Fault(Fault::never(message))
}

fn refused_row(table: &DimensionTable, reason: &str) -> Refusal {
    refused(format!("cannot write a row to dimension table \"{}\": {reason}", table.name))
}
