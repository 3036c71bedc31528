//! Tumbling windows in two steps: partial sums on every worker, then one final worker per group.
//!
//! [`WindowPartial`] judges lateness row by row and sends at most one partial row per worker, epoch
//! and group, so a window without key or with one hot key costs `peers` rows per epoch.
//! [`WindowFinal`] keeps the sums, fires a window in one piece when the watermark passes its end,
//! and writes the full row again when an accepted late row changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::keyed::{Codec, encoded};
use super::stateful::{Close, Stateful};
use crate::batch::NO_TIME;
use crate::batch::build::{BatchBuilder, Stamp};
use crate::batch::order::{Order, flip, unflip};
use crate::batch::row::Row;
use crate::batch::schema::{Kind, Schema};
use crate::checkpoint::piece::Delta;
use crate::hash::key_group;
use crate::time::window::{Tumbling, lateness_mark};

/// What is counted in a window.
pub trait Aggregate {
    /// What is kept per window and group.
    type Sum: Codec + Default;
    /// Appends the group key of `row` from `input` (see [`key`](crate::batch::key)); false if the
    /// row contributes nothing.
    fn group(&self, input: usize, row: Row<'_>, key: &mut Vec<u8>) -> bool;
    /// Adds a row.
    fn add(&self, input: usize, row: Row<'_>, sum: &mut Self::Sum);
    /// Adds a partial sum.
    fn merge(&self, sum: &mut Self::Sum, other: &Self::Sum);
    /// Schema of result rows.
    fn schema(&self) -> &Arc<Schema>;
    /// Sets all columns of the result row; begun and ended by the caller.
    fn emit(&self, window_start: i64, group: &[u8], sum: &Self::Sum, row: &mut BatchBuilder);
}

/// Columns of a partial row.
const PARTIAL_PLACE: usize = 0;
const PARTIAL_SUM: usize = 1;
/// Column by which partial rows are exchanged.
pub const PARTIAL_KEY: usize = PARTIAL_PLACE;
/// Port of [`WindowPartial`] with partial sums.
pub const PORT_PARTIAL: usize = 0;
/// Port of [`WindowPartial`] with refused rows.
pub const PORT_LATE: usize = 1;

/// Appends window start and group key as one key: big-endian start, then the group.
fn write_place(start: i64, group: &[u8], place: &mut Vec<u8>) {
    place.extend_from_slice(&flip(start).to_be_bytes());
    place.extend_from_slice(group);
}

fn window_start(place: &[u8]) -> i64 {
    let start = place.first_chunk::<8>().expect("a place begins with the window start");
    unflip(u64::from_be_bytes(*start))
}

/// The first step; keeps nothing between epochs.
pub struct WindowPartial<A: Aggregate> {
    aggregate: A,
    windows: Tumbling,
    schema: Arc<Schema>,
    /// Sums of the epoch in hand.
    sums: BTreeMap<Vec<u8>, A::Sum>,
}

impl<A: Aggregate> WindowPartial<A> {
    /// Partial sums of `aggregate` over `windows`.
    pub fn new(aggregate: A, windows: Tumbling) -> Self {
        let columns = [("place", Kind::Slice), ("sum", Kind::Slice)];
        let schema = Schema::new("partial", &columns);
        Self { aggregate, windows, schema, sums: BTreeMap::new() }
    }

    fn take_rows(&mut self, close: &mut Close<'_>) {
        let (mut group, mut at) = (Vec::new(), Vec::new());
        while let Some((input, row)) = close.next_row() {
            group.clear();
            if !self.aggregate.group(input, row, &mut group) {
                continue;
            }
            let start = self.windows.start_of(row.time());
            let mark = lateness_mark(row.behind(), close.delay_ms, close.before);
            if self.windows.is_late(start, mark) {
                close.counters.add("late", 1);
                close.output.copy(PORT_LATE, row);
            } else {
                at.clear();
                write_place(start, &group, &mut at);
                // A known place is found without a copy of its key.
                match self.sums.get_mut(&at) {
                    Some(sum) => self.aggregate.add(input, row, sum),
                    None => {
                        let sum = self.sums.entry(at.clone()).or_default();
                        self.aggregate.add(input, row, sum);
                    }
                }
            }
        }
    }

    fn send(&mut self, close: &mut Close<'_>) {
        while !self.sums.is_empty() && close.spend() {
            let (place, sum) = self.sums.pop_first().expect("not empty");
            let builder = close.output.row(PORT_PARTIAL, &self.schema);
            builder.begin();
            let slice = builder.append(&place);
            builder.slice(PARTIAL_PLACE, slice);
            let slice = builder.append(&encoded(&sum));
            builder.slice(PARTIAL_SUM, slice);
            builder.end(Stamp { time: NO_TIME, order: Order::default(), behind: None });
        }
    }
}

impl<A: Aggregate> Stateful for WindowPartial<A> {
    fn close(&mut self, close: &mut Close<'_>) {
        self.take_rows(close);
        if !close.is_interrupted() {
            self.send(close);
        }
    }

    fn load(&mut self, _group: u16, _key: &[u8], _value: &[u8]) {
        panic!("the partial step of a window keeps no state");
    }

    fn entries(&self) -> usize {
        0
    }
}

struct Open<S> {
    sum: S,
    /// Written at least once.
    fired: bool,
    /// Changed since it was written.
    dirty: bool,
    /// Part of the checkpoint: only then must its end be told to it.
    saved: bool,
}

/// The second step.
pub struct WindowFinal<A: Aggregate> {
    aggregate: A,
    windows: Tumbling,
    open: BTreeMap<Vec<u8>, Open<A::Sum>>,
    /// Places that the epoch in hand has changed and not reported yet.
    touched: BTreeSet<Vec<u8>>,
    stage: Stage,
}

/// How far the close in hand has come.
#[derive(Default)]
enum Stage {
    /// Partial sums are added.
    #[default]
    Merge,
    /// Windows come out, from this place on.
    Fire(Vec<u8>),
    /// Windows that take no more rows go.
    Purge,
    /// Changes are reported.
    Report,
}

impl<A: Aggregate> WindowFinal<A> {
    /// Final sums of `aggregate` over `windows`.
    pub fn new(aggregate: A, windows: Tumbling) -> Self {
        let (open, touched) = (BTreeMap::new(), BTreeSet::new());
        Self { aggregate, windows, open, touched, stage: Stage::Merge }
    }

    fn merge(&mut self, close: &mut Close<'_>) {
        while let Some((_, row)) = close.next_row() {
            let place = row.bytes(PARTIAL_PLACE).expect("always set");
            let sum = row.bytes(PARTIAL_SUM).and_then(A::Sum::decode).expect("always set");
            // Only a new place is copied.
            match self.open.get_mut(place) {
                Some(entry) => {
                    self.aggregate.merge(&mut entry.sum, &sum);
                    entry.dirty = true;
                }
                None => {
                    let mut entry =
                        Open { sum: A::Sum::default(), fired: false, dirty: true, saved: false };
                    self.aggregate.merge(&mut entry.sum, &sum);
                    self.open.insert(place.to_vec(), entry);
                }
            }
            if !self.touched.contains(place) {
                self.touched.insert(place.to_vec());
            }
        }
    }

    /// Writes the windows that are closed, from `first` on; answers where to go on if the turn is
    /// over.
    fn fire(&mut self, first: &[u8], close: &mut Close<'_>) -> Option<Vec<u8>> {
        let places = (Bound::Included(first), Bound::Unbounded);
        for (place, entry) in self.open.range_mut::<[u8], _>(places) {
            let start = window_start(place);
            if !self.windows.is_closed(start, close.watermark) {
                // Invariant: places sort by window start, so all that follow are open.
                return None;
            }
            if !close.spend() {
                return Some(place.clone());
            }
            if entry.dirty {
                let row = close.output.row(0, self.aggregate.schema());
                row.begin();
                self.aggregate.emit(start, &place[8..], &entry.sum, row);
                row.end(Stamp { time: start, order: Order::default(), behind: None });
                // How often a correction is written depends on the cuts; that a window fired does not.
                close.counters.add("windows_fired", u64::from(!entry.fired));
                (entry.fired, entry.dirty) = (true, false);
                self.touched.insert(place.clone());
            }
        }
        None
    }

    fn purge(&mut self, close: &mut Close<'_>) {
        while let Some(entry) = self.open.first_entry() {
            let is_late = self.windows.is_late(window_start(entry.key()), close.watermark);
            if !is_late || !close.spend() {
                return;
            }
            let (place, window) = entry.remove_entry();
            if window.saved {
                self.touched.insert(place);
            } else {
                self.touched.remove(&place);
            }
        }
    }

    fn report(&mut self, close: &mut Close<'_>) {
        while !self.touched.is_empty() && close.spend() {
            let place = self.touched.pop_first().expect("not empty");
            let value = self.open.get_mut(&place).map(|entry| {
                entry.saved = true;
                let mut bytes = vec![u8::from(entry.fired) | u8::from(entry.dirty) << 1];
                entry.sum.encode(&mut bytes);
                bytes
            });
            close.deltas.push(Delta { group: key_group(&exchange_key(&place)), key: place, value });
        }
    }

    /// Does what the stage asks for; answers the next one, or the same if the turn is over.
    fn advance(&mut self, stage: Stage, close: &mut Close<'_>) -> Stage {
        let next = match &stage {
            Stage::Merge => {
                self.merge(close);
                Stage::Fire(Vec::new())
            }
            Stage::Fire(first) => match self.fire(first, close) {
                Some(first) => return Stage::Fire(first),
                None => Stage::Purge,
            },
            Stage::Purge => {
                self.purge(close);
                Stage::Report
            }
            Stage::Report => {
                self.report(close);
                Stage::Merge
            }
        };
        if close.is_interrupted() { stage } else { next }
    }
}

impl<A: Aggregate> Stateful for WindowFinal<A> {
    fn close(&mut self, close: &mut Close<'_>) {
        loop {
            let stage = std::mem::take(&mut self.stage);
            self.stage = self.advance(stage, close);
            // After the last stage the next close begins with the first.
            if close.is_interrupted() || matches!(self.stage, Stage::Merge) {
                return;
            }
        }
    }

    fn load(&mut self, _group: u16, key: &[u8], value: &[u8]) {
        let (flags, sum) = value.split_first().expect("written by this operator");
        let sum = A::Sum::decode(sum).expect("written by this operator");
        self.open.insert(
            key.to_vec(),
            Open { sum, fired: flags & 1 != 0, dirty: flags & 2 != 0, saved: true },
        );
    }

    fn entries(&self) -> usize {
        self.open.len()
    }
}

/// The key bytes under which the exchange routes a place: state must lie in the same group.
fn exchange_key(place: &[u8]) -> Vec<u8> {
    let mut key = Vec::new();
    crate::batch::key::push_bytes(&mut key, Some(place));
    key
}
