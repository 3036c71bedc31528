//! Which epochs of which groups are whole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::deliveries::Deliveries;
use super::{Bundle, Closing, Content, EpochBlock, GroupRecord, SinkRecord};
use crate::outbox::block::BlockRef;

/// An epoch that has everything it needs to complete.
pub(super) struct ReadyEpoch {
    pub(super) record: Arc<GroupRecord>,
    pub(super) closing: Closing,
    pub(super) complete_before: Option<u64>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) blocks: Vec<EpochBlock>,
    /// The group's jobs are not yet in the store as they are now.
    pub(super) first: bool,
}

struct Group {
    record: Arc<GroupRecord>,
    complete: Option<u64>,
    /// Whether the jobs as they are now have been written.
    recorded: bool,
    settled: Option<u64>,
    closing: VecDeque<Closing>,
    /// Bundles by epoch.
    bundles: BTreeMap<u64, Vec<Bundle>>,
    /// Blocks in the order of arrival, which is the order of each sender.
    blocks: Vec<EpochBlock>,
}

/// All groups.
pub(super) struct Groups {
    workers: usize,
    saved: BTreeMap<Arc<str>, u64>,
    groups: BTreeMap<Arc<str>, Group>,
    of_job: BTreeMap<Arc<str>, Arc<str>>,
}

impl Groups {
    pub(super) fn new(saved: &BTreeMap<Arc<str>, u64>, workers: usize) -> Self {
        let (groups, of_job) = (BTreeMap::new(), BTreeMap::new());
        Self { workers, saved: saved.clone(), groups, of_job }
    }

    pub(super) fn form(&mut self, record: GroupRecord) {
        let name = record.name.clone();
        for job in &record.jobs {
            self.of_job.insert(job.name.clone(), name.clone());
        }
        let complete = self.saved.get(&name).copied();
        let record = Arc::new(record);
        let group = self.groups.entry(name).or_insert_with(|| Group {
            record: record.clone(),
            complete,
            recorded: false,
            settled: None,
            closing: VecDeque::new(),
            bundles: BTreeMap::new(),
            blocks: Vec::new(),
        });
        group.record = record;
        group.recorded = false;
    }

    pub(super) fn closing(&mut self, closing: Closing) {
        let group = self.groups.get_mut(&closing.group);
        group.expect("a group is formed before it closes").closing.push_back(closing);
    }

    fn group_of(&mut self, job: &Arc<str>) -> &mut Group {
        let name = self.of_job.get(job).expect("a job is in a group before it runs");
        self.groups.get_mut(name).expect("its group was formed")
    }

    pub(super) fn block(&mut self, block: EpochBlock) {
        self.group_of(&block.job).blocks.push(block);
    }

    /// A sink of a job that has been handed over.
    pub(super) fn sink(&mut self, job: &Arc<str>, sink: &Arc<str>) -> &SinkRecord {
        let sinks = &self.group_of(job).record.sinks;
        let found = sinks.iter().find(|record| record.job == *job && record.sink == *sink);
        found.expect("the group record names every sink of its jobs")
    }

    /// Blocks in the outbox whose epochs are not complete.
    pub(super) fn written_blocks(&self) -> impl Iterator<Item = &BlockRef> {
        let blocks = self.groups.values().flat_map(|group| &group.blocks);
        blocks.filter_map(|block| match &block.content {
            Content::Outbox(block) => Some(&block.reference),
            Content::Topic { .. } => None,
        })
    }

    pub(super) fn bundle(&mut self, bundle: Bundle) {
        self.group_of(&bundle.job).bundles.entry(bundle.epoch).or_default().push(bundle);
    }

    /// Takes the next epoch of every group that has all its bundles: they share one batch.
    pub(super) fn take_ready(&mut self) -> Vec<ReadyEpoch> {
        let workers = self.workers;
        self.groups.values_mut().filter_map(|group| group.take_ready(workers)).collect()
    }

    /// Groups of which more has been delivered than was last said.
    pub(super) fn settled(&mut self, deliveries: &Deliveries) -> Vec<(Arc<str>, u64)> {
        let mut news = Vec::new();
        for (name, group) in &mut self.groups {
            let Some(complete) = group.complete else { continue };
            let sinks = group.record.sinks.iter().map(|sink| (&sink.job, &sink.sink));
            let oldest = deliveries.oldest_undelivered(sinks);
            let settled = oldest.map_or(complete, |oldest| complete.min(oldest.saturating_sub(1)));
            if group.settled.is_none_or(|before| before < settled) {
                group.settled = Some(settled);
                news.push((name.clone(), settled));
            }
        }
        news
    }

    pub(super) fn completed(&mut self, name: &Arc<str>, epoch: u64) {
        let group = self.groups.get_mut(name).expect("it was ready a moment ago");
        assert!(group.complete.is_none_or(|before| before < epoch), "epochs complete in order");
        group.complete = Some(epoch);
    }
}

impl Group {
    fn take_ready(&mut self, workers: usize) -> Option<ReadyEpoch> {
        let epoch = self.closing.front()?.epoch;
        let expected = self.record.jobs.len() * workers;
        if self.bundles.get(&epoch).map_or(0, Vec::len) < expected {
            return None;
        }
        let closing = self.closing.pop_front()?;
        // Bundles in a fixed order: the order of arrival is an accident of threads.
        let mut bundles = self.bundles.remove(&epoch)?;
        bundles.sort_by(|a, b| (&a.job, a.worker).cmp(&(&b.job, b.worker)));
        let (mut blocks, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.blocks).into_iter().partition(|block| block.epoch <= epoch);
        self.blocks = later;
        blocks.sort_by(|a, b| {
            (&a.job, &a.sink, a.shard, a.epoch).cmp(&(&b.job, &b.sink, b.shard, b.epoch))
        });
        Some(ReadyEpoch {
            record: self.record.clone(),
            closing,
            complete_before: self.complete,
            bundles,
            blocks,
            first: !std::mem::replace(&mut self.recorded, true),
        })
    }
}
