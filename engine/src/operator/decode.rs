//! Bytes to rows, and the clock of each partition.
//!
//! Sits next to the source operator on the same worker, so it sees the rows of a partition in
//! order. It compares each row with the watermark of its own partition just before it, which makes
//! lateness a function of the partition's order alone, wherever epochs are cut. At a cut it emits
//! the positions (to the checkpoint) and the watermarks (to all workers).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::progress::operate::FrontierInterest;

use super::context::JobContext;
use super::source::{CutPosition, Feed, FeedStream};
use super::{PieceStream, RowStream, TimeStream};
use crate::batch::build::{BatchBuilder, RAW_VALUE, Stamp};
use crate::batch::order::Order;
use crate::batch::row::Row;
use crate::batch::schema::{Kind, Schema};
use crate::batch::{Batch, NO_TIME};
use crate::checkpoint::piece::{Piece, PositionRecord};
use crate::codec::{Decoded, Decoder};
use crate::counter::Counters;
use crate::graph::plan::{RereadFilter, SourceSpec};
use crate::limit::DEAD_LETTER_BYTES_MAX;
use crate::runtime::current;
use crate::source::reread::Reread;
use crate::source::{Partition, Position};
use crate::time::watermark::{MAX, MIN, WatermarkRow};

/// Column of a dead letter: the record's bytes, cut to 64 KiB.
pub const DEAD_VALUE: usize = 0;
/// Column of a dead letter: reason code.
pub const DEAD_REASON: usize = 1;
/// Column of a dead letter: name of the partition.
pub const DEAD_PARTITION: usize = 2;
/// Column of a dead letter: position in the partition.
pub const DEAD_POSITION: usize = 3;

/// Column of the end of a re-reading: its name.
pub const REREAD_NAME: usize = 0;
/// Column of the end of a re-reading: the number of its request.
pub const REREAD_NUMBER: usize = 1;

/// Schema of the ends of what was read again.
pub fn reread_end_schema() -> Arc<Schema> {
    Schema::new("reread_end", &[("name", Kind::Slice), ("number", Kind::Int)])
}

/// Schema of dead letters and of rows too far in the future.
pub fn dead_schema() -> Arc<Schema> {
    Schema::new(
        "dead",
        &[
            ("value", Kind::Slice),
            ("reason", Kind::Slice),
            ("partition", Kind::Slice),
            ("position", Kind::Int),
        ],
    )
}

/// The streams out of a source.
pub(crate) struct DecodedStreams<'s> {
    pub(crate) ports: Vec<RowStream<'s>>,
    pub(crate) times: TimeStream<'s>,
    pub(crate) pieces: PieceStream<'s>,
}

type Rows = Vec<Arc<Batch>>;

/// Builds the operator.
pub(crate) fn decode<'s>(
    context: &Rc<JobContext>,
    uid: &Arc<str>,
    spec: &SourceSpec,
    source_id: u64,
    feed: FeedStream<'s>,
) -> DecodedStreams<'s> {
    let mut builder = OperatorBuilder::new(format!("{uid}.decode"), feed.scope());
    let mut input = builder.new_input(feed, Pipeline);
    let (rows_out, rows) = builder.new_output::<Rows>();
    let (dead_out, dead) = builder.new_output::<Rows>();
    let (future_out, future) = builder.new_output::<Rows>();
    let (reread_out, reread) = builder.new_output::<Rows>();
    let (ends_out, ends) = builder.new_output::<Rows>();
    let (times_out, times) = builder.new_output::<Vec<WatermarkRow>>();
    let (pieces_out, pieces) = builder.new_output::<Vec<Piece>>();
    type Out<C> = OutputBuilder<u64, CapacityContainerBuilder<C>>;
    let mut row_ports: Vec<Out<Rows>> =
        [rows_out, dead_out, future_out, reread_out, ends_out].map(OutputBuilder::from).into();
    let mut times_port = Out::<Vec<WatermarkRow>>::from(times_out);
    let mut pieces_port = Out::<Vec<Piece>>::from(pieces_out);
    builder.set_notify_for(0, FrontierInterest::Never);
    let mut stage = DecodeStage::new(context.clone(), uid.clone(), spec, source_id);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_frontiers| {
            input.for_each(|capability, feeds| {
                let epoch = *capability.time();
                let mut made = Made::default();
                feeds.drain(..).for_each(|feed| stage.take(epoch, feed, &mut made));
                made.pieces.extend(stage.take_counts());
                for (port, batches) in made.rows.iter_mut().enumerate() {
                    let (retained, mut output) =
                        (capability.retain(port), row_ports[port].activate());
                    output.session(&retained).give_iterator(batches.drain(..).map(Arc::new));
                }
                let retained = capability.retain(PORTS);
                times_port.activate().session(&retained).give_iterator(made.times.into_iter());
                let retained = capability.retain(PORTS + 1);
                pieces_port.activate().session(&retained).give_iterator(made.pieces.into_iter());
            });
        }
    });
    let times = if context.worker.peers == 1 { times } else { times.broadcast() };
    DecodedStreams { ports: vec![rows, dead, future, reread, ends], times, pieces }
}

