//! A source that reads a topic of the embedded log, up to its marks.
//!
//! Partitions are `<topic>/<number>`, a position is the offset of the next record, and every cut is
//! allowed. One poll reads at most one block (1 MiB, or one large record) of each partition, and no
//! more once it has found records; so while the start is looked for by time, polls are idle though
//! there is more to read. What retention removed is never passed over in silence: a position that
//! is no longer there, or not yet, stops the job.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::batch::build::{RawBuilder, raw_schema};
use engine::batch::schema::Schema;
use engine::checkpoint::disk::Disk;
use engine::checkpoint::layout::topic_dir;
use engine::checkpoint::writer::{TopicMarks, TopicReader};
use engine::clock::Moment;
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::outbox::log::{LogReader, Mark};
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use super::read::{damaged, rows};
use super::unreadable;

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
    open: Vec<Reading>,
    /// Which open partition is asked next.
    turn: usize,
    /// The rest of the block last read.
    ready: VecDeque<SourceBatch>,
    schema: Arc<Schema>,
}

/// One open partition.
struct Reading {
    partition: Partition,
    reader: LogReader,
    /// Offset of the next record.
    next: u64,
    /// Whether that record must be there: a gap before it is a loss.
    exact: bool,
    /// Records before the first one at or after this time are passed over.
    since_ms: Option<i64>,
    ended: bool,
}

impl TopicSource {
    fn new(setup: TopicSourceFactory, visible: Visible, reader: TopicReader) -> Self {
        Self {
            setup,
            visible,
            reader,
            open: Vec::new(),
            turn: 0,
            ready: VecDeque::new(),
            schema: raw_schema(),
        }
    }

    fn reading(&self, partition: &Partition, start: &Start) -> Result<Reading, Fault> {
        let mark = (self.visible)(partition.ordinal).unwrap_or_default();
        let (next, exact, since_ms) = match start {
            Start::Earliest => (0, false, None),
            Start::Latest => (mark.next_base, true, None),
            Start::Timestamp(since_ms) => (0, false, Some(*since_ms)),
            Start::At(position) => (self.saved(partition, position, &mark)?, true, None),
        };
        let dir = topic_dir(&self.setup.topic, partition.ordinal);
        let reader = LogReader::open(self.setup.disk.clone(), &dir, mark, next);
        Ok(Reading { partition: partition.clone(), reader, next, exact, since_ms, ended: false })
    }

    fn saved(&self, partition: &Partition, saved: &Position, mark: &Mark) -> Result<u64, Fault> {
        let offset = saved.as_number().ok_or_else(|| {
            let bytes = saved.0.len();
            Fault::never(format!("position of \"{}\" is no offset: {bytes} bytes", partition.name))
        })?;
        if offset > mark.next_base {
            return Err(lost(partition, offset, &format!("it ends at {}", mark.next_base)));
        }
        Ok(offset)
    }

    /// Reads one block of an open partition into `ready`; says whether its partition ended now.
    fn read(&mut self, index: usize, budget: PollBudget) -> Result<bool, Fault> {
        let reading = &mut self.open[index];
        if reading.ended {
            return Ok(false);
        }
        // The flag first: what became visible before it was set is seen below.
        let last = self.setup.until.as_ref().is_some_and(|until| until.load(Ordering::Acquire));
        let number = reading.partition.ordinal;
        if let Some(mark) = (self.visible)(number) {
            reading.reader.advance_to(mark);
        }
        let block = reading.reader.read();
        let block = block.map_err(|error| unreadable(&self.setup.topic, number, &error))?;
        let Some(block) = block else {
            reading.ended = last;
            return Ok(last);
        };
        if reading.exact && block.header.base > reading.next {
            let first = format!("it begins at {}", block.header.base);
            return Err(lost(&reading.partition, reading.next, &first));
        }
        reading.exact = true;
        let taken = reading.take(&block, budget, &self.schema, &mut self.ready);
        taken.map_err(|reason| damaged(&self.setup.topic, number, &reason))?;
        Ok(false)
    }
}

impl Reading {
    /// Cuts a block into batches within the budget.
    fn take(
        &mut self,
        block: &Block,
        budget: PollBudget,
        schema: &Arc<Schema>,
        ready: &mut VecDeque<SourceBatch>,
    ) -> Result<(), String> {
        let mut rows = rows(block).peekable();
        let new = || RawBuilder::new(schema, self.partition.ordinal);
        let mut builder = new();
        while let Some(row) = rows.next() {
            let (offset, row) = row?;
            let early = self.since_ms.is_some_and(|ms| row.time_ms < ms);
            if offset >= self.next && !early {
                self.since_ms = None;
                builder.push(offset, row.key, row.value);
            }
            self.next = self.next.max(offset + 1);
            let full = builder.len() >= budget.rows || builder.bytes() >= budget.bytes;
            if (full || rows.peek().is_none())
                && let Some(rows) = std::mem::replace(&mut builder, new()).finish()
            {
                let (partition, next) = (self.partition.clone(), Position::of_number(self.next));
                ready.push_back(SourceBatch { partition, rows, next, boundary: true });
            }
        }
        Ok(())
    }
}

fn lost(partition: &Partition, offset: u64, has: &str) -> Fault {
    let message =
        format!("position {offset} of topic partition \"{}\" is lost: {has}", partition.name);
    Fault::never(message).with_hint(
        "retention removed it or the topic was made anew; start the job afresh, or restore the topic",
    )
}

impl Source for TopicSource {
    fn describe(&self) -> Description {
        let (name, bounded) = (self.setup.describe(), self.setup.until.is_some());
        Description { name, replay: Replay::Exact, bounded }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        let partition =
            |ordinal| Partition { name: format!("{}/{ordinal}", self.setup.topic).into(), ordinal };
        Ok(Some((0..self.setup.partitions).map(partition).collect()))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let reading = self.reading(partition, start)?;
        self.reader.passed(partition.ordinal, reading.next);
        self.open.push(reading);
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, _now: Moment) -> Polled {
        for _ in 0..self.open.len() {
            if let Some(batch) = self.ready.pop_front() {
                return Polled::Rows(batch);
            }
            self.turn = (self.turn + 1) % self.open.len();
            match self.read(self.turn, budget) {
                Ok(true) => return Polled::End(self.open[self.turn].partition.clone()),
                Ok(false) => {}
                Err(fault) => return Polled::Fault(fault),
            }
        }
        self.ready.pop_front().map_or(Polled::Idle, Polled::Rows)
    }

    /// What is acknowledged is saved, so no later generation begins before it.
    fn acknowledge(&mut self, positions: &[(Partition, Position)]) {
        for (partition, position) in positions {
            if let Some(offset) = position.as_number() {
                self.reader.passed(partition.ordinal, offset);
            }
        }
    }

    fn close(&mut self) {
        self.open.clear();
        self.ready.clear();
    }
}

#[cfg(test)]
mod tests;
