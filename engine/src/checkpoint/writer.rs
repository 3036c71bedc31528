//! The writer: makes epochs durable, one atomic batch each.
//!
//! It waits until every job of a group has handed over its bundle from every worker, then: appends
//! the epoch's blocks, appends the close mark, syncs the logs; commits one synced batch; and only
//! then publishes. An error of disk or store ends the process: nothing was published, so the next
//! generation goes on from the last complete epoch.

mod commit;
mod deliveries;
mod groups;
mod logs;
mod readers;
mod topic_log;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use self::deliveries::Deliveries;
use self::groups::Groups;
use self::logs::Logs;
use self::readers::Readers;
use super::bundle::Bundle;
use super::disk::Disk;
use super::layout::{self, SinkKey, space};
use super::restore::Saved;
use crate::batch::buffer::Buffer;
use crate::clock::Moment;
use crate::control::event::ControlEvent;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::Fatal;
use crate::outbox::block::BlockHeader;
use crate::outbox::log::{LogOptions, Mark};
use crate::outbox::quota::Backlog;
use crate::outbox::written::WrittenBlock;
use crate::runtime::step::{Inbox, Machine, Step, Waker};
use crate::sink::{Unit, UnitPolicy};
use crate::state::backend::{StateBackend, StateBatch};

pub use self::readers::TopicReader;

/// How much of embedded topics is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of each partition above which its oldest files go; 0 = all is kept.
    pub bytes: u64,
    /// The same for topics of their own.
    pub by_topic: BTreeMap<String, u64>,
}

impl Retention {
    /// Bytes kept of each partition of `topic`.
    fn of(&self, topic: &str) -> Option<u64> {
        let bytes = self.by_topic.get(topic).copied().unwrap_or(self.bytes);
        (bytes > 0).then_some(bytes)
    }
}

/// Where a block goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the outbox, to be delivered.
    Outbox,
    /// To a partition of an embedded topic, where it stays.
    Topic {
        /// Name of the topic; it need not have been there before.
        topic: Arc<str>,
        /// Partition.
        partition: u32,
    },
}

/// Encoded rows that are not yet in a log.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    pub(crate) job: Arc<str>,
    pub(crate) sink: Arc<str>,
    pub(crate) shard: u16,
    pub(crate) epoch: u64,
    pub(crate) destination: Destination,
    pub(crate) rows: u32,
    /// Counts against the in-flight budget until it is in a log.
    pub(crate) bytes: Buffer,
}

/// A block of an epoch that is not complete.
struct EpochBlock {
    job: Arc<str>,
    sink: Arc<str>,
    shard: u16,
    epoch: u64,
    rows: u32,
    content: Content,
}

/// Where the rows of a block are.
enum Content {
    /// In the outbox.
    Outbox(WrittenBlock),
    /// Still in memory, for this topic.
    Topic { topic: Arc<str>, partition: u32, bytes: Buffer },
}

/// A sink as the writer sees it.
#[derive(Debug, Clone)]
pub(crate) struct SinkRecord {
    pub(crate) job: Arc<str>,
    pub(crate) sink: Arc<str>,
    pub(crate) op: u32,
    pub(crate) policy: UnitPolicy,
}

/// A job as the writer sees it.
#[derive(Debug, Clone)]
pub(crate) struct JobRecord {
    pub(crate) name: Arc<str>,
    pub(crate) plan_hash: u64,
    pub(crate) ops: BTreeMap<Arc<str>, u32>,
    pub(crate) shapes: BTreeMap<Arc<str>, u64>,
}

/// A group that has been formed, and what is needed to complete its epochs.
#[derive(Debug, Clone)]
pub(crate) struct GroupRecord {
    pub(crate) name: Arc<str>,
    pub(crate) jobs: Vec<JobRecord>,
    pub(crate) sinks: Vec<SinkRecord>,
}

/// An epoch that was ordered to close.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    pub(crate) group: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) stamp_ms: i64,
    /// Plan units even where the policy would wait: somebody waits for delivery.
    pub(crate) flush: bool,
}

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum WriterItem {
    Group(GroupRecord),
    Closing(Closing),
    Block(OpenBlock),
    Bundle(Bundle),
    Delivered(SinkKey, u64),
}

