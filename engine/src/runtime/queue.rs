//! The bounded queue between a source's pump and the source operator of one worker.
//!
//! It has two lanes, live records and what is read again, so that neither waits behind the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::step::Waker;
use crate::checkpoint::piece::PositionRecord;
use crate::limit::REREAD_QUEUE_BYTES;
use crate::source::reread::Reread;
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

/// The controller looks at what was let in once for so many bytes: an epoch that fills memory should end
/// soon after it has its share of it.
const TOLD_BYTES: u64 = 1024 * 1024;

/// An item that was taken out.
struct Popped {
    item: SourceItem,
    /// Whether there is room only now.
    has_room_now: bool,
    /// Whether another [`TOLD_BYTES`] are out with it.
    has_piece_now: bool,
}

/// Items in order.
#[derive(Debug)]
struct Lane {
    items: VecDeque<SourceItem>,
    bytes: u64,
    bytes_max: u64,
    /// Bytes that have been taken out, ever.
    taken: u64,
}

impl Lane {
    fn new(bytes_max: u64) -> Self {
        Self { items: VecDeque::new(), bytes: 0, bytes_max, taken: 0 }
    }

    fn has_room(&self) -> bool {
        self.bytes < self.bytes_max
    }

    fn push(&mut self, item: SourceItem) {
        self.bytes += size_of_item(&item);
        self.items.push_back(item);
    }

    /// The first item, and what that changes.
    fn pop(&mut self) -> Option<Popped> {
        let was_full = !self.has_room();
        let item = self.items.pop_front()?;
        let bytes = size_of_item(&item);
        self.bytes -= bytes;
        let before = self.taken;
        self.taken += bytes;
        let has_room_now = was_full && self.has_room();
        let has_piece_now = before / TOLD_BYTES != self.taken / TOLD_BYTES;
        Some(Popped { item, has_room_now, has_piece_now })
    }
}

#[derive(Debug)]
struct Lanes {
    live: Lane,
    again: Lane,
}

/// How much goes through a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    /// Bytes of live records that wait in it.
    pub(crate) live_bytes: u64,
    /// Rows an epoch takes of what is read again.
    pub(crate) reread_rows: usize,
}

/// Bounded in bytes (the first brake): the pump asks for room before it polls.
#[derive(Debug)]
pub(crate) struct SourceQueue {
    inner: Mutex<Lanes>,
    /// The epoch has taken its share of what is read again.
    wants_cut: AtomicBool,
    /// Nothing is to be taken out for now.
    braked: AtomicBool,
    /// Rows an epoch takes of what is read again.
    pub(crate) reread_rows: usize,
    /// Partitions without saved position begin with a snapshot.
    pub(crate) snapshot: bool,
    wakers: QueueWakers,
}

/// Who waits for a queue.
#[derive(Debug)]
pub(crate) struct QueueWakers {
    /// For items.
    pub(crate) worker: Waker,
    /// For room.
    pub(crate) pump: Waker,
    /// For the end of the input.
    pub(crate) controller: Waker,
}

