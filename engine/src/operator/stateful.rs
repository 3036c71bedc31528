//! The harness of every operator that keeps state: epochs strictly in order, restore, deltas.
//!
//! Rows wait in `pending[e]` with a hold. When the frontier has passed `e` and state is loaded, the
//! harness sorts them by order value, evaluates the watermark, and lets the logic close the epoch.
//! What the logic emits goes out at `e`; what it changed goes to the checkpoint at `e`; then the
//! hold is released. A close that has much to do takes several turns ([`Close`]). The contract is implemented here once; [`keyed`](super::keyed),
//! [`ordered`](super::ordered) and [`window`](super::window) only say what a close means.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::ask::{Asked, TableAnswer, TableDesk};
use super::close::Turn;
pub use super::close::{Close, PendingRows};
use super::collect::shortcut::Shortcut;
use super::context::{JobContext, OperatorName};
pub use super::output::{KeyedRows, Output};
use super::{PieceStream, RowStream, TimeStream};
use crate::batch::Batch;
use crate::batch::order::{flip, unflip};
use crate::checkpoint::load::{LoadItem, LoadQueue};
use crate::checkpoint::piece::{Delta, Piece};
use crate::counter::Counters;
use crate::epoch::hold::{Hold, HoldReason};
use crate::runtime::current;
use crate::source::reread::Reread;
use crate::state::size::Average;
use crate::time::watermark::{WatermarkTable, minus};

/// Key group of entries that every worker loads.
pub const SHARED_GROUP: u16 = u16::MAX;
/// Key of the operator's own watermark in its state.
const CLOCK_KEY: &[u8] = b"\0clock";
/// Before a name in the keys of the requests to read again; the value is the last one's number.
const REREAD_KEY: &[u8] = b"\0reread/";

/// What an operator with state does. MUST be deterministic in its rows and the context.
pub trait Stateful {
    /// Ends an epoch: takes the rows, emits, and reports every changed entry. Called again for the
    /// same epoch if the turn was over before ([`Close::is_interrupted`]).
    fn close(&mut self, close: &mut Close<'_>);
    /// The answer to [`Asked::ensure_table`] of this close; the epoch ends when all are there.
    fn table_answered(&mut self, close: &mut Close<'_>, id: u64, answer: TableAnswer) {
        let _ = (close, id, answer);
        unreachable!("an operator that asks for tables takes the answers");
    }
    /// Takes back an entry that an earlier close reported.
    fn load(&mut self, group: u16, key: &[u8], value: &[u8]);
    /// Number of entries kept; what they take in memory is estimated from it.
    fn entries(&self) -> usize;
}

/// Makes the logic of one worker.
pub type StatefulFactory = Arc<dyn Fn() -> Box<dyn Stateful> + Send + Sync>;

/// What goes into a stateful operator.
pub(crate) struct StatefulInputs<'s> {
    pub(crate) rows: Vec<RowStream<'s>>,
    pub(crate) times: Vec<TimeStream<'s>>,
    pub(crate) delay_ms: i64,
}

/// What comes out of it.
pub(crate) struct StatefulPorts {
    pub(crate) count: usize,
    /// By port: the sink, where nobody else reads it.
    pub(crate) shortcuts: Vec<Option<Shortcut>>,
}

