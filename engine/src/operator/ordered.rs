//! State per key, rows and timers in event-time order: for logic such as "first of the day".
//!
//! Rows wait in an ordered buffer in state until the watermark has passed their time; then rows and
//! timers are taken out together, by time, whatever the order of arrival was and wherever epochs
//! were cut.
//!
//! **Late rows.** A row at or below the watermark of its own partition is late. It is not simply
//! processed at once, because what has been released by then depends on the other partitions and on
//! the cuts. It waits in the buffer *at the watermark it came after*, behind the rows on time with
//! that time: exactly where it would stand if its partition were the only one.

mod kept;
mod keys;
mod loaded;
mod old_timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::keys::Keys;
use super::keyed::{Codec, Slot};
use super::stateful::{Close, Output, Stateful};
use crate::batch::Batch;
use crate::batch::build::BatchBuilder;
use crate::batch::order::{Order, flip, unflip};
use crate::batch::row::Row;
use crate::batch::schema::Schema;
use crate::batch::stored;
use crate::checkpoint::piece::Delta;
use crate::counter::Counters;
use crate::graph::plan::Route;
use crate::hash::key_group;
use crate::time::window::lateness_mark;

/// A row whose turn has come.
pub struct Event<'a> {
    /// The row, in the schema of [`OrderedLogic::schema`].
    pub row: Row<'a>,
    /// Time at which it takes its turn: its own, or for a late row the watermark it came after.
    pub at: i64,
    /// Whether it is late.
    pub late: bool,
}

/// What a logic may use beside the state.
pub struct OrderedContext<'a> {
    /// Where results go.
    pub output: &'a mut Output,
    /// Counters of the job.
    pub counters: &'a mut Counters,
    timers: &'a mut Vec<i64>,
}

impl OrderedContext<'_> {
    /// Calls [`OrderedLogic::timer`] for this key once the watermark has reached `at`.
    pub fn set_timer(&mut self, at: i64) {
        self.timers.push(at);
    }
}

/// What to do with rows and timers of a key, in event-time order.
pub trait OrderedLogic {
    /// State of one key.
    type State: Codec;
    /// Schema of the rows that are kept while they wait.
    fn schema(&self) -> &Arc<Schema>;
    /// Copies what is needed of `row` into `kept` (exactly one row); false if the row is of no
    /// interest, and then nothing may be copied.
    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool;
    /// Whether late rows take their turn; otherwise [`OrderedLogic::late`] gets them on arrival.
    fn takes_late(&self) -> bool;
    /// A late row that does not take its turn; false if it is of no interest.
    fn late(&mut self, row: Row<'_>, output: &mut Output, counters: &mut Counters) -> bool;
    /// A row's turn.
    fn row(
        &mut self,
        event: Event<'_>,
        state: Slot<'_, Self::State>,
        context: &mut OrderedContext<'_>,
    );
    /// A timer's turn.
    fn timer(&mut self, at: i64, state: Slot<'_, Self::State>, context: &mut OrderedContext<'_>);
}

/// Where a row stands in the buffer; the number keeps doubled deliveries of one position apart.
type Place = (i64, bool, Order, u32);

struct Waiting {
    batch: Arc<Batch>,
    row: usize,
    key: Box<[u8]>,
}

/// The operator around an [`OrderedLogic`].
pub struct Ordered<L: OrderedLogic> {
    logic: L,
    key: Route,
    buffer: BTreeMap<Place, Waiting>,
    keys: Keys<L::State>,
    changes: Changes,
    /// Timers that a row or timer in its turn sets; kept for its memory.
    set_in_turn: Vec<i64>,
}

/// Why loading cannot fail.
const BROKEN: &str = "state of this operator was written by it";

/// First byte of a state key: what the entry is.
mod tag {
    /// State and timers of a key.
    pub(super) const KEY: u8 = 0;
    /// State of a key, as layout 1 had it. Not written any more.
    pub(super) const OLD_STATE: u8 = 1;
    /// A waiting row.
    pub(super) const ROW: u8 = 2;
    /// A timer, as layout 1 had it. Likewise.
    pub(super) const OLD_TIMER: u8 = 3;
}

impl<L: OrderedLogic> Ordered<L> {
    /// State by the key made of the columns of `key`, which MUST exist in the kept rows too, at the
    /// same indexes.
    pub fn new(key: Route, logic: L) -> Self {
        Self {
            logic,
            key,
            buffer: BTreeMap::new(),
            keys: Keys::new(),
            changes: Changes::default(),
            set_in_turn: Vec::new(),
        }
    }

