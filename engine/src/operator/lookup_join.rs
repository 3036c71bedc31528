//! Rows beside the dimension they name, looked up in process.
//!
//! The changes of the dimension come by a link and are kept here as state, under the key by which the
//! rows come; both inputs are closed together. So a row of epoch `e` sees every change of the epochs
//! up to and including `e`: no driver, no cache, nothing stale. A row that was looked up is not taken
//! back when the dimension changes later (specification 11.7).
//!
//! A dimension is either dealt to the workers by key, like the rows, or whole on every worker (small
//! ones: then rows stay where they are, and the state is stored once).

use std::collections::BTreeSet;

use super::keyed::{Codec, Slot, encoded};
use super::stateful::{Close, Output, SHARED_GROUP, Stateful};
use crate::batch::row::Row;
use crate::checkpoint::piece::Delta;
use crate::counter::Counters;
use crate::hash::{Map, key_group};

/// Input of the rows.
pub const INPUT_ROWS: usize = 0;
/// Input of the dimension's changes.
pub const INPUT_CHANGES: usize = 1;

/// What is looked up, and what becomes of it.
pub trait LookupLogic {
    /// The row of the dimension as it is kept.
    type Row: Codec;
    /// Appends the key of a change; MUST be the key by which it was routed, or, with a dimension that
    /// is whole on every worker, any unique one.
    fn key_of_change(&self, change: Row<'_>, key: &mut Vec<u8>);
    /// Appends the key that a row looks up; false if it looks up nothing.
    fn key_of_row(&self, row: Row<'_>, key: &mut Vec<u8>) -> bool;
    /// Applies a change of the dimension.
    fn change(&mut self, change: Row<'_>, kept: Slot<'_, Self::Row>);
    /// Takes a row with what it looked up: `None` if it looks up nothing, or nothing is there.
    fn row(
        &mut self,
        row: Row<'_>,
        found: Option<&Self::Row>,
        output: &mut Output,
        counters: &mut Counters,
    );
}

/// Where the dimension lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By key; rows and changes are routed by the same key.
    ByKey,
    /// Whole on every worker; changes are routed to all, rows stay.
    Whole,
}

/// The operator around a [`LookupLogic`].
pub struct LookupJoin<L: LookupLogic> {
    logic: L,
    spread: Spread,
    rows: Map<Box<[u8]>, Option<L::Row>>,
}

impl<L: LookupLogic> LookupJoin<L> {
    /// An empty dimension.
    pub fn new(spread: Spread, logic: L) -> Self {
        Self { logic, spread, rows: Map::default() }
    }

    fn apply(&mut self, change: Row<'_>, key: &mut Vec<u8>) -> bool {
        key.clear();
        self.logic.key_of_change(change, key);
        let mut changed = false;
        let kept = self.rows.entry(key.as_slice().into()).or_default();
        self.logic.change(change, Slot::new(kept, &mut changed));
        changed
    }

    /// The entries that a close has changed; what is gone is forgotten.
    fn save(&mut self, touched: BTreeSet<Vec<u8>>, close: &mut Close<'_>) {
        let shared = self.spread == Spread::Whole;
        for key in touched {
            let value = self.rows.get(key.as_slice()).and_then(Option::as_ref).map(encoded);
            if value.is_none() {
                self.rows.remove(key.as_slice());
            }
            let group = if shared { SHARED_GROUP } else { key_group(&key) };
            if !shared || close.worker == 0 {
                close.deltas.push(Delta { group, key, value });
            }
        }
    }
}

impl<L: LookupLogic> Stateful for LookupJoin<L> {
    fn close(&mut self, close: &mut Close<'_>) {
        let (mut touched, mut key) = (BTreeSet::new(), Vec::new());
        for (_, change) in close.rows.iter().filter(|(input, _)| *input == INPUT_CHANGES) {
            if self.apply(change, &mut key) {
                touched.insert(key.clone());
            }
        }
        for (_, row) in close.rows.iter().filter(|(input, _)| *input == INPUT_ROWS) {
            key.clear();
            let asks = self.logic.key_of_row(row, &mut key);
            let kept = asks.then(|| self.rows.get(key.as_slice())?.as_ref()).flatten();
            self.logic.row(row, kept, close.output, close.counters);
        }
        self.save(touched, close);
    }

    fn load(&mut self, _group: u16, key: &[u8], value: &[u8]) {
        let row = L::Row::decode(value).expect("state of this operator was written by it");
        self.rows.insert(key.into(), Some(row));
    }

    fn entries(&self) -> usize {
        self.rows.len()
    }
}
