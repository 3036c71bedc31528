//! A source that reads a topic of the embedded log, up to its marks.
//!
//! Partitions are `<topic>/<number>`, a position is the offset of the next record, and every cut is
//! allowed. One poll reads at most one block (1 MiB, or one large record) of each partition, and no
//! more once it has found records; so while the start is looked for by time, polls are idle though
//! there is more to read. What retention removed is never passed over in silence: a position that
//! is no longer there, or not yet, stops the job, or is told as a fault where it shall go on without
//! what is missing. Only what is read again begins with what is left.
//!
//! A topic may be a snapshot: then what was visible of a partition when it was opened lies in one
//! epoch, so it has to fit into memory.

mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::batch::build::raw_schema;
use engine::batch::schema::Schema;
use engine::checkpoint::disk::Disk;
use engine::checkpoint::writer::{TopicMarks, TopicReader};
use engine::clock::Moment;
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::outbox::log::Mark;
use engine::source::reread::{Reread, RereadPart};
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use crate::kafka::config::OnLostPosition;
use crate::reread::{Rereads, damaged};
use reading::{Chunk, Cut, Reading};

/// Makes sources of one topic.
#[derive(Clone)]
pub struct TopicSourceFactory {
    /// Name of the topic.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: u32,
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// What is visible.
    pub marks: TopicMarks,
    /// If there is one, the source is bounded: once the flag is set (after the last mark) and all
    /// that is visible has been read, every partition ends.
    pub until: Option<Arc<AtomicBool>>,
    /// Whether what is visible of a partition when it is opened is a snapshot, of which no part may
    /// be seen without the rest.
    pub snapshot: bool,
    /// What to do about a position that is no longer there.
    pub on_lost_position: OnLostPosition,
}

impl SourceFactory for TopicSourceFactory {
    fn describe(&self) -> String {
        format!("embedded topic \"{}\"", self.topic)
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        let (marks, topic) = (self.marks.clone(), self.topic.clone());
        let reader = marks.reader(&topic);
        let visible = Box::new(move |partition| marks.get(&topic, partition));
        Ok(Box::new(TopicSource::new(self.clone(), visible, reader)))
    }
}

/// The visible end of a partition by its number.
type Visible = Box<dyn Fn(u32) -> Option<Mark> + Send>;

struct TopicSource {
    setup: TopicSourceFactory,
    visible: Visible,
    /// Keeps retention from what we may still read.
    reader: TopicReader,
    open: Vec<Live>,
    /// Which open partition is asked next.
    next: usize,
    rereads: Rereads<Reading>,
    /// Losses that are still to be told.
    faults: VecDeque<Fault>,
    schema: Arc<Schema>,
}

/// One open partition.
struct Live {
    partition: Partition,
    reading: Reading,
    /// Whether the next record must be there: a gap before it is a loss.
    exact: bool,
    /// Where the snapshot ends that the partition begins with, until it is whole. What begins at the
    /// end has an empty one.
    whole_at: Option<u64>,
    ended: bool,
}

impl TopicSource {
    fn new(setup: TopicSourceFactory, visible: Visible, reader: TopicReader) -> Self {
        Self {
            setup,
            visible,
            reader,
            open: Vec::new(),
            next: 0,
            rereads: Rereads::new(),
            faults: VecDeque::new(),
            schema: raw_schema(),
        }
    }

    fn live(&mut self, partition: &Partition, start: &Start) -> Result<Live, Fault> {
        let mark = (self.visible)(partition.ordinal).unwrap_or_default();
        let (next, exact, since_ms) = match start {
            Start::Earliest => (0, false, None),
            Start::Latest => (mark.next_base, true, None),
            Start::Timestamp(since_ms) => (0, false, Some(*since_ms)),
            Start::At(position) => match saved(partition, position)? {
                next if next <= mark.next_base => (next, true, None),
                next => {
                    let has = format!("it ends at {}", mark.next_base);
                    (self.go_on(lost(partition, next, &has), &mark)?, false, None)
                }
            },
        };
        let mut reading = Reading::open(&self.setup, partition.ordinal, next, mark);
        reading.since_ms = since_ms;
        let snapshot = self.setup.snapshot && !matches!(start, Start::At(_));
        // Where the end was is told as a position, too: without records it would be another one
        // after a restart.
        let whole_at = (snapshot || *start == Start::Latest).then_some(mark.next_base);
        Ok(Live { partition: partition.clone(), reading, exact, whole_at, ended: false })
    }