/// The way to the writer.
pub(crate) type WriterInbox = Inbox<WriterItem>;

/// A unit ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct PlannedUnit {
    pub(crate) unit: Unit,
    pub(crate) blocks: Arc<[WrittenBlock]>,
}

/// The ways to the dispatchers.
pub(crate) type UnitInboxes = Arc<Mutex<BTreeMap<SinkKey, Inbox<PlannedUnit>>>>;

/// What the writer and the topic sources of this process know of each other: visible ends of
/// embedded topics, and how far they are read.
#[derive(Debug, Clone, Default)]
pub struct TopicMarks {
    marks: Arc<Mutex<BTreeMap<(Arc<str>, u32), Mark>>>,
    readers: Readers,
}

impl TopicMarks {
    /// The visible end of a partition; `None` if nothing was ever written to it.
    pub fn get(&self, topic: &str, partition: u32) -> Option<Mark> {
        self.lock().get(&(topic.into(), partition)).copied()
    }

    /// All partitions, sorted.
    pub fn all(&self) -> Vec<((Arc<str>, u32), Mark)> {
        self.lock().iter().map(|(key, mark)| (key.clone(), *mark)).collect()
    }

    /// A reader of this topic: what it has not passed is not removed while the process lives.
    pub fn reader(&self, topic: &str) -> TopicReader {
        self.readers.add(topic)
    }

    pub(crate) fn set(&self, marks: impl IntoIterator<Item = ((Arc<str>, u32), Mark)>) {
        self.lock().extend(marks);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Arc<str>, u32), Mark>> {
        self.marks.lock().expect("nothing panics under this lock")
    }
}

/// Gauges of the writer, for `status`.
#[derive(Debug, Clone, Default)]
pub struct WriterGauges {
    /// All counters, as of the last complete epochs.
    pub counters: BTreeMap<Vec<u8>, u64>,
    /// What is undelivered, by sink.
    pub backlogs: Vec<Backlog>,
    /// Bytes in the outbox.
    pub outbox_bytes: u64,
}

/// What the writer is made of.
pub(crate) struct WriterSetup {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) inbox: WriterInbox,
    pub(crate) waker: Waker,
    pub(crate) events: Inbox<ControlEvent>,
    pub(crate) units: UnitInboxes,
    pub(crate) topics: TopicMarks,
    pub(crate) gauges: Arc<Mutex<WriterGauges>>,
    pub(crate) generation: u64,
    pub(crate) workers: usize,
    pub(crate) log_options: LogOptions,
    pub(crate) retention: Retention,
    pub(crate) points: CrashPoints,
}

/// The machine.
pub(crate) struct Writer {
    setup: WriterSetup,
    logs: Logs,
    groups: Groups,
    deliveries: Deliveries,
    counters: BTreeMap<Vec<u8>, u64>,
}

impl Writer {
    /// Opens the logs where the checkpoint left them and takes over what is undelivered.
    pub(crate) fn open(setup: WriterSetup, saved: &Saved) -> Result<Self, Fatal> {
        setup.topics.readers.begin();
        let (disk, retention) = (setup.disk.clone(), setup.retention.clone());
        let logs = Logs::open(disk, setup.log_options, retention, saved)?;
        setup.topics.set(saved.topics.iter().map(|(key, mark)| (key.clone(), *mark)));
        let deliveries = Deliveries::restore(saved);
        let groups = Groups::new(&saved.complete, setup.workers);
        let counters = saved.counters.clone();
        let writer = Self { setup, logs, groups, deliveries, counters };
        writer.publish_counters();
        writer.publish_outbox();
        Ok(writer)
    }

