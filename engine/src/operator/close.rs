//! The end of one epoch at one operator, in turns.
//!
//! A close may have millions of rows, timers and changed entries to go through, and the operators of
//! all jobs share the worker. So an operator takes its work piece by piece: when the turn's budget is
//! spent it returns, and is called again for the rest once the others have had their turn. Where the
//! turns end MUST NOT show in any result; nothing else reaches the operator in between.

use std::sync::Arc;

use super::ask::Asked;
use super::output::Output;
use crate::batch::Batch;
use crate::batch::order::Order;
use crate::batch::row::Row;
use crate::checkpoint::piece::Delta;
use crate::counter::Counters;

/// The end of one epoch at one operator.
pub struct Close<'a> {
    /// The epoch.
    pub epoch: u64,
    /// Index of this worker: what all workers know is written down by worker 0.
    pub worker: usize,
    /// Its processing time, milliseconds.
    pub stamp_ms: i64,
    /// Watermark at the close before this one, less the declared delays upstream.
    pub before: i64,
    /// Watermark at this close, likewise.
    pub watermark: i64,
    /// Greatest declared delay upstream, milliseconds.
    pub delay_ms: i64,
    /// Rows of the epoch: for operators that go through all of them in one turn, whatever the budget.
    pub rows: &'a PendingRows,
    /// Where results go.
    pub output: &'a mut Output,
    /// Changed state; one entry per touched key.
    pub deltas: &'a mut Vec<Delta>,
    /// Counters of the job.
    pub counters: &'a mut Counters,
    /// Questions to the outside, for operators whose plan declares them.
    pub asked: &'a mut Asked,
    /// How far this close has come.
    pub(crate) turn: &'a mut Turn,
}

/// How far a close has come, and how much more it may do before others have their turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Rows taken by [`Close::next_row`].
    pub(crate) taken: usize,
    /// Pieces of work left in this turn.
    pub(crate) left: usize,
    /// The turn ended before the close did.
    pub(crate) interrupted: bool,
}

/// Full batches that a turn may emit. What comes next in the dataflow reads them while they are still
/// in the processor's cache, and their memory is used again for those of the next turn: an epoch that
/// is emitted in one go passes through memory twice.
const TURN_BATCHES_MAX: usize = 4;

impl<'a> Close<'a> {
    /// The next row by order value, with its input; `None` if all have been taken, or if the turn is
    /// over ([`Close::is_interrupted`]).
    pub fn next_row(&mut self) -> Option<(usize, Row<'a>)> {
        if self.turn.taken == self.rows.order.len() || !self.spend() {
            return None;
        }
        self.turn.taken += 1;
        Some(self.rows.row(self.turn.taken - 1))
    }

    /// Has [`Close::next_row`] begin with the first row again.
    pub fn rewind(&mut self) {
        self.turn.taken = 0;
    }

    /// Whether the turn has room for one more piece of work: a row, a timer, a changed entry. If not,
    /// the operator MUST return; it is called again.
    pub fn spend(&mut self) -> bool {
        self.turn.interrupted |= self.turn.left == 0 || self.output.full() >= TURN_BATCHES_MAX;
        self.turn.left = self.turn.left.saturating_sub(1);
        !self.turn.interrupted
    }

    /// Whether the turn is over before the close is.
    pub fn is_interrupted(&self) -> bool {
        self.turn.interrupted
    }
}

/// Rows of one epoch and their order.
#[derive(Default)]
pub struct PendingRows {
    pub(super) batches: Vec<(usize, Arc<Batch>)>,
    order: Vec<(Order, u32, u32)>,
}

impl PendingRows {
    /// Rows by order value: `(input, row)`.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Row<'_>)> {
        (0..self.order.len()).map(|index| self.row(index))
    }

    fn row(&self, index: usize) -> (usize, Row<'_>) {
        let (_, batch, row) = self.order[index];
        let (input, batch) = &self.batches[batch as usize];
        (*input, batch.row(row as usize))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(|(_, batch)| batch.len()).sum()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Rows of an epoch that has ended, by input.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sorted(batches: Vec<(usize, Arc<Batch>)>) -> Self {
        let mut rows = Self { batches, order: Vec::new() };
        rows.sort();
        rows
    }

    /// Invariant: rows of equal order (made from one input row) keep the order they were emitted
    /// in, so the sort must be stable; it is nearly free on rows that are almost sorted.
    pub(super) fn sort(&mut self) {
        self.order.clear();
        self.order.reserve(self.len());
        for (batch_index, (_, batch)) in self.batches.iter().enumerate() {
            let batch_index = u32::try_from(batch_index).expect("fewer than 2^32 batches");
            for (row, head) in batch.heads.iter().enumerate() {
                let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
                self.order.push((head.order, batch_index, row));
            }
        }
        self.order.sort_by_key(|(order, _, _)| *order);
    }
}