/// Builds the operator: its row ports and its pieces.
pub(crate) fn stateful<'s>(
    context: &Rc<JobContext>,
    uid: &Arc<str>,
    inputs: StatefulInputs<'s>,
    ports: StatefulPorts,
    logic: Box<dyn Stateful>,
) -> (Vec<RowStream<'s>>, PieceStream<'s>) {
    let scope = inputs.rows[0].scope();
    let outputs = ports.count;
    let mut builder = OperatorBuilder::new(uid.to_string(), scope);
    let mut row_inputs: Vec<_> =
        inputs.rows.into_iter().map(|stream| builder.new_input(stream, Pipeline)).collect();
    let times = scope.concatenate(inputs.times);
    let mut time_input = builder.new_input(times, Pipeline);
    let (row_outputs, streams): (Vec<_>, Vec<_>) =
        (0..outputs).map(|_| builder.new_output::<Vec<Arc<Batch>>>()).unzip();
    type Out<C> = OutputBuilder<u64, CapacityContainerBuilder<C>>;
    let mut row_outputs: Vec<Out<Vec<Arc<Batch>>>> =
        row_outputs.into_iter().map(OutputBuilder::from).collect();
    let (pieces_out, pieces) = builder.new_output::<Vec<Piece>>();
    let mut pieces_out = Out::<Vec<Piece>>::from(pieces_out);

    let mut harness = Harness::new(context, uid, logic, ports, inputs.delay_ms);
    let activator = scope.activator_for(builder.operator_info().address);
    if let Some(load) = harness.load.clone() {
        context.wake(activator, move || load.has_items());
    }
    let again = scope.activator_for(builder.operator_info().address);
    if let Some(desk) = harness.desk.clone() {
        let activator = scope.activator_for(builder.operator_info().address);
        context.wake(activator, move || desk.has_answers());
    }
    builder.build(move |capabilities| {
        if harness.load.is_some() {
            harness.loading = Some(harness.hold(HoldReason::Loading, capabilities));
        }
        move |frontiers| {
            for (index, input) in row_inputs.iter_mut().enumerate() {
                input.for_each(|capability, batches| {
                    let retain = || (0..=outputs).map(|port| capability.retain(port)).collect();
                    let pending = harness.pending(*capability.time(), retain);
                    pending.rows.batches.extend(batches.drain(..).map(|batch| (index, batch)));
                });
            }
            time_input.for_each(|capability, rows| {
                let retain = || (0..=outputs).map(|port| capability.retain(port)).collect();
                harness.pending(*capability.time(), retain).times.append(rows);
            });
            harness.load();
            harness.begin_turn();
            while let Some((pieces, hold)) = harness.next_ended(frontiers) {
                for (port, batch) in harness.output.take() {
                    row_outputs[port].activate().session(hold.port(port)).give(Arc::new(batch));
                }
                pieces_out.activate().session(hold.port(outputs)).give_iterator(pieces.into_iter());
            }
            if let Some((batches, hold)) = harness.interrupted() {
                for (port, batch) in batches {
                    row_outputs[port].activate().session(hold.port(port)).give(Arc::new(batch));
                }
                again.activate();
            }
        }
    });
    (streams, pieces)
}

/// What waits for the close of one epoch.
#[derive(Default)]
struct Pending {
    rows: PendingRows,
    times: Vec<crate::time::watermark::WatermarkRow>,
    hold: Option<Hold>,
}

/// An epoch between its close and its end: there may be answers to wait for.
struct Closing {
    pending: Pending,
    hold: Hold,
    epoch: u64,
    before: i64,
    watermark: i64,
    deltas: Vec<Delta>,
    /// The logic is through with it, but for the answers.
    is_closed: bool,
    /// Answers that are not there yet.
    waiting: usize,
    /// Answers that were "not yet".
    late: u64,
}

struct Harness {
    context: Rc<JobContext>,
    name: OperatorName,
    logic: Box<dyn Stateful>,
    pending: BTreeMap<u64, Pending>,
    table: WatermarkTable,
    delay_ms: i64,
    output: Output,
    counters: Counters,
    load: Option<Arc<LoadQueue>>,
    loading: Option<Hold>,
    desk: Option<Arc<TableDesk>>,
    closing: Option<Closing>,
    turn: Turn,
    average: Average,
}

impl Harness {
    fn new(
        context: &Rc<JobContext>,
        uid: &Arc<str>,
        logic: Box<dyn Stateful>,
        ports: StatefulPorts,
        delay_ms: i64,
    ) -> Self {
        let output = Output::new(ports.count, context.worker.budget.clone());
        Self {
            context: context.clone(),
            name: context.name(uid),
            logic,
            pending: BTreeMap::new(),
            table: WatermarkTable::default(),
            delay_ms,
            output: output.with_shortcuts(ports.shortcuts),
            counters: Counters::new(context.job.clone()),
            load: context.loads.get(uid),
            loading: None,
            desk: context.desks.tables.get(uid).cloned(),
            closing: None,
            turn: Turn::default(),
            average: Average::default(),
        }
    }

