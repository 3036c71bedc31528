//! What is complete and not yet delivered: blocks, planned units, and when to plan the next.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{PlannedUnit, SinkRecord};
use crate::checkpoint::layout::SinkKey;
use crate::checkpoint::restore::Saved;
use crate::limit::KEPT_UNITS_MAX;
use crate::outbox::block::BlockRef;
use crate::outbox::quota::Backlog;
use crate::outbox::written::WrittenBlock;
use crate::sink::{Unit, UnitPolicy};

/// One block that waits.
#[derive(Debug, Clone)]
pub(super) struct WaitingBlock {
    pub(super) epoch: u64,
    pub(super) sequence: u32,
    pub(super) written: WrittenBlock,
}

impl WaitingBlock {
    pub(super) fn reference(&self) -> &BlockRef {
        &self.written.reference
    }
}

/// One sink shard.
#[derive(Debug, Default)]
struct Shard {
    /// Blocks not yet in a unit.
    gathered: Vec<WaitingBlock>,
    /// Stamp of the oldest of them.
    since_ms: i64,
    /// Units under way and their blocks, oldest first.
    units: VecDeque<(Unit, Vec<WaitingBlock>)>,
    /// Bytes of all these blocks.
    bytes: u64,
    /// Units planned since one was last delivered.
    planned: u64,
}

/// What a delivery takes out of the store with the next batch.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) sink: SinkKey,
    pub(super) unit: Unit,
    pub(super) blocks: Vec<WaitingBlock>,
}

/// All sink shards.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    policies: BTreeMap<(Arc<str>, Arc<str>), UnitPolicy>,
    shards: BTreeMap<SinkKey, Shard>,
    retired: Vec<Retired>,
}

impl Deliveries {
    pub(super) fn restore(saved: &Saved) -> Self {
        let mut deliveries = Self::default();
        for (sink, blocks) in &saved.outbox {
            let shard = deliveries.shards.entry(sink.clone()).or_default();
            let units = saved.units.get(sink);
            for unit in units.into_iter().flat_map(BTreeMap::values) {
                shard.units.push_back((unit.clone(), Vec::new()));
            }
            for (&(epoch, sequence), &reference) in blocks {
                let block = WaitingBlock { epoch, sequence, written: reference.into() };
                shard.bytes += u64::from(reference.length);
                let within = |unit: &Unit| (unit.lower..=unit.upper).contains(&epoch);
                match shard.units.iter_mut().find(|(unit, _)| within(unit)) {
                    Some((_, of_unit)) => of_unit.push(block),
                    None => shard.gathered.push(block),
                }
            }
        }
        deliveries
    }

    pub(super) fn add_sinks(&mut self, sinks: &[SinkRecord]) {
        for sink in sinks {
            self.policies.insert((sink.job.clone(), sink.sink.clone()), sink.policy);
        }
    }

    /// Units that were planned by an earlier generation, for the dispatcher of `sink`.
    pub(super) fn planned(saved: &Saved, sink: &SinkKey) -> Vec<PlannedUnit> {
        let restored = Self::restore(saved);
        let shard = restored.shards.get(sink);
        let units = shard.into_iter().flat_map(|shard| shard.units.iter());
        units.map(|(unit, blocks)| planned(unit, blocks)).collect()
    }

    /// Plans what complete epochs have left without a unit. The keys of its rows may belong to other
    /// shards from now on, so it must be delivered before anything new is.
    pub(super) fn plan_rest(saved: &Saved) -> Vec<(SinkKey, Unit)> {
        let rest = |(key, shard): (SinkKey, Shard)| {
            let upper = shard.gathered.last()?.epoch;
            Some((key, unit_of(&shard.gathered, upper)))
        };
        Self::restore(saved).shards.into_iter().filter_map(rest).collect()
    }

    pub(super) fn gather(&mut self, sink: &SinkKey, stamp_ms: i64, block: WaitingBlock) {
        let shard = self.shards.entry(sink.clone()).or_default();
        if shard.gathered.is_empty() {
            shard.since_ms = stamp_ms;
        }
        shard.bytes += u64::from(block.reference().length);
        shard.gathered.push(block);
    }

    /// Plans the units that are due at the close of `epoch`; the caller makes them durable in the
    /// same batch and hands them out after it.
    pub(super) fn plan(
        &mut self,
        sinks: &[SinkRecord],
        epoch: u64,
        stamp_ms: i64,
        flush: bool,
    ) -> Vec<(SinkKey, PlannedUnit)> {
        let mut plans = Vec::new();
        for (key, shard) in &mut self.shards {
            if !sinks.iter().any(|sink| sink.job == key.job && sink.sink == key.sink) {
                continue;
            }
            let policy = self.policies.get(&(key.job.clone(), key.sink.clone()));
            let policy = policy.copied().unwrap_or(UnitPolicy::EVERY_EPOCH);
            if shard.is_due(&policy, epoch, stamp_ms, flush) {
                let blocks = std::mem::take(&mut shard.gathered);
                let unit = unit_of(&blocks, epoch);
                plans.push((key.clone(), planned(&unit, &blocks)));
                shard.units.push_back((unit, blocks));
                shard.planned += 1;
                shard.let_go_if_still();
            }
        }
        plans
    }