    /// Where to go on after this loss, which is told; or the fault that stops the job.
    fn go_on(&mut self, lost: Fault, mark: &Mark) -> Result<u64, Fault> {
        let (next, words) = match self.setup.on_lost_position {
            OnLostPosition::Stop => return Err(lost),
            OnLostPosition::Earliest => (0, "at the oldest record"),
            OnLostPosition::Latest => (mark.next_base, "after the newest record"),
        };
        self.faults.push_back(Fault::later(format!("{}; going on {words}", lost.message)));
        Ok(next)
    }

    /// Reads one block of an open partition, and gives the first records of it.
    fn read(&mut self, index: usize, budget: PollBudget) -> Result<Polled, Fault> {
        let live = &mut self.open[index];
        if live.ended {
            return Ok(Polled::Idle);
        }
        // The flag first: what became visible before it was set is seen below.
        let last = self.setup.until.as_ref().is_some_and(|until| until.load(Ordering::Acquire));
        if let Some(mark) = (self.visible)(live.partition.ordinal) {
            live.reading.advance_to(mark);
        }
        if let Some(whole) = live.whole(live.reading.next) {
            return Ok(whole);
        }
        let Some(block) = live.reading.block()? else { return Ok(live.at_mark(last)) };
        if let Some(lost) = live.gap(&block) {
            let (ordinal, mark) = (live.partition.ordinal, live.reading.mark());
            let next = self.go_on(lost, &mark)?;
            let live = &mut self.open[index];
            live.exact = false;
            if next > block.header.base {
                live.reading = Reading::open(&self.setup, ordinal, next, mark);
                return Ok(Polled::Idle);
            }
        }
        self.open[index].cut(&block, budget, &self.schema)
    }

    /// Records of the re-reading under way; `None` at its end.
    fn read_again(&mut self, budget: PollBudget) -> Result<Option<SourceBatch>, Fault> {
        while let Some(rereading) = self.rereads.first() {
            let Some(part) = rereading.part() else { break };
            let numbers = part.next.as_number().zip(part.upto.as_number());
            let Some((next, upto)) = numbers else {
                return Err(damaged(rereading.partition()));
            };
            let mark = (self.visible)(part.ordinal).unwrap_or_default();
            let (ordinal, base) = (rereading.partition().ordinal, rereading.base());
            let open = || Reading::open(&self.setup, part.ordinal, next, mark);
            let reading = rereading.reader.get_or_insert_with(open);
            reading.advance_to(mark);
            match reading.chunk(&Cut { schema: &self.schema, ordinal, base, upto, budget })? {
                Some(Chunk { rows, next }) => {
                    return Ok(Some(rereading.batch(rows, Position::of_number(next))));
                }
                None => rereading.finish_part(),
            }
        }
        Ok(None)
    }
}

impl Live {
    /// What is missing before this block.
    fn gap(&self, block: &Block) -> Option<Fault> {
        let base = block.header.base;
        let gap = self.exact && base > self.reading.next;
        gap.then(|| lost(&self.partition, self.reading.next, &format!("it begins at {base}")))
    }

    fn cut(
        &mut self,
        block: &Block,
        budget: PollBudget,
        schema: &Arc<Schema>,
    ) -> Result<Polled, Fault> {
        self.exact = true;
        let ordinal = self.partition.ordinal;
        self.reading.cut(block, &Cut { schema, ordinal, base: 0, upto: u64::MAX, budget })?;
        Ok(self.reading.take().map_or(Polled::Idle, |chunk| self.batch(chunk)))
    }

