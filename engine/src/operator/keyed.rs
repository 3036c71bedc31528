//! State per key, rows by order value: for logic that follows the order in which records were read.

use std::collections::BTreeSet;

use super::stateful::{Close, Output, Stateful};
use crate::batch::row::Row;
use crate::checkpoint::piece::Delta;
use crate::counter::Counters;
use crate::graph::plan::Route;
use crate::hash::key_group;
use crate::state::keys::KeyMap;

/// State that can be written into a checkpoint and read back.
pub trait Codec: Sized {
    /// Appends the encoded state.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what [`Codec::encode`] wrote; `None` if it was not.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// The state of one key, and whether it was changed.
pub struct Slot<'a, S> {
    value: &'a mut Option<S>,
    changed: &'a mut bool,
}

impl<'a, S> Slot<'a, S> {
    pub(crate) fn new(value: &'a mut Option<S>, changed: &'a mut bool) -> Self {
        Self { value, changed }
    }

    /// The state, if there is one.
    pub fn get(&self) -> Option<&S> {
        self.value.as_ref()
    }

    /// Replaces the state.
    pub fn set(&mut self, state: S) {
        *self.value = Some(state);
        *self.changed = true;
    }

    /// Removes the state and returns it.
    pub fn take(&mut self) -> Option<S> {
        *self.changed |= self.value.is_some();
        self.value.take()
    }
}

/// What to do with a row and the state of its key.
pub trait KeyedLogic {
    /// State of one key.
    type State: Codec;
    /// Takes one row.
    fn row(
        &mut self,
        row: Row<'_>,
        state: Slot<'_, Self::State>,
        output: &mut Output,
        counters: &mut Counters,
    );
}

/// The operator around a [`KeyedLogic`].
pub struct Keyed<L: KeyedLogic> {
    logic: L,
    key: Route,
    /// An emptied state stays as `None` until the epoch closes.
    states: KeyMap<Option<L::State>>,
    /// Keys that the epoch in hand has changed and not reported yet.
    touched: BTreeSet<Vec<u8>>,
}

impl<L: KeyedLogic> Keyed<L> {
    /// State by the key made of the slice or integer columns of `key`.
    pub fn new(key: Route, logic: L) -> Self {
        let decode = |value: &[u8]| {
            Some(L::State::decode(value).expect("state of this operator was written by it"))
        };
        Self { logic, key, states: KeyMap::new(decode), touched: BTreeSet::new() }
    }
}

impl<L: KeyedLogic> Keyed<L> {
    fn take_rows(&mut self, close: &mut Close<'_>) {
        let mut key = Vec::new();
        while let Some((_, row)) = close.next_row() {
            key.clear();
            self.key.write_key(row, &mut key);
            let mut changed = false;
            // A key with state is found in place; only a new key is copied.
            let entry = self.states.get_mut(&key);
            let known = entry.is_some();
            let mut fresh = None;
            let value = entry.unwrap_or(&mut fresh);
            self.logic.row(row, Slot::new(value, &mut changed), close.output, close.counters);
            if !known && fresh.is_some() {
                self.states.insert(&key, fresh);
            }
            if changed {
                self.touched.insert(key.clone());
            }
        }
    }

    fn report(&mut self, close: &mut Close<'_>) {
        while !self.touched.is_empty() && close.spend() {
            let key = self.touched.pop_first().expect("not empty");
            let state = self.states.get_mut(&key).and_then(|state| state.as_ref());
            let value = state.map(encoded);
            if value.is_none() {
                self.states.remove(&key);
            }
            close.deltas.push(Delta { group: key_group(&key), key, value });
        }
    }
}

impl<L: KeyedLogic> Stateful for Keyed<L> {
    fn close(&mut self, close: &mut Close<'_>) {
        self.take_rows(close);
        if !close.is_interrupted() {
            self.report(close);
        }
    }

    fn load(&mut self, group: u16, key: &[u8], value: &[u8]) {
        self.states.load(group, key, value);
    }

    fn entries(&self) -> usize {
        self.states.len()
    }
}

/// What most states take when they are encoded.
const STATE_BYTES: usize = 16;

/// The encoded form of `state`.
pub(crate) fn encoded<S: Codec>(state: &S) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STATE_BYTES);
    state.encode(&mut bytes);
    bytes
}