    /// A shard has delivered everything up to `upper`.
    pub(super) fn delivered(&mut self, sink: &SinkKey, upper: u64) {
        let Some(shard) = self.shards.get_mut(sink) else { return };
        while let Some((unit, blocks)) = shard.units.pop_front_if(|(unit, _)| unit.upper <= upper) {
            shard.planned = 0;
            shard.bytes -=
                blocks.iter().map(|block| u64::from(block.reference().length)).sum::<u64>();
            self.retired.push(Retired { sink: sink.clone(), unit, blocks });
        }
    }

    /// Whether a block that is written now would be kept for nobody.
    pub(super) fn stands_still(&self, sink: &SinkKey) -> bool {
        self.shards.get(sink).is_some_and(Shard::stands_still)
    }

    pub(super) fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }

    /// The least epoch of these sinks that is complete and not delivered.
    pub(super) fn oldest_undelivered<'a>(
        &self,
        sinks: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>,
    ) -> Option<u64> {
        let sinks: Vec<_> = sinks.collect();
        let of_group =
            |key: &SinkKey| sinks.iter().any(|(job, sink)| **job == key.job && **sink == key.sink);
        let shards = self.shards.iter().filter(|(key, _)| of_group(key));
        // The blocks of a shard come in the order of their epochs.
        shards.filter_map(|(_, shard)| shard.blocks().next().map(|block| block.epoch)).min()
    }

    /// Blocks that are complete and not delivered.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &BlockRef> {
        self.shards.values().flat_map(Shard::blocks).map(WaitingBlock::reference)
    }

    /// What waits for each sink, all its shards together.
    pub(super) fn backlogs(&self) -> Vec<Backlog> {
        let mut backlogs: Vec<Backlog> = Vec::new();
        for (SinkKey { job, sink, .. }, shard) in &self.shards {
            let (units, bytes, queued_bytes) =
                (shard.units.len(), shard.bytes, shard.queued_bytes());
            match backlogs.last_mut().filter(|last| last.job == *job && last.sink == *sink) {
                Some(last) => {
                    last.units += units;
                    last.bytes += bytes;
                    last.queued_bytes += queued_bytes;
                }
                None => {
                    let (job, sink) = (job.clone(), sink.clone());
                    backlogs.push(Backlog { job, sink, units, bytes, queued_bytes });
                }
            }
        }
        backlogs
    }
}

impl Shard {
    /// Whether it has delivered nothing for long.
    fn stands_still(&self) -> bool {
        self.planned > KEPT_UNITS_MAX
    }

    /// To be called when a unit was planned: once it stands still, nothing is kept of that unit, nor of
    /// those before it.
    fn let_go_if_still(&self) {
        let units = match self.planned.checked_sub(KEPT_UNITS_MAX) {
            None | Some(0) => 0,
            Some(1) => self.units.len(),
            Some(_) => 1,
        };
        let blocks = self.units.iter().rev().take(units).flat_map(|(_, blocks)| blocks);
        blocks.for_each(|block| block.written.let_go());
    }

    /// Bytes of planned units that wait behind another.
    fn queued_bytes(&self) -> u64 {
        self.units.iter().skip(1).map(|(unit, _)| unit.bytes).sum()
    }

    fn blocks(&self) -> impl Iterator<Item = &WaitingBlock> {
        self.units.iter().flat_map(|(_, blocks)| blocks).chain(&self.gathered)
    }

    fn is_due(&self, policy: &UnitPolicy, epoch: u64, stamp_ms: i64, flush: bool) -> bool {
        let Some(first) = self.gathered.first() else { return false };
        let rows: u64 = self.gathered.iter().map(|block| u64::from(block.reference().rows)).sum();
        let bytes: u64 =
            self.gathered.iter().map(|block| u64::from(block.reference().length)).sum();
        flush
            || epoch - first.epoch + 1 >= policy.epochs_max
            || rows >= policy.rows_max
            || bytes >= policy.bytes_max
            || stamp_ms - self.since_ms >= policy.interval_ms
    }
}

fn unit_of(blocks: &[WaitingBlock], upper: u64) -> Unit {
    let mut crc = 0;
    for block in blocks {
        crc = crc32c::crc32c_append(crc, &block.reference().crc.to_be_bytes());
    }
    Unit {
        lower: blocks.first().map_or(upper, |block| block.epoch),
        upper,
        rows: blocks.iter().map(|block| u64::from(block.reference().rows)).sum(),
        bytes: blocks.iter().map(|block| u64::from(block.reference().length)).sum(),
        crc,
    }
}

fn planned(unit: &Unit, blocks: &[WaitingBlock]) -> PlannedUnit {
    let blocks = blocks.iter().map(|block| block.written.clone()).collect();
    PlannedUnit { unit: unit.clone(), blocks }
}

#[cfg(test)]
mod tests;
