//! The short way from an operator into the blocks of a sink, for rows that nobody else reads.
//!
//! A row of key and value that only a sink of the same worker reads need not become a row of a batch
//! first: the operator writes its value into the open block at once. That saves the columns and one
//! copy of the bytes. What comes out is the same, but for where one block ends and the next begins.
//!
//! ```text
//!   operator ──batches──> collect ──rows──> block      a port that others read as well
//!   operator ────────────────rows─────────> block      a port with a shortcut
//!            ──empty batch──> collect                  tells which epoch has rows: its hold
//! ```
//!
//! The empty batch goes while the operator still holds the epoch, so the sink cannot close the epoch
//! before it has come.

use std::cell::RefCell;
use std::rc::Rc;

use super::CollectStage;
use super::open::Supply;
use super::place::KeyPartition;
use crate::codec::Verbatim;
use crate::graph::plan::FeedTarget;
use crate::outbox::rows::draft::Draft;
use crate::outbox::rows::{Op, OutRow};

/// The columns of rows that can go the short way: those of [`Output::write`](super::super::output::Output::write).
pub(crate) const KEY_VALUE: Verbatim = Verbatim { key: 0, value: 1 };

/// The sink of a port.
#[derive(Clone)]
pub(crate) struct Shortcut {
    stage: Rc<RefCell<CollectStage>>,
    /// Number of the target there.
    target: u16,
    /// Whether its rows count as results.
    counted: bool,
}

impl Shortcut {
    /// The way to input `input` of a sink; `None` where that makes other bytes of its rows.
    pub(crate) fn to(stage: &Rc<RefCell<CollectStage>>, input: usize) -> Option<Self> {
        let feed = &stage.borrow().feeds[input];
        let FeedTarget::Number(target) = feed.to else { return None };
        let is_plain = feed.encoder.verbatim() == Some(KEY_VALUE);
        is_plain.then(|| Self { stage: stage.clone(), target, counted: feed.counted })
    }

    /// Writes a row whose value `write` appends: no more than `value_bytes_max`.
    #[inline]
    pub(crate) fn write(
        &self,
        epoch: u64,
        (time_ms, key): (i64, &mut KeyPartition<'_>),
        value_bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let draft = Draft { target: self.target, time_ms, key: key.key(), value_bytes_max };
        let mut stage = self.stage.borrow_mut();
        stage.write_draft(epoch, (&draft, key), self.counted, write);
    }
}

impl CollectStage {
    /// Writes a row, which counts as a result where that is `counted`, or what goes instead if it is too
    /// large.
    #[inline]
    fn write_draft(
        &mut self,
        epoch: u64,
        (draft, partition): (&Draft<'_>, &mut KeyPartition<'_>),
        counted: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Draft { target, key, .. } = *draft;
        let Self { epochs, places, expected, outlet, gauge, .. } = self;
        let open = epochs.opened(epoch, places);
        let place = places.of_key(&open.routes, target, partition);
        let mut supply = Supply { places, expected, outlet };
        let writer = open.block(place, draft.bytes_at_most(), &mut supply);
        let start = writer.bytes().len();
        let length = writer.push_draft(draft, write);
        let bytes = key.len() + length;
        if gauge.as_ref().is_none_or(|gauge| gauge.takes(target, bytes)) {
            open.results += u64::from(counted);
            return;
        }
        let value = writer.take_back(start, length);
        let dead = self.measure(epoch, &out_row(draft, &value));
        let open = self.epochs.opened(epoch, &mut self.places);
        open.dead += u64::from(dead);
        open.results += u64::from(counted && !dead);
    }
}

/// The row as any other that is measured and written.
fn out_row<'a>(draft: &Draft<'a>, value: &'a [u8]) -> OutRow<'a> {
    let Draft { target, time_ms, key, .. } = *draft;
    let (key, value) = (Some(key), Some(value));
    OutRow { target, topic: None, op: Op::Insert, time_ms, key, value, headers: &[] }
}