    /// Puts the rows of the turn into the buffer.
    fn insert(&mut self, close: &mut Close<'_>) {
        let mut kept = BatchBuilder::new(self.logic.schema());
        let mut places = Vec::new();
        while let Some((_, row)) = close.next_row() {
            let mark = lateness_mark(row.behind(), close.delay_ms, close.before);
            let late = row.time() <= mark;
            if late && !self.logic.takes_late() {
                let taken = self.logic.late(row, close.output, close.counters);
                close.counters.add("records_in", u64::from(taken));
            } else if self.logic.keep(row, &mut kept) {
                close.counters.add("records_in", 1);
                let at = if late { mark } else { row.time() };
                places.push((at, late, row.order()));
            }
        }
        // Kept rows are state, not rows under way: they do not count against the in-flight budget.
        let Some(batch) = kept.finish(None).map(Arc::new) else { return };
        assert_eq!(batch.len(), places.len(), "keep() copies exactly one row");
        let mut key = Vec::new();
        for (row, (at, late, order)) in places.into_iter().enumerate() {
            key.clear();
            self.key.write_key(batch.row(row), &mut key);
            let mut place = (at, late, order, 0);
            while self.buffer.contains_key(&place) {
                place.3 += 1;
            }
            let waiting = Waiting { batch: batch.clone(), row, key: key.as_slice().into() };
            self.buffer.insert(place, waiting);
            self.changes.rows_added.insert(place);
        }
    }
}

/// Bookkeeping of the close in hand: what has to be reported as changed.
#[derive(Default)]
struct Changes {
    /// Nothing more will change: what has changed is being reported.
    is_complete: bool,
    /// Keys whose state or timers are not those of the checkpoint.
    keys: BTreeSet<Box<[u8]>>,
    rows_added: BTreeSet<Place>,
    rows_gone: VecDeque<(Place, Box<[u8]>)>,
    /// Entries of layout 1 that were not replaced in place.
    old: Vec<Delta>,
}

impl<L: OrderedLogic> Ordered<L> {
    /// Takes out rows and timers up to the watermark, in time order, as long as the turn lasts; a row
    /// before a timer of the same instant.
    fn release(&mut self, close: &mut Close<'_>) {
        loop {
            let row_at = self.buffer.first_key_value().map(|(place, _)| place.0);
            let timer_at = self.keys.first_at();
            let row_first = match (row_at, timer_at) {
                (Some(row), Some(timer)) => row <= timer,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => return,
            };
            let due = if row_first { row_at } else { timer_at };
            if due.is_none_or(|at| at > close.watermark) || !close.spend() {
                return;
            }
            if row_first { self.take_row(close) } else { self.take_timer(close) }
        }
    }

    fn take_row(&mut self, close: &mut Close<'_>) {
        let (place, waiting) = self.buffer.pop_first().expect("release saw it");
        let event = Event { row: waiting.batch.row(waiting.row), at: place.0, late: place.1 };
        self.turn(&waiting.key, false, close, |logic, state, context| {
            logic.row(event, state, context);
        });
        self.changes.rows_gone.push_back((place, waiting.key));
    }

    fn take_timer(&mut self, close: &mut Close<'_>) {
        let due = self.keys.pop_first().expect("release saw it");
        if due.old {
            self.changes.old.push(old_timer_gone(due.at, &due.key));
        }
        self.turn(&due.key, !due.old, close, |logic, state, context| {
            logic.timer(due.at, state, context);
        });
    }

    /// `changed`: what is kept of the key is not that of the checkpoint, whatever it does.
    fn turn(
        &mut self,
        key: &[u8],
        mut changed: bool,
        close: &mut Close<'_>,
        act: impl FnOnce(&mut L, Slot<'_, L::State>, &mut OrderedContext<'_>),
    ) {
        let mut timers = std::mem::take(&mut self.set_in_turn);
        let kept = match self.keys.get_mut(key) {
            Some(kept) => kept,
            None => self.keys.insert(key),
        };
        let mut context =
            OrderedContext { output: close.output, counters: close.counters, timers: &mut timers };
        act(&mut self.logic, Slot::new(&mut kept.state, &mut changed), &mut context);
        let is_unknown = kept.is_empty() && !kept.saved;
        for at in timers.drain(..) {
            changed |= self.keys.set_timer(key, at);
        }
        self.set_in_turn = timers;
        if changed && !self.changes.keys.contains(key) {
            self.changes.keys.insert(key.into());
        }
        if !changed && is_unknown {
            self.keys.remove(key);
        }
    }

    /// Reports what has changed, as long as the turn lasts.
    fn report(&mut self, close: &mut Close<'_>) {
        while close.spend() {
            match self.next_delta() {
                Reported::Changed(delta) => close.deltas.push(delta),
                Reported::Unchanged => {}
                Reported::All => {
                    self.changes.is_complete = false;
                    return;
                }
            }
        }
    }

