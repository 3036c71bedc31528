//! Dimension rows for joins: keys to rows, always as of now.
//!
//! A key is [`push_lookup_key`](connectors::format::dimension::push_lookup_key): table and texts of
//! its key columns. An answer is the row as a change that replaces it, with all columns of the table
//! in declared order, and as its version the write time of the row.
//!
//! There is no cache, so there is nothing that can be stale: an answer holds every unit that was
//! acknowledged before the poll that gives it. A key with a NULL is absent, as no row has one.
//!
//! A request is served within `poll`; it waits for this machine's disk, for no peer.

use connectors::format::dimension::{DimensionOp, push_change, read_lookup_key};
use engine::clock::Moment;
use engine::error::Fault;
use engine::lookup::{Answer, Lookup};
use engine::state::backend::StateView;

use super::catalog::Catalog;
use super::table::{cells, corrupt};
use super::value::ValueView;
use super::{DimensionError, DimensionStore, row_key};

/// Answers keys from the embedded dimension tables, whichever a key names.
pub struct DimensionLookup {
    store: DimensionStore,
    request: Option<(u64, Vec<Vec<u8>>)>,
}

impl DimensionLookup {
    /// A lookup in these tables.
    pub fn new(store: DimensionStore) -> Self {
        Self { store, request: None }
    }

    fn answer_all(&self, keys: &[Vec<u8>]) -> Vec<Answer> {
        let catalog = self.store.catalog();
        match self.store.backend.view() {
            Ok(view) => keys.iter().map(|key| answer(&catalog, view.as_ref(), key)).collect(),
            Err(error) => {
                let fault = Answer::Fault(Fault::never(DimensionError::State(error).to_string()));
                vec![fault; keys.len()]
            }
        }
    }
}

impl Lookup for DimensionLookup {
    fn begin(&mut self, token: u64, keys: Vec<Vec<u8>>) {
        assert!(self.request.is_none(), "one request at a time");
        self.request = Some((token, keys));
    }

    fn poll(&mut self, _now: Moment) -> Option<(u64, Vec<Answer>)> {
        let (token, keys) = self.request.take()?;
        Some((token, self.answer_all(&keys)))
    }
}

fn answer(catalog: &Catalog, view: &dyn StateView, key: &[u8]) -> Answer {
    let Some((name, texts)) = read_lookup_key(key) else {
        return Answer::Fault(Fault::never("cannot look up a key that is none"));
    };
    let Some(table) = catalog.table(&name) else {
        // It comes with its first row of configuration.
        let message = format!("could not look up a row of dimension table {name:?}: no such table");
        return Answer::Fault(Fault::later(message));
    };
    if texts.len() != table.keys.len() {
        let (given, name, names) = (texts.len(), &table.name, table.key_names().join(", "));
        let message = format!("cannot look up {given} texts: key of table {name:?} is ({names})");
        return Answer::Fault(Fault::never(message));
    }
    let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
    let Ok(key) = row_key::of(table, &texts) else { return Answer::Absent };
    match view.get(&table.space, &key) {
        Ok(None) => Answer::Absent,
        Err(error) => Answer::Fault(Fault::never(DimensionError::State(error).to_string())),
        Ok(Some(value)) => match ValueView::read(&value) {
            Ok(row) => {
                let mut out = Vec::with_capacity(2 * value.len() + key.len());
                let cells = cells(table, &key, row);
                push_change(&mut out, table.name.as_str(), DimensionOp::Replace, cells);
                Answer::Row(out, row.written_at)
            }
            Err(reason) => Answer::Fault(Fault::never(corrupt(table, &key, reason).to_string())),
        },
    }
}

#[cfg(test)]
mod tests;
