//! A stateful operator without a dataflow: rows in, one close after the other; rows and state out.
//!
//! For tests that want every order of rows and every cut, at the price of a function call. What the
//! operator asks of the outside is handed to the test, which answers or does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::batch::buffer::Budget;
use crate::checkpoint::piece::Delta;
use crate::counter::{CounterKey, Counters};
use crate::operator::ask::Asked;
use crate::operator::close::Turn;
use crate::operator::stateful::{Close, Output, PendingRows, Stateful};
use crate::source::reread::Reread;

/// Most output ports of an operator under test.
const PORTS: usize = 8;
/// What an operator may do in one turn: few enough that most closes take several.
const BUDGET: usize = 3;

/// The operator, and what a checkpoint would hold of it.
pub struct ByHand {
    logic: Box<dyn Stateful>,
    state: BTreeMap<(u16, Vec<u8>), Vec<u8>>,
    epoch: u64,
    watermark: i64,
    counters: Counters,
    budget: usize,
}

/// What one close gave.
#[derive(Debug, Default)]
pub struct Closed {
    /// Batches by port, in the order of emission per port.
    pub rows: Vec<(usize, Batch)>,
    /// What is to be read again.
    pub rereads: Vec<Reread>,
}

impl ByHand {
    /// An operator that has seen nothing.
    pub fn new(logic: Box<dyn Stateful>) -> Self {
        let counters = Counters::new("by hand".into());
        Self { logic, state: BTreeMap::new(), epoch: 0, watermark: 0, counters, budget: BUDGET }
    }

    /// What it may do in one turn, in rows; at least 1.
    #[must_use]
    pub fn with_budget(mut self, budget: usize) -> Self {
        self.budget = budget;
        self
    }

    /// Closes an epoch with these rows, by input; the operator sees them by order value. The watermark
    /// stays where it is, at first at 0.
    pub fn close(&mut self, rows: Vec<(usize, Batch)>) -> Closed {
        self.close_at(self.watermark, rows)
    }

    /// Likewise; the watermark comes to `watermark`.
    pub fn close_at(&mut self, watermark: i64, rows: Vec<(usize, Batch)>) -> Closed {
        self.epoch += 1;
        let before = std::mem::replace(&mut self.watermark, watermark);
        let rows = rows.into_iter().map(|(input, batch)| (input, Arc::new(batch))).collect();
        let rows = PendingRows::sorted(rows);
        let mut output = Output::new(PORTS, Budget::new(u64::MAX));
        let (mut deltas, mut asked) = (Vec::new(), Asked::default());
        let mut turn = Turn { interrupted: true, ..Turn::default() };
        while std::mem::take(&mut turn.interrupted) {
            turn.left = self.budget;
            self.logic.close(&mut Close {
                epoch: self.epoch,
                worker: 0,
                stamp_ms: 0,
                before,
                watermark,
                delay_ms: 0,
                rows: &rows,
                output: &mut output,
                deltas: &mut deltas,
                counters: &mut self.counters,
                asked: &mut asked,
                turn: &mut turn,
            });
        }
        deltas.into_iter().for_each(|delta| self.save(delta));
        Closed { rows: output.take(), rereads: asked.rereads().to_vec() }
    }

    fn save(&mut self, Delta { group, key, value }: Delta) {
        match value {
            Some(value) => drop(self.state.insert((group, key), value)),
            None => drop(self.state.remove(&(group, key))),
        }
    }

    /// A crash: a new instance takes back the state of the old one.
    pub fn restart(&mut self, mut logic: Box<dyn Stateful>) {
        for ((group, key), value) in &self.state {
            logic.load(*group, key, value);
        }
        self.logic = logic;
    }

    /// A crash, behind which the checkpoint holds `state`.
    pub fn restart_with(
        &mut self,
        logic: Box<dyn Stateful>,
        state: BTreeMap<(u16, Vec<u8>), Vec<u8>>,
    ) {
        self.state = state;
        self.restart(logic);
    }

    /// The state as a checkpoint would hold it, by key group and key.
    pub fn state(&self) -> &BTreeMap<(u16, Vec<u8>), Vec<u8>> {
        &self.state
    }

    /// Entries of state.
    pub fn entries(&self) -> usize {
        self.state.len()
    }

    /// What was counted since the last call.
    pub fn counts(&mut self) -> Vec<(CounterKey, u64)> {
        self.counters.take()
    }
}