    fn take(&mut self, item: WriterItem) -> Result<(), Fatal> {
        match item {
            WriterItem::Group(record) => {
                self.deliveries.add_sinks(&record.sinks);
                self.groups.form(record);
            }
            WriterItem::Closing(closing) => self.groups.closing(closing),
            WriterItem::Block(block) => {
                let block = self.write_early(block)?;
                self.groups.block(block);
            }
            WriterItem::Bundle(bundle) => self.groups.bundle(bundle),
            WriterItem::Delivered(sink, upper) => self.deliveries.delivered(&sink, upper),
        }
        Ok(())
    }

    /// Writes a block of the outbox as soon as it is full, so that an epoch may give more than fits
    /// into memory. Nobody sees it until the checkpoint refers to it. A block of a topic has to wait
    /// for its epoch: the mark of an earlier one would show it.
    ///
    /// Its bytes stay for its sink where there is room, and no longer count against the budget.
    fn write_early(&mut self, block: OpenBlock) -> Result<EpochBlock, Fatal> {
        let OpenBlock { job, sink, shard, epoch, destination, rows, bytes } = block;
        let content = match destination {
            Destination::Topic { topic, partition } => Content::Topic { topic, partition, bytes },
            Destination::Outbox => {
                let op = self.groups.sink(&job, &sink).op;
                let base = self.logs.outbox_base();
                let header = BlockHeader { rows, epoch, sink: op, shard, base };
                self.setup.points.pass(CrashPoint::BeforeBlock)?;
                let reference = self.logs.append_outbox(header, bytes.bytes())?;
                self.setup.points.pass(CrashPoint::BlockWritten)?;
                let of = SinkKey { job: job.clone(), sink: sink.clone(), shard };
                Content::Outbox(match self.deliveries.stands_still(&of) {
                    true => reference.into(),
                    false => WrittenBlock::new(reference, header, bytes),
                })
            }
        };
        Ok(EpochBlock { job, sink, shard, epoch, rows, content })
    }

    /// Tells the controller what has been delivered since it was last told.
    fn report_settled(&mut self) {
        for (group, epoch) in self.groups.settled(&self.deliveries) {
            self.setup.events.push(ControlEvent::Settled { group, epoch });
        }
    }

    fn publish_counters(&self) {
        let mut gauges = self.setup.gauges.lock().expect("nothing panics under this lock");
        gauges.counters.clone_from(&self.counters);
    }

    fn publish_outbox(&self) {
        let mut gauges = self.setup.gauges.lock().expect("nothing panics under this lock");
        gauges.backlogs = self.deliveries.backlogs();
        gauges.outbox_bytes = self.logs.outbox_bytes();
    }
}

impl Machine for Writer {
    fn name(&self) -> String {
        "writer".to_owned()
    }

    fn waker(&self) -> Waker {
        self.setup.waker.clone()
    }

    fn step(&mut self, _now: Moment) -> Result<Step, Fatal> {
        let mut delivered = false;
        for item in self.setup.inbox.drain() {
            delivered |= matches!(item, WriterItem::Delivered(..));
            self.take(item)?;
        }
        let ready = self.groups.take_ready();
        let step = if ready.is_empty() { Step::Idle } else { Step::Busy };
        if !ready.is_empty() {
            self.commit(ready)?;
            self.publish_counters();
        }
        // Also without a commit: a group that waits for its outbox commits nothing.
        if delivered || step == Step::Busy {
            self.publish_outbox();
        }
        self.report_settled();
        Ok(step)
    }
}

/// Units that an earlier generation planned for `sink` and did not see delivered.
pub(crate) fn planned_units(saved: &Saved, sink: &SinkKey) -> Vec<PlannedUnit> {
    Deliveries::planned(saved, sink)
}

/// Plans what an earlier generation left without a unit, into `batch` and into `saved`.
pub(crate) fn plan_rest(saved: &mut Saved, batch: &mut StateBatch) {
    for (sink, unit) in Deliveries::plan_rest(saved) {
        let mut key = sink.encode();
        key.extend_from_slice(&unit.lower.to_be_bytes());
        batch.put(&space::UNIT.into(), key, layout::encode_unit(&unit));
        saved.units.entry(sink).or_default().insert(unit.lower, unit);
    }
}