impl SourceQueue {
    pub(crate) fn new(limits: QueueLimits, snapshot: bool, wakers: QueueWakers) -> Self {
        let QueueLimits { live_bytes, reread_rows } = limits;
        let (live, again) = (Lane::new(live_bytes), Lane::new(REREAD_QUEUE_BYTES));
        let inner = Mutex::new(Lanes { live, again });
        let (wants_cut, braked) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner, wants_cut, braked, reread_rows, snapshot, wakers }
    }

    /// Whether there is room for live records, and for what is read again.
    pub(crate) fn room(&self) -> (bool, bool) {
        let lanes = self.lock();
        (lanes.live.has_room(), lanes.again.has_room())
    }

    pub(crate) fn has_items(&self) -> bool {
        self.has_live() || self.has_again()
    }

    pub(crate) fn has_live(&self) -> bool {
        !self.lock().live.items.is_empty()
    }

    pub(crate) fn has_again(&self) -> bool {
        !self.lock().again.items.is_empty()
    }

    pub(crate) fn push(&self, item: SourceItem) {
        let again = item.is_again();
        let mut lanes = self.lock();
        let lane = if again { &mut lanes.again } else { &mut lanes.live };
        lane.push(item);
        drop(lanes);
        self.wakers.worker.wake();
    }

    /// The next item of the source's own partitions.
    pub(crate) fn take(&self) -> Option<SourceItem> {
        self.taken(self.lock().live.pop())
    }

    /// The next item of extra partitions.
    pub(crate) fn take_again(&self) -> Option<SourceItem> {
        self.taken(self.lock().again.pop())
    }

    fn taken(&self, popped: Option<Popped>) -> Option<SourceItem> {
        let Popped { item, has_room_now, has_piece_now } = popped?;
        if has_room_now {
            self.wakers.pump.wake();
        }
        if has_piece_now || matches!(item, SourceItem::End(_)) {
            self.wakers.controller.wake();
        }
        Some(item)
    }

    /// Bytes of records that the worker has let in since the start.
    pub(crate) fn let_in(&self) -> u64 {
        let lanes = self.lock();
        lanes.live.taken + lanes.again.taken
    }

    /// Asks for the end of the epoch, or takes that back.
    pub(crate) fn want_cut(&self, wants: bool) {
        self.wants_cut.store(wants, Ordering::Release);
    }

    /// Whether the epoch should end, so that more may be read again.
    pub(crate) fn wants_cut(&self) -> bool {
        self.wants_cut.load(Ordering::Acquire)
    }

    /// Lets the worker take nothing out from here on, or goes on.
    pub(crate) fn brake(&self, brakes: bool) {
        self.braked.store(brakes, Ordering::Release);
        if !brakes {
            self.wakers.worker.wake();
        }
    }

    /// Whether nothing is to be taken out, except up to the next boundary.
    pub(crate) fn is_braked(&self) -> bool {
        self.braked.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.inner.lock().expect("nothing panics under this lock")
    }
}

impl SourceItem {
    /// Whether it belongs to an extra partition.
    fn is_again(&self) -> bool {
        let partition = match self {
            Self::Discovered => return false,
            Self::Rows(batch) => &batch.partition,
            Self::Opened(partition, _)
            | Self::Whole(partition, _)
            | Self::Replaced(partition)
            | Self::End(partition) => partition,
        };
        Reread::number_of(partition.ordinal).is_some()
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::batch::build::{RawBuilder, raw_schema};

    fn rows(kib: usize) -> SourceItem {
        let mut rows = RawBuilder::new(&raw_schema(), 0);
        rows.push(0, None, Some(&vec![b'x'; kib << 10]));
        let (rows, next) = (rows.finish().unwrap(), Position::of_number(1));
        let partition = Partition { name: "in/0".into(), ordinal: 0 };
        SourceItem::Rows(SourceBatch { partition, rows, next, boundary: true })
    }

    #[test]
    fn the_controller_looks_once_for_each_piece_that_is_let_in() {
        let mut lane = Lane::new(u64::MAX);
        // A piece has 1024 KiB.
        [600, 600, 10, 2000, 10].into_iter().for_each(|kib| lane.push(rows(kib)));
        let told = std::iter::from_fn(|| lane.pop()).map(|popped| popped.has_piece_now);
        assert_eq!(told.collect::<Vec<_>>(), [false, true, false, true, false]);
    }

    #[test]
    fn a_piece_that_was_let_in_wakes_the_controller() {
        let (told, news) = mpsc::channel();
        let controller = thread::Builder::new().spawn(move || {
            thread::park();
            told.send(()).unwrap();
        });
        let controller = controller.unwrap();
        let wakers = QueueWakers {
            worker: Waker::default(),
            pump: Waker::default(),
            controller: Waker::default(),
        };
        wakers.controller.attach(controller.thread().clone());
        let limits = QueueLimits { live_bytes: u64::MAX, reread_rows: 1 };
        let queue = SourceQueue::new(limits, false, wakers);
        [600, 600].into_iter().for_each(|kib| queue.push(rows(kib)));
        queue.take().unwrap();
        assert!(news.recv_timeout(Duration::from_millis(50)).is_err());
        queue.take().unwrap();
        news.recv_timeout(Duration::from_secs(30)).unwrap();
        controller.join().unwrap();
    }
}