/// Ports with rows.
const PORTS: usize = 5;
const PORT_ROWS: usize = 0;
const PORT_DEAD: usize = 1;
const PORT_FUTURE: usize = 2;
const PORT_REREAD: usize = 3;
const PORT_ENDS: usize = 4;

/// What one activation makes, by port.
#[derive(Default)]
struct Made {
    rows: [Vec<Batch>; PORTS],
    times: Vec<WatermarkRow>,
    pieces: Vec<Piece>,
}

/// The clock of one partition.
#[derive(Debug, Clone)]
struct PartitionClock {
    watermark: i64,
    peak: i64,
    active_at_ms: i64,
    /// Rows came since the last cut.
    active: bool,
}

struct DecodeStage {
    context: Rc<JobContext>,
    uid: Arc<str>,
    source_id: u64,
    decoder: Box<dyn Decoder>,
    bound_ms: i64,
    idle_timeout_ms: i64,
    future_hold_ms: i64,
    future_skew_ms: i64,
    reread: Option<RereadFilter>,
    dead: Arc<Schema>,
    clocks: BTreeMap<Partition, PartitionClock>,
    /// Bytes that the decoder added to each row of the last batch, and an eighth: the next one gets
    /// its memory at once.
    extra_per_row: usize,
    /// The last cut held time back.
    time_held: bool,
    counters: Counters,
}

impl DecodeStage {
    fn new(context: Rc<JobContext>, uid: Arc<str>, spec: &SourceSpec, source_id: u64) -> Self {
        Self {
            counters: Counters::new(context.job.clone()),
            context,
            uid,
            source_id,
            decoder: (spec.decoder)(),
            bound_ms: spec.bound_ms,
            idle_timeout_ms: spec.idle_timeout_ms,
            future_hold_ms: spec.future_hold_ms,
            future_skew_ms: spec.future_skew_ms,
            reread: spec.reread,
            dead: dead_schema(),
            clocks: BTreeMap::new(),
            extra_per_row: 0,
            time_held: false,
        }
    }

    fn take(&mut self, epoch: u64, feed: Feed, made: &mut Made) {
        current::enter(&self.context.job, &self.uid, epoch);
        let stamp = self.context.worker.epochs.borrow().stamp(epoch);
        match feed {
            Feed::Opened(partition, saved) => self.open(partition, saved, stamp),
            Feed::Rows(partition, batch) => match Reread::of(&partition) {
                None => self.rows(&partition, &batch, stamp, made),
                Some(request) => made.rows[PORT_REREAD].extend(self.read_again(&request, &batch)),
            },
            Feed::Reread(request) => made.rows[PORT_ENDS].push(end_of(&request)),
            Feed::Cut(cut) => {
                self.hold_time(cut.undiscovered, made);
                self.cut(cut.partitions, stamp, made);
            }
        }
    }

    fn open(&mut self, partition: Partition, saved: Option<PositionRecord>, stamp: i64) {
        let clock = match saved {
            Some(saved) => PartitionClock {
                watermark: saved.watermark,
                peak: saved.peak,
                active_at_ms: saved.active_at_ms,
                active: false,
            },
            None => {
                PartitionClock { watermark: MIN, peak: MIN, active_at_ms: stamp, active: false }
            }
        };
        self.clocks.insert(partition, clock);
    }

