//! A partition of a topic being read: blocks in order, cut into batches within the budget.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::batch::Batch;
use engine::batch::build::RawBuilder;
use engine::batch::schema::Schema;
use engine::checkpoint::layout::topic_dir;
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::outbox::log::{LogReader, Mark};
use engine::source::PollBudget;

use super::TopicSourceFactory;
use crate::topic::read::{damaged, rows};
use crate::topic::unreadable;

/// Where a partition is being read, live or once more.
pub(super) struct Reading {
    setup: TopicSourceFactory,
    number: u32,
    mark: Mark,
    reader: LogReader,
    /// Offset of the next record.
    pub(super) next: u64,
    /// Records before the first one at or after this time are passed over.
    pub(super) since_ms: Option<i64>,
    /// The rest of the block last read.
    ready: VecDeque<Chunk>,
}

/// Records of one partition in a row.
pub(super) struct Chunk {
    /// The records.
    pub(super) rows: Batch,
    /// Offset after the last of them.
    pub(super) next: u64,
}

/// Which records of a block are wanted, and how they become rows.
pub(super) struct Cut<'a> {
    /// The schema of raw batches.
    pub(super) schema: &'a Arc<Schema>,
    /// Ordinal of the partition that the rows are given as.
    pub(super) ordinal: u32,
    /// What to add to an offset to get the position of its row.
    pub(super) base: u64,
    /// The first offset not wanted.
    pub(super) upto: u64,
    /// How large a batch may be.
    pub(super) budget: PollBudget,
}

impl Cut<'_> {
    /// A builder of the next batch from `next` on, with the memory for as much of the block as the
    /// budget lets it hold: the last row goes over it.
    fn builder(&self, block: &Block, next: u64) -> RawBuilder {
        let end = block.header.base + u64::from(block.header.rows);
        let left = usize::try_from(end.saturating_sub(next)).unwrap_or(usize::MAX);
        let rows = left.min(self.budget.rows);
        let in_block = usize::try_from(block.header.rows).unwrap_or(usize::MAX).max(1);
        let share = block.bytes.len() / in_block * rows;
        RawBuilder::expecting(self.schema, self.ordinal, rows, share.min(self.budget.bytes))
    }
}

impl Reading {
    /// Partition `number`, from the record `next` up to `mark`. Nothing is read yet.
    pub(super) fn open(setup: &TopicSourceFactory, number: u32, next: u64, mark: Mark) -> Self {
        let (setup, ready) = (setup.clone(), VecDeque::new());
        let reader = reader(&setup, number, next, mark);
        Self { setup, number, mark, reader, next, since_ms: None, ready }
    }

    /// Up to where it reads.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Reads on up to a newer mark.
    pub(super) fn advance_to(&mut self, mark: Mark) {
        self.mark = mark;
        self.reader.advance_to(mark);
    }

    /// The next block, or `None` at the mark. It may lie behind `next`, if retention took what was
    /// there before the first block.
    pub(super) fn block(&mut self) -> Result<Option<Block>, Fault> {
        self.reader.read().map_err(|error| unreadable(&self.setup.topic, self.number, &error))
    }

    /// The next block still there, though retention took it while we were reading.
    fn block_left(&mut self) -> Result<Option<Block>, Fault> {
        self.block().or_else(|fault| {
            let mut reader = reader(&self.setup, self.number, self.next, self.mark);
            let block = reader.read().ok().flatten();
            let block = block.filter(|block| block.header.base > self.next).ok_or(fault)?;
            self.reader = reader;
            Ok(Some(block))
        })
    }

    /// What is left of the records wanted, from the oldest one still there; `None` at their end.
    pub(super) fn chunk(&mut self, cut: &Cut<'_>) -> Result<Option<Chunk>, Fault> {
        while self.ready.is_empty() && self.next < cut.upto {
            let Some(block) = self.block_left()? else { break };
            self.cut(&block, cut)?;
        }
        Ok(self.take())
    }

    /// Cuts a block into chunks, to be taken next.
    pub(super) fn cut(&mut self, block: &Block, cut: &Cut<'_>) -> Result<(), Fault> {
        let result = self.cut_rows(block, cut);
        result.map_err(|reason| damaged(&self.setup.topic, self.number, &reason))
    }

    fn cut_rows(&mut self, block: &Block, cut: &Cut<'_>) -> Result<(), String> {
        let mut rows = rows(block).peekable();
        let mut builder = cut.builder(block, self.next);
        while let Some(row) = rows.next() {
            let (offset, row) = row?;
            let early = self.since_ms.is_some_and(|ms| row.time_ms < ms);
            if (self.next..cut.upto).contains(&offset) && !early {
                self.since_ms = None;
                builder.push(cut.base + offset, row.key, row.value);
            }
            self.next = self.next.max(offset + 1);
            let full = builder.len() >= cut.budget.rows || builder.bytes() >= cut.budget.bytes;
            if (full || rows.peek().is_none())
                && let Some(rows) =
                    std::mem::replace(&mut builder, cut.builder(block, self.next)).finish()
            {
                self.ready.push_back(Chunk { rows, next: self.next.min(cut.upto) });
            }
        }
        Ok(())
    }

    /// The next chunk of the block last read.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        self.ready.pop_front()
    }

    /// The position: offset after the last record taken. Records that wait lie behind it.
    pub(super) fn given(&self) -> u64 {
        self.ready.front().map_or(self.next, |chunk| chunk.rows.row(0).order().position)
    }
}

fn reader(setup: &TopicSourceFactory, number: u32, next: u64, mark: Mark) -> LogReader {
    LogReader::open(setup.disk.clone(), &topic_dir(&setup.topic, number), mark, next)
}
