//! Rows to the outbox: encoded once, before durability, so every attempt to deliver sends the same
//! bytes.
//!
//! Runs on the worker that owns the shard. Rows are encoded as they come, into one open block per
//! epoch and destination; a full block goes to the writer at once, so an epoch may be larger than
//! memory. When the frontier has passed the epoch its open blocks go too, and then the hold.

mod open;
pub(super) mod place;
pub(crate) mod shortcut;
mod too_large;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use self::open::{OpenEpoch, OpenEpochs, Supply};
use self::place::Places;
use self::too_large::{Gauge, TOO_LARGE};
use super::context::{JobContext, OperatorName};
use super::{PieceStream, RowStream};
use crate::batch::Batch;
use crate::batch::buffer::Buffer;
use crate::batch::row::Row;
use crate::checkpoint::piece::Piece;
use crate::checkpoint::writer::{Destination, OpenBlock, WriterItem};
use crate::codec::{Encoder, Verbatim};
use crate::counter::Counters;
use crate::epoch::hold::{Hold, HoldReason};
use crate::graph::plan::{CollectSpec, Feed, FeedTarget};
use crate::outbox::rows::{Op, OutRow, RowWriter};
use crate::runtime::current;

/// Builds the operator around its stage, which operators before it may know as well ([`shortcut`]).
pub(crate) fn collect<'s>(
    uid: &Arc<str>,
    stage: Rc<RefCell<CollectStage>>,
    inputs: Vec<RowStream<'s>>,
) -> PieceStream<'s> {
    let mut builder = OperatorBuilder::new(uid.to_string(), inputs[0].scope());
    let mut inputs: Vec<_> =
        inputs.into_iter().map(|stream| builder.new_input(stream, Pipeline)).collect();
    let (pieces_out, pieces) = builder.new_output::<Vec<Piece>>();
    let mut pieces_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Piece>>>::from(pieces_out);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |frontiers| {
            let mut stage = stage.borrow_mut();
            for (index, input) in inputs.iter_mut().enumerate() {
                input.for_each(|capability, batches| {
                    let epoch = *capability.time();
                    let retain = || vec![capability.retain(0)];
                    stage.open(epoch, retain);
                    batches.drain(..).for_each(|batch| stage.rows(epoch, index, &batch));
                });
            }
            while let Some(epoch) = stage.epochs.first() {
                if frontiers.iter().any(|frontier| frontier.less_equal(&epoch)) {
                    break;
                }
                let (hold, piece) = stage.close(epoch);
                pieces_out.activate().session(hold.port(0)).give_iterator(piece.into_iter());
            }
        }
    });
    pieces
}

/// The blocks of a sink on this worker.
pub(crate) struct CollectStage {
    outlet: Outlet,
    places: Places,
    feeds: Vec<Feed>,
    gauge: Option<Gauge>,
    epochs: OpenEpochs,
    /// By number of the place: bytes that its first block of an epoch is expected to have, so that it
    /// does not grow from nothing in every epoch.
    expected: Vec<usize>,
    key: Vec<u8>,
    value: Vec<u8>,
    counters: Counters,
}

impl CollectStage {
    pub(crate) fn new(context: &Rc<JobContext>, uid: &Arc<str>, spec: &CollectSpec) -> Self {
        let outlet = Outlet { context: context.clone(), name: context.name(uid) };
        Self {
            places: Places::of(&spec.target, outlet.shard()),
            outlet,
            feeds: spec.feeds.clone(),
            gauge: Gauge::of(spec),
            epochs: OpenEpochs::default(),
            expected: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            counters: Counters::new(context.job.clone()),
        }
    }

    fn open(
        &mut self,
        epoch: u64,
        retain: impl FnOnce() -> Vec<timely::dataflow::operators::Capability<u64>>,
    ) {
        let hold = || self.outlet.hold(retain());
        self.epochs.opened(epoch, &mut self.places).hold.get_or_insert_with(hold);
    }

    fn rows(&mut self, epoch: u64, input: usize, batch: &Batch) {
        current::enter(&self.outlet.name.job, &self.outlet.name.uid, epoch);
        let feed = self.feeds[input].clone();
        let verbatim = feed.encoder.verbatim();
        let mut dead = 0;
        for row in batch.rows() {
            dead += u64::from(match verbatim {
                Some(columns) => self.row_verbatim(epoch, feed.to, columns, row),
                None => self.row(epoch, feed.to, feed.encoder.as_ref(), row),
            });
        }
        let open = self.epochs.opened(epoch, &mut self.places);
        open.dead += dead;
        if feed.counted {
            open.results += batch.len() as u64 - dead;
        }
    }

    /// Takes a row whose bytes stand in it; whether it became a dead letter.
    fn row_verbatim(
        &mut self,
        epoch: u64,
        to: FeedTarget,
        Verbatim { key, value }: Verbatim,
        row: Row<'_>,
    ) -> bool {
        let (target, topic) = target_of(to, row);
        let (key, value) = (row.bytes(key), Some(row.bytes(value).unwrap_or_default()));
        let (op, time_ms) = (Op::Insert, row.time());
        self.measure(epoch, &OutRow { target, topic, op, time_ms, key, value, headers: &[] })
    }

