//! The bounded queue between a source's pump and the source operator of one worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::step::Waker;
use crate::checkpoint::piece::PositionRecord;
use crate::source::{Partition, Position, SourceBatch};

/// What the pump hands over, in order.
#[derive(Debug)]
pub(crate) enum SourceItem {
    /// A partition begins; with what a checkpoint says of it.
    Opened(Partition, Option<PositionRecord>),
    /// All partitions there are at the start have been opened, on this worker or another.
    Discovered,
    /// The snapshot at the beginning of a partition is whole.
    Whole(Partition, Position),
    /// Records.
    Rows(SourceBatch),
    /// Nothing will follow in this partition.
    End(Partition),
    /// Another partition takes the place of this extra one, which was not finished.
    Replaced(Partition),
}

#[derive(Debug, Default)]
struct Queued {
    items: VecDeque<SourceItem>,
    bytes: u64,
}

/// Bounded in bytes (the first brake): the pump asks [`SourceQueue::has_room`] before it polls.
#[derive(Debug)]
pub(crate) struct SourceQueue {
    inner: Mutex<Queued>,
    bytes_max: u64,
    /// Partitions without saved position begin with a snapshot.
    pub(crate) snapshot: bool,
    worker: Waker,
    pump: Waker,
}

impl SourceQueue {
    pub(crate) fn new(bytes_max: u64, snapshot: bool, worker: Waker, pump: Waker) -> Self {
        Self { inner: Mutex::default(), bytes_max, snapshot, worker, pump }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.lock().bytes < self.bytes_max
    }

    pub(crate) fn has_items(&self) -> bool {
        !self.lock().items.is_empty()
    }

    pub(crate) fn push(&self, item: SourceItem) {
        let mut queued = self.lock();
        queued.bytes += size_of_item(&item);
        queued.items.push_back(item);
        drop(queued);
        self.worker.wake();
    }

    pub(crate) fn take(&self) -> Option<SourceItem> {
        let mut queued = self.lock();
        let was_full = queued.bytes >= self.bytes_max;
        let item = queued.items.pop_front()?;
        queued.bytes -= size_of_item(&item);
        let has_room = queued.bytes < self.bytes_max;
        drop(queued);
        if was_full && has_room {
            self.pump.wake();
        }
        Some(item)
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.inner.lock().expect("nothing panics under this lock")
    }
}

fn size_of_item(item: &SourceItem) -> u64 {
    match item {
        SourceItem::Rows(batch) => batch.rows.bytes() as u64,
        SourceItem::Opened(..)
        | SourceItem::Discovered
        | SourceItem::Whole(..)
        | SourceItem::Replaced(_)
        | SourceItem::End(_) => 0,
    }
}