    fn next_delta(&mut self) -> Reported {
        let changes = &mut self.changes;
        if let Some((place, key)) = changes.rows_gone.pop_front() {
            // A row that came and went within the epoch was never in the checkpoint.
            return match changes.rows_added.remove(&place) {
                true => Reported::Unchanged,
                false => Reported::Changed(row_delta(&place, &key, None)),
            };
        }
        if let Some(place) = changes.rows_added.pop_first() {
            let waiting = &self.buffer[&place];
            let mut bytes = Vec::new();
            stored::encode(waiting.batch.row(waiting.row), &mut bytes);
            return Reported::Changed(row_delta(&place, &waiting.key, Some(bytes)));
        }
        if let Some(delta) = changes.old.pop() {
            return Reported::Changed(delta);
        }
        match changes.keys.pop_first() {
            Some(key) => self.key_delta(&key),
            None => Reported::All,
        }
    }

    fn key_delta(&mut self, key: &[u8]) -> Reported {
        // Set and emptied within the epoch: it was never in the checkpoint.
        let Some(kept) = self.keys.get_mut(key) else { return Reported::Unchanged };
        let value = kept.encoded();
        let was_saved = std::mem::replace(&mut kept.saved, value.is_some());
        let was_old = std::mem::replace(&mut kept.old, false);
        if value.is_none() {
            self.keys.remove(key);
        }
        if was_old {
            let old = tagged(tag::OLD_STATE, &[key]);
            self.changes.old.push(Delta { group: key_group(key), key: old, value: None });
        }
        if value.is_none() && (was_old || !was_saved) {
            return Reported::Unchanged;
        }
        Reported::Changed(Delta { group: key_group(key), key: tagged(tag::KEY, &[key]), value })
    }
}

/// What became of one change.
enum Reported {
    /// It is one for the checkpoint, too.
    Changed(Delta),
    /// The checkpoint had nothing of it, and has nothing.
    Unchanged,
    /// There is none left.
    All,
}

impl<L: OrderedLogic> Stateful for Ordered<L> {
    fn close(&mut self, close: &mut Close<'_>) {
        if !self.changes.is_complete {
            self.insert(close);
        }
        if !self.changes.is_complete && !close.is_interrupted() {
            self.release(close);
            self.changes.is_complete = !close.is_interrupted();
        }
        if self.changes.is_complete {
            self.report(close);
        }
    }

    fn load(&mut self, group: u16, key: &[u8], value: &[u8]) {
        let (tag, rest) = key.split_first().expect(BROKEN);
        match *tag {
            tag::KEY => self.keys.load(group, rest, value),
            tag::OLD_STATE => self.keys.load_old_state(group, rest, value),
            tag::OLD_TIMER => self.keys.load_old_timer(group, rest),
            tag::ROW => {
                let place = decode_place(rest).expect(BROKEN);
                let batch = stored::decode(self.logic.schema(), value).expect(BROKEN);
                let mut key = Vec::new();
                self.key.write_key(batch.row(0), &mut key);
                let waiting =
                    Waiting { batch: Arc::new(batch), row: 0, key: key.into_boxed_slice() };
                self.buffer.insert(place, waiting);
            }
            other => panic!("{BROKEN}, but an entry has tag {other}"),
        }
    }

    fn entries(&self) -> usize {
        self.keys.len() + self.buffer.len()
    }
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(tag);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Bytes of the key under which a waiting row is stored: tag, time, whether it is late, order, number.
const PLACE_BYTES: usize = 1 + 8 + 1 + Order::BYTES + 4;

fn row_delta(place: &Place, key: &[u8], value: Option<Vec<u8>>) -> Delta {
    let mut bytes = Vec::with_capacity(PLACE_BYTES);
    bytes.push(tag::ROW);
    bytes.extend_from_slice(&flip(place.0).to_be_bytes());
    bytes.push(u8::from(place.1));
    place.2.encode(&mut bytes);
    bytes.extend_from_slice(&place.3.to_be_bytes());
    Delta { group: key_group(key), key: bytes, value }
}

fn decode_place(bytes: &[u8]) -> Option<Place> {
    let (at, rest) = bytes.split_first_chunk::<8>()?;
    let (late, rest) = rest.split_first()?;
    let order = Order::decode(rest)?;
    let number = rest.get(Order::BYTES..)?.try_into().ok()?;
    Some((unflip(u64::from_be_bytes(*at)), *late == 1, order, u32::from_be_bytes(number)))
}

fn old_timer_gone(at: i64, key: &[u8]) -> Delta {
    let bytes = tagged(tag::OLD_TIMER, &[&old_timers::stored(at, key)]);
    Delta { group: key_group(key), key: bytes, value: None }
}

#[cfg(test)]
mod tests;