    fn rows(&mut self, partition: &Partition, input: &Batch, stamp: i64, made: &mut Made) {
        self.counters.add("records_in", input.len() as u64);
        let mut rows = BatchBuilder::over(self.decoder.schema(), input);
        rows.reserve(input.len());
        rows.reserve_extra(self.extra_per_row * input.len());
        let mut decoded = Decoded { rows, dead: Vec::new(), counters: &mut self.counters };
        self.decoder.decode(input, &mut decoded);
        let Decoded { rows, dead, .. } = decoded;
        if !dead.is_empty() {
            let letters = dead.iter().map(|dead| (input.row(dead.row), dead.reason));
            made.rows[PORT_DEAD].extend(dead_letters(&self.dead, input, partition, letters));
            for letter in &dead {
                self.counters.add_labelled("dirty", ("reason", letter.reason), 1);
            }
        }
        let budget = input.body.budget();
        let Some(mut batch) = rows.finish(budget.as_ref()) else { return };
        self.extra_per_row = (batch.extra.bytes().len() * 9 / 8).div_ceil(batch.len());
        let early = self.stamp_rows(partition, &mut batch, stamp);
        if early.is_empty() {
            made.rows[PORT_ROWS].push(batch);
            return;
        }
        self.counters.add("future", early.len() as u64);
        let letters = early.iter().map(|row| (raw_row(input, batch.row(*row)), "future"));
        made.rows[PORT_FUTURE].extend(dead_letters(&self.dead, input, partition, letters));
        made.rows[PORT_ROWS].extend(batch.without(&early));
    }

    /// What of `input` the request is about. Nothing is counted and nothing is dead here: all this
    /// was read before.
    fn read_again(&mut self, request: &Reread, input: &Batch) -> Option<Batch> {
        let wanted = self.reread.expect("only a source with a filter is asked to read again");
        let rows = BatchBuilder::over(self.decoder.schema(), input);
        let mut uncounted = Counters::new(self.context.job.clone());
        let mut decoded = Decoded { rows, dead: Vec::new(), counters: &mut uncounted };
        self.decoder.decode(input, &mut decoded);
        let batch = decoded.rows.finish(input.body.budget().as_ref())?;
        let unwanted = |row: &Row<'_>| !wanted(*row, &request.name);
        let skip: Vec<usize> = batch.rows().filter(unwanted).map(|row| row.index()).collect();
        if skip.is_empty() { Some(batch) } else { batch.without(&skip) }
    }

    /// Sets peak and `behind` of each row and moves the partition's watermark; returns the rows
    /// that are too far in the future to be processed.
    fn stamp_rows(&mut self, partition: &Partition, batch: &mut Batch, stamp: i64) -> Vec<usize> {
        let clock = self.clocks.get_mut(partition).expect("opened before its rows");
        clock.active = true;
        let mut early = Vec::new();
        for index in 0..batch.len() {
            let time = batch.heads[index].time;
            if time <= clock.watermark && clock.watermark != MIN {
                let behind = batch.behind.get_or_insert_with(|| vec![MIN; batch.heads.len()]);
                behind[index] = clock.watermark;
            }
            let ahead = time.saturating_sub(stamp);
            if ahead > self.future_skew_ms {
                early.push(index);
            } else if ahead > self.future_hold_ms {
                self.counters.add("future_time", 1);
            } else {
                clock.peak = clock.peak.max(time);
                clock.watermark = clock.watermark.max(time.saturating_sub(self.bound_ms + 1));
            }
            batch.heads[index].order.peak = clock.peak;
        }
        early
    }

    /// Until this worker knows its partitions, time stands still for all: one that has not spoken
    /// holds it back, and it must not matter who is asked first.
    fn hold_time(&mut self, undiscovered: bool, made: &mut Made) {
        if undiscovered || std::mem::take(&mut self.time_held) {
            let worker = u32::try_from(self.context.worker.index).expect("at most 1024 workers");
            made.times.push(WatermarkRow {
                source: self.source_id,
                partition: u32::MAX - worker,
                watermark: MIN,
                idle: !undiscovered,
            });
        }
        self.time_held = undiscovered;
    }