    /// Tells how large the state is now.
    fn tell_size(&self) {
        let entries = self.logic.entries() as u64;
        let (size, worker) = ((entries, self.average.of(entries)), self.context.worker.index);
        self.context.worker.sizes.set(&self.name.job, &self.name.uid, worker, size);
    }

    fn hold(
        &self,
        reason: HoldReason,
        capabilities: Vec<timely::dataflow::operators::Capability<u64>>,
    ) -> Hold {
        self.context.worker.hold(&self.name, reason, capabilities)
    }

    fn pending(
        &mut self,
        epoch: u64,
        retain: impl FnOnce() -> Vec<timely::dataflow::operators::Capability<u64>>,
    ) -> &mut Pending {
        let Self { pending, context, name, .. } = self;
        pending.entry(epoch).or_insert_with(|| {
            let hold = context.worker.hold(name, HoldReason::Pending, retain());
            Pending { hold: Some(hold), ..Pending::default() }
        })
    }

    /// Takes a chunk of restored entries, then lets others have their turn: as long as there are
    /// more the operator is woken. Releases the hold of epoch 0 at the end mark.
    fn load(&mut self) {
        let Some(queue) = self.load.clone() else { return };
        if self.loading.is_none() {
            return;
        }
        match queue.take() {
            Some(LoadItem::Entries(chunk)) => {
                chunk.iter().for_each(|(group, key, value)| self.load_entry(group, key, value));
            }
            Some(LoadItem::End) => {
                self.loading = None;
                self.tell_size();
            }
            None => {}
        }
    }

    fn load_entry(&mut self, group: u16, key: &[u8], value: &[u8]) {
        self.average.add(key, value);
        match key.strip_prefix(REREAD_KEY) {
            _ if group != SHARED_GROUP => self.logic.load(group, key, value),
            Some(name) => self.ask_again(name, value),
            None if key == CLOCK_KEY => self.table.restore(decode_clock(value)),
            None => self.logic.load(group, key, value),
        }
    }

    /// Sends a request of an earlier generation: unless the source has begun with it, nobody else
    /// remembers it.
    fn ask_again(&self, name: &[u8], number: &[u8]) {
        let name = std::str::from_utf8(name).expect("written by reread_delta");
        let number = u32::from_be_bytes(number.try_into().expect("written by reread_delta"));
        // An operator that was changed may not ask any more.
        if self.context.desks.rereads.contains_key(&self.name.uid) {
            let mut asked = Asked::default();
            asked.reread(Reread { name: name.into(), number });
            asked.send(&self.name.uid, &self.context.desks);
        }
    }

    /// The first pending epoch that every input has passed.
    fn next_closed(&mut self, frontiers: &[MutableAntichain<u64>]) -> Option<(Pending, Hold)> {
        let (&epoch, _) = self.pending.first_key_value()?;
        let open = self.loading.is_some() || frontiers.iter().any(|f| f.less_equal(&epoch));
        if open {
            return None;
        }
        let mut pending = self.pending.remove(&epoch)?;
        let hold = pending.hold.take().expect("made with its hold");
        Some((pending, hold))
    }

    /// The next epoch that has ended: what goes to the checkpoint, and its hold.
    fn next_ended(&mut self, frontiers: &[MutableAntichain<u64>]) -> Option<(Vec<Piece>, Hold)> {
        let mut closing = match self.closing.take() {
            Some(closing) => closing,
            None => {
                let (pending, hold) = self.next_closed(frontiers)?;
                self.begin_close(pending, hold)
            }
        };
        if !closing.is_closed {
            self.act(&mut closing, |logic, close| logic.close(close));
            closing.is_closed = !self.turn.interrupted;
        }
        if !closing.is_closed {
            closing.hold.because(HoldReason::Budget);
            self.closing = Some(closing);
            return None;
        }
        while let Some((id, answer)) = self.desk.as_ref().and_then(|desk| desk.take()) {
            closing.waiting -= 1;
            closing.late += u64::from(matches!(answer, TableAnswer::Pending(_)));
            self.act(&mut closing, |logic, close| logic.table_answered(close, id, answer));
        }
        if closing.waiting > 0 {
            closing.hold.because(HoldReason::Ddl);
            self.closing = Some(closing);
            return None;
        }
        Some((self.end(&mut closing), closing.hold))
    }