    fn batch(&self, chunk: Chunk) -> Polled {
        let (partition, next) = (self.partition.clone(), Position::of_number(chunk.next));
        let boundary = self.whole_at.is_none();
        Polled::Rows(SourceBatch { partition, rows: chunk.rows, next, boundary })
    }

    /// Says that the snapshot is whole, once, if everything before `next` has been given.
    fn whole(&mut self, next: u64) -> Option<Polled> {
        let at = self.whole_at.take_if(|at| *at <= next)?;
        Some(Polled::Whole(self.partition.clone(), Position::of_number(at)))
    }

    /// Nothing more is visible, and nothing more will be if this is the `last` of it. What is
    /// missing at the end of a snapshot was removed by retention.
    fn at_mark(&mut self, last: bool) -> Polled {
        if let Some(whole) = self.whole(u64::MAX) {
            return whole;
        }
        self.ended = last;
        if last { Polled::End(self.partition.clone()) } else { Polled::Idle }
    }
}

/// A saved position, if it can be one of a topic.
fn saved(partition: &Partition, saved: &Position) -> Result<u64, Fault> {
    saved.as_number().ok_or_else(|| {
        let bytes = saved.0.len();
        Fault::never(format!("position of \"{}\" is no offset: {bytes} bytes", partition.name))
    })
}

fn lost(partition: &Partition, offset: u64, has: &str) -> Fault {
    let message =
        format!("position {offset} of topic partition \"{}\" is lost: {has}", partition.name);
    Fault::never(message).with_hint(
        "retention removed it or the topic was made anew; on-lost-position = earliest or latest goes \
         on without what is missing",
    )
}

impl Source for TopicSource {
    fn describe(&self) -> Description {
        let (name, bounded) = (self.setup.describe(), self.setup.until.is_some());
        Description { name, replay: Replay::Exact, bounded, snapshot: self.setup.snapshot }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        let partition =
            |ordinal| Partition { name: format!("{}/{ordinal}", self.setup.topic).into(), ordinal };
        Ok(Some((0..self.setup.partitions).map(partition).collect()))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let live = self.live(partition, start)?;
        self.reader.passed(partition.ordinal, live.reading.next);
        self.open.push(live);
        Ok(())
    }

    fn reread(&mut self, request: &Reread, saved: Option<&Position>) -> Result<(), Fault> {
        let whole = |live: &Live| RereadPart {
            ordinal: live.partition.ordinal,
            next: Position::of_number(0),
            upto: Position::of_number(live.reading.given()),
        };
        self.rereads.begin(request, saved, || self.open.iter().map(whole).collect())
    }

    fn poll(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        if let Some(fault) = self.faults.pop_front() {
            return Polled::Fault(fault);
        }
        for _ in 0..self.open.len() {
            let live = &mut self.open[self.next];
            if let Some(chunk) = live.reading.take() {
                return live.batch(chunk);
            }
            self.next = (self.next + 1) % self.open.len();
            match self.read(self.next, budget) {
                Ok(Polled::Idle) => {}
                Ok(polled) => return polled,
                Err(fault) => return Polled::Fault(fault),
            }
        }
        Polled::Idle
    }

    fn poll_again(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        match self.read_again(budget) {
            Ok(Some(batch)) => Polled::Rows(batch),
            Ok(None) => self.rereads.end(),
            Err(fault) => Polled::Fault(fault),
        }
    }

    /// What is acknowledged is saved, so no later generation begins before it.
    fn acknowledge(&mut self, positions: &[(Partition, Position)]) {
        for (partition, position) in positions {
            // Not an extra partition: it is read again from what is left.
            let live = self.open.iter().any(|live| live.partition == *partition);
            if let (true, Some(offset)) = (live, position.as_number()) {
                self.reader.passed(partition.ordinal, offset);
            }
        }
    }

    fn close(&mut self) {
        self.open.clear();
        self.rereads = Rereads::new();
    }
}

#[cfg(test)]
mod tests;
