//! What is kept in memory of what waits, and when it is let go.

use super::*;
use crate::batch::buffer::{Budget, Buffer};
use crate::outbox::block::BlockHeader;

const BLOCK_BYTES: usize = 10;

/// A sink, its deliveries, and the budget its blocks count against.
struct Waiting {
    key: SinkKey,
    deliveries: Deliveries,
    budget: Arc<Budget>,
    /// What the dispatcher holds.
    units: VecDeque<PlannedUnit>,
}

impl Waiting {
    fn new() -> Self {
        let key = SinkKey { job: "j".into(), sink: "out".into(), shard: 0 };
        let budget = Budget::keeping(1_000, 1_000);
        Self { key, deliveries: Deliveries::default(), budget, units: VecDeque::new() }
    }

    /// A block of this epoch, as the writer makes it; whether it is kept.
    fn write(&self, epoch: u64) -> WrittenBlock {
        let reference = BlockRef { file: 0, offset: epoch * 46, length: 46, rows: 1, crc: 0 };
        if self.deliveries.stands_still(&self.key) {
            return reference.into();
        }
        let header = BlockHeader { rows: 1, epoch, sink: 1, shard: 0, base: epoch };
        let bytes = Buffer::new(vec![1; BLOCK_BYTES], Some(self.budget.clone()));
        WrittenBlock::new(reference, header, bytes)
    }

    fn complete(&mut self, epoch: u64, written: WrittenBlock) {
        let block = WaitingBlock { epoch, sequence: 0, written };
        self.deliveries.gather(&self.key, 0, block);
        let SinkKey { job, sink, .. } = self.key.clone();
        let sinks = [SinkRecord { job, sink, op: 1, policy: UnitPolicy::EVERY_EPOCH }];
        let plans = self.deliveries.plan(&sinks, epoch, 0, false);
        self.units.extend(plans.into_iter().map(|(_, unit)| unit));
    }

    fn epoch(&mut self, epoch: u64) {
        let written = self.write(epoch);
        self.complete(epoch, written);
    }

    /// The sink takes the blocks of the oldest unit and has delivered it; whether they were in memory.
    fn deliver(&mut self) -> bool {
        let PlannedUnit { unit, blocks } = self.units.pop_front().expect("one waits");
        let disk = Arc::new(crate::testing::disk::SimDisk::new());
        // Nothing lies on this disk, so what is not in memory cannot be read.
        let read = crate::outbox::blocks::Blocks::written(disk, blocks);
        let in_memory = read.iter().all(|block| block.is_ok());
        self.deliveries.delivered(&self.key, unit.upper);
        in_memory
    }

    fn kept(&self) -> usize {
        usize::try_from(self.budget.kept()).expect("few") / BLOCK_BYTES
    }
}

#[test]
fn a_sink_that_goes_on_gets_its_blocks_from_memory() {
    let mut waiting = Waiting::new();
    for epoch in 1..=50 {
        waiting.epoch(epoch);
        if epoch > 5 {
            assert_eq!(waiting.kept(), 6, "it is five units behind");
            assert!(waiting.deliver(), "epoch {epoch}");
        }
    }
    while !waiting.units.is_empty() {
        assert!(waiting.deliver());
    }
    assert_eq!((waiting.kept(), waiting.budget.live()), (0, 0));
}

#[test]
fn what_is_planned_behind_the_first_unit_is_queued() {
    let mut waiting = Waiting::new();
    let queued = |waiting: &Waiting| {
        let backlogs = waiting.deliveries.backlogs();
        backlogs.iter().map(|one| (one.units, one.bytes, one.queued_bytes)).collect::<Vec<_>>()
    };
    waiting.epoch(1);
    assert_eq!(queued(&waiting), [(1, 46, 0)]);
    waiting.epoch(2);
    waiting.epoch(3);
    assert_eq!(queued(&waiting), [(3, 138, 92)]);
    let block = WaitingBlock { epoch: 4, sequence: 0, written: waiting.write(4) };
    waiting.deliveries.gather(&waiting.key.clone(), 0, block);
    assert_eq!(queued(&waiting), [(3, 184, 92)], "not planned yet");
    waiting.deliver();
    assert_eq!(queued(&waiting), [(2, 138, 46)]);
    waiting.deliver();
    waiting.deliver();
    assert_eq!(queued(&waiting), [(0, 46, 0)]);
}

#[test]
fn a_sink_that_stands_still_keeps_nothing_until_it_delivers() {
    let mut waiting = Waiting::new();
    let late = waiting.write(100);
    for epoch in 1..=KEPT_UNITS_MAX {
        waiting.epoch(epoch);
        assert_eq!(waiting.kept() as u64, epoch + 1, "all of them and the late one");
    }
    waiting.epoch(KEPT_UNITS_MAX + 1);
    assert_eq!(waiting.kept(), 1, "it stands still");
    waiting.epoch(KEPT_UNITS_MAX + 2);
    assert_eq!(waiting.kept(), 1);
    // Written before that was known.
    waiting.complete(100, late);
    assert_eq!(waiting.kept(), 0);
    assert!(!waiting.deliver(), "let go");
    waiting.epoch(101);
    assert_eq!(waiting.kept(), 1, "it goes on");
    while waiting.units.len() > 1 {
        assert!(!waiting.deliver());
    }
    assert!(waiting.deliver());
    assert_eq!((waiting.kept(), waiting.budget.live()), (0, 0));
}

#[test]
fn another_sink_has_the_room_that_was_let_go() {
    let (mut still, mut other) = (Waiting::new(), Waiting::new());
    let budget = Budget::keeping(1_000, 4 * BLOCK_BYTES as u64);
    (still.budget, other.budget) = (budget.clone(), budget);
    for epoch in 1..=KEPT_UNITS_MAX + 1 {
        assert_eq!(still.kept() as u64, (epoch - 1).min(4), "no more than the bound");
        still.epoch(epoch);
    }
    other.epoch(1);
    assert_eq!(other.kept(), 1);
    assert!(other.deliver());
    assert_eq!(other.kept(), 0);
}