    /// Encodes a row; whether it became a dead letter.
    fn row(&mut self, epoch: u64, to: FeedTarget, encoder: &dyn Encoder, row: Row<'_>) -> bool {
        let (target, topic) = target_of(to, row);
        let (mut key_bytes, mut value_bytes) =
            (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        key_bytes.clear();
        value_bytes.clear();
        let keyed = encoder.key(row, &mut key_bytes);
        encoder.value(row, &mut value_bytes);
        let mut headers = Vec::new();
        encoder.headers(row, &mut headers);
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let (key, value) = (keyed.then_some(key_bytes.as_slice()), Some(value_bytes.as_slice()));
        let (op, time_ms) = (Op::Insert, row.time());
        let row = OutRow { target, topic, op, time_ms, key, value, headers: &headers };
        let dead = self.measure(epoch, &row);
        (self.key, self.value) = (key_bytes, value_bytes);
        dead
    }

    /// Writes a row, or what goes instead if it is too large; whether that is a dead letter more.
    fn measure(&mut self, epoch: u64, row: &OutRow<'_>) -> bool {
        let limit = self.gauge.as_ref().and_then(|gauge| gauge.limit(row));
        let Some(limit) = limit else {
            self.write(epoch, row);
            return false;
        };
        let gauge = self.gauge.take().expect("it has just measured the row");
        let dead = gauge.instead(row, limit, |letter| self.write(epoch, letter));
        self.gauge = Some(gauge);
        dead
    }

    fn write(&mut self, epoch: u64, row: &OutRow<'_>) {
        let Self { epochs, places, expected, outlet, .. } = self;
        let open = epochs.opened(epoch, places);
        let place = places.of_row(&open.routes, row);
        let mut supply = Supply { places, expected, outlet };
        open.block(place, row.bytes_at_most(), &mut supply).push(row);
    }

    /// The next epoch is expected to be like this one, and an eighth more.
    fn expect(&mut self, open: &OpenEpoch) {
        let filled = open.blocks.iter().zip(&open.full).enumerate();
        let bytes = filled.map(|(place, (writer, full))| {
            let most = self.places.block_bytes_max(place);
            if *full { most } else { (writer.bytes().len() * 9 / 8).min(most) }
        });
        self.expected.clear();
        self.expected.extend(bytes);
    }

    fn close(&mut self, epoch: u64) -> (Hold, Option<Piece>) {
        let open = self.epochs.remove(epoch).expect("the caller saw it");
        self.expect(&open);
        let filled = open.blocks.into_iter().enumerate().filter(|(_, writer)| !writer.is_empty());
        for (place, writer) in filled {
            self.places.filled(place);
            self.outlet.send(epoch, self.places.destination(place), writer);
        }
        self.counters.add("records_out", open.results);
        self.counters.add_labelled("dirty", ("reason", TOO_LARGE), open.dead);
        let counts = self.counters.take();
        let hold = open.hold.expect("a batch comes before its epoch is passed");
        (hold, (!counts.is_empty()).then_some(Piece::Counters(counts)))
    }
}

/// The way from the stage to the writer.
struct Outlet {
    context: Rc<JobContext>,
    name: OperatorName,
}

impl Outlet {
    fn hold(&self, capabilities: Vec<timely::dataflow::operators::Capability<u64>>) -> Hold {
        self.context.worker.hold(&self.name, HoldReason::Pending, capabilities)
    }

    fn shard(&self) -> u16 {
        u16::try_from(self.context.worker.index).expect("at most 1024 workers")
    }

    /// Memory for a block of so many bytes.
    fn memory(&self, bytes: usize) -> Vec<u8> {
        self.context.worker.budget.memory(bytes)
    }

    fn send(&self, epoch: u64, destination: Destination, writer: RowWriter) {
        let (job, sink) = (self.name.job.clone(), self.name.uid.clone());
        let shard = self.shard();
        let rows = writer.rows();
        let bytes = Buffer::new(writer.into_bytes(), Some(self.context.worker.budget.clone()));
        let block = OpenBlock { job, sink, shard, epoch, destination, rows, bytes };
        self.context.worker.writer.push(WriterItem::Block(block));
    }
}

/// Where in the sink a row goes: a number, or the name of a topic.
fn target_of(to: FeedTarget, row: Row<'_>) -> (u16, Option<&str>) {
    match to {
        FeedTarget::Number(number) => (number, None),
        FeedTarget::Named(column) => (0, Some(name_in(row, column))),
    }
}

/// The name that a row has in this column.
fn name_in<'r>(row: Row<'r>, column: usize) -> &'r str {
    let name = row.bytes(column).map(str::from_utf8);
    name.and_then(Result::ok).expect("rows of a feed by name have the name of a topic")
}