    fn cut(&mut self, partitions: Vec<CutPosition>, stamp: i64, made: &mut Made) {
        let mut records = Vec::with_capacity(partitions.len());
        for cut in partitions {
            let clock = self.clocks.get_mut(&cut.partition).expect("opened before the cut");
            if std::mem::take(&mut clock.active) {
                clock.active_at_ms = stamp;
            }
            // What is read again says nothing about time.
            if Reread::of(&cut.partition).is_some() {
                let position = cut.position.map(|at| clock.record(cut.partition, at, true));
                records.extend(position);
                continue;
            }
            let silent = stamp.saturating_sub(clock.active_at_ms);
            let idle = self.idle_timeout_ms > 0 && silent >= self.idle_timeout_ms && !cut.ended;
            made.times.push(WatermarkRow {
                source: self.source_id,
                partition: cut.partition.ordinal,
                // The end is a property of this run; the saved watermark stays what rows made it.
                watermark: if cut.ended { MAX } else { clock.watermark },
                idle,
            });
            if let Some(position) = cut.position {
                records.push(clock.record(cut.partition, position, idle));
            }
        }
        made.pieces.push(Piece::Positions(self.uid.clone(), records));
    }

    fn take_counts(&mut self) -> Option<Piece> {
        let counts = self.counters.take();
        (!counts.is_empty()).then_some(Piece::Counters(counts))
    }
}

fn end_of(request: &Reread) -> Batch {
    let mut builder = BatchBuilder::new(&reread_end_schema());
    builder.begin();
    let name = builder.append(request.name.as_bytes());
    builder.slice(REREAD_NAME, name);
    builder.int(REREAD_NUMBER, Some(i64::from(request.number)));
    let order = Order { peak: 0, partition: 0, position: 0 };
    builder.end(Stamp { time: NO_TIME, order, behind: None });
    builder.finish(None).expect("one row")
}

impl PartitionClock {
    fn record(&self, partition: Partition, position: Position, idle: bool) -> PositionRecord {
        PositionRecord {
            partition,
            position,
            watermark: self.watermark,
            peak: self.peak,
            active_at_ms: self.active_at_ms,
            idle,
        }
    }
}

fn dead_letters<'a>(
    schema: &Arc<Schema>,
    input: &Batch,
    partition: &Partition,
    letters: impl Iterator<Item = (Row<'a>, &'static str)>,
) -> Option<Batch> {
    let mut builder = BatchBuilder::new(schema);
    for (row, reason) in letters {
        let value = row.bytes(RAW_VALUE).unwrap_or_default();
        let kept = value.len().min(DEAD_LETTER_BYTES_MAX);
        builder.begin();
        let value = builder.append(&value[..kept]);
        let reason = builder.append(reason.as_bytes());
        let name = builder.append(partition.name.as_bytes());
        for (column, slice) in [(DEAD_VALUE, value), (DEAD_REASON, reason), (DEAD_PARTITION, name)]
        {
            builder.slice(column, slice);
        }
        builder.int(DEAD_POSITION, i64::try_from(row.order().position).ok());
        builder.end(Stamp::of(row));
    }
    builder.finish(input.body.budget().as_ref())
}

/// The record that `row` was decoded from.
fn raw_row<'a>(input: &'a Batch, row: Row<'_>) -> Row<'a> {
    let same = |raw: &Row<'_>| raw.order().position == row.order().position;
    input.rows().find(same).expect("a decoded row keeps the position of its record")
}

impl Batch {
    /// This batch without the rows in `skip` (ascending); `None` if none is left.
    fn without(&self, skip: &[usize]) -> Option<Self> {
        let mut builder = BatchBuilder::new(&self.schema);
        for (index, row) in self.rows().enumerate() {
            if skip.binary_search(&index).is_err() {
                builder.copy(row);
            }
        }
        builder.finish(self.body.budget().as_ref())
    }
}