    /// A new activation: as much may be done as the budget says.
    fn begin_turn(&mut self) {
        self.turn.left = self.context.worker.operator_rows;
        self.turn.interrupted = false;
    }

    /// If the turn ended before the close in hand: what it has emitted, and its hold.
    fn interrupted(&mut self) -> Option<(Vec<(usize, Batch)>, &Hold)> {
        let closing = self.closing.as_ref().filter(|closing| !closing.is_closed)?;
        Some((self.output.take_full(), &closing.hold))
    }

    fn begin_close(&mut self, mut pending: Pending, hold: Hold) -> Closing {
        let before = self.table.current();
        let watermark = self.close_time(&mut pending);
        pending.rows.sort();
        let epoch = *hold.port(0).time();
        self.turn.taken = 0;
        Closing {
            pending,
            hold,
            epoch,
            before,
            watermark,
            deltas: Vec::new(),
            is_closed: false,
            waiting: 0,
            late: 0,
        }
    }

    fn act(&mut self, closing: &mut Closing, act: impl FnOnce(&mut dyn Stateful, &mut Close<'_>)) {
        current::enter(&self.name.job, &self.name.uid, closing.epoch);
        self.output.enter(closing.epoch);
        let mut asked = Asked::of(&self.name.uid, closing.epoch, &self.context.desks);
        let mut close = Close {
            epoch: closing.epoch,
            worker: self.context.worker.index,
            stamp_ms: self.context.worker.epochs.borrow().stamp(closing.epoch),
            before: minus(closing.before, self.delay_ms),
            watermark: minus(closing.watermark, self.delay_ms),
            delay_ms: self.delay_ms,
            rows: &closing.pending.rows,
            output: &mut self.output,
            deltas: &mut closing.deltas,
            counters: &mut self.counters,
            asked: &mut asked,
            turn: &mut self.turn,
        };
        act(self.logic.as_mut(), &mut close);
        closing.deltas.extend(asked.rereads().iter().map(reread_delta));
        closing.waiting += asked.send(&self.name.uid, &self.context.desks);
    }

    fn end(&mut self, closing: &mut Closing) -> Vec<Piece> {
        self.desk.iter().for_each(|desk| desk.ended(closing.late));
        let mut deltas = std::mem::take(&mut closing.deltas);
        for delta in &deltas {
            delta.value.iter().for_each(|value| self.average.add(&delta.key, value));
        }
        self.tell_size();
        if closing.watermark != closing.before && self.context.worker.index == 0 {
            deltas.push(clock_delta(closing.watermark));
        }
        let mut pieces = Vec::new();
        if !deltas.is_empty() {
            pieces.push(Piece::State(self.name.uid.clone(), deltas));
        }
        let counts = self.counters.take();
        if !counts.is_empty() {
            pieces.push(Piece::Counters(counts));
        }
        pieces
    }

    /// `W(e)`. An epoch number under which only rows came (its cut bears a later number) leaves the
    /// watermark where it was.
    fn close_time(&mut self, pending: &mut Pending) -> i64 {
        if pending.times.is_empty() {
            return self.table.current();
        }
        pending.times.drain(..).for_each(|row| self.table.set(row));
        self.table.advance()
    }
}

fn reread_delta(request: &Reread) -> Delta {
    let key = [REREAD_KEY, request.name.as_bytes()].concat();
    Delta { group: SHARED_GROUP, key, value: Some(request.number.to_be_bytes().to_vec()) }
}

fn clock_delta(watermark: i64) -> Delta {
    let value = flip(watermark).to_be_bytes().to_vec();
    Delta { group: SHARED_GROUP, key: CLOCK_KEY.to_vec(), value: Some(value) }
}

fn decode_clock(value: &[u8]) -> i64 {
    let bytes = value.try_into().expect("the clock entry is eight bytes");
    unflip(u64::from_be_bytes(bytes))
}
