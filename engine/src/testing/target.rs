//! A fake target outside: keeps what was delivered, knows its progress, loses replies, fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::clock::Moment;
use crate::error::{Fatal, Fault};
use crate::outbox::rows::RowReader;
use crate::outbox::rows::records::Records;
use crate::random::Random;
use crate::sink::partitions::Partitions;
use crate::sink::row_limits::RowLimits;
use crate::sink::{
    Delivery, Sink, SinkFactory, SinkIdentity, SinkPoll, SinkReply, SinkRequest, UnitPolicy,
};

/// A delivered row: target number, key, value.
pub type TargetRow = (u16, Option<Vec<u8>>, Option<Vec<u8>>);

/// A delivered row that named its topic: the name, key, value.
pub type NamedRow = (String, Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct World {
    rows: Vec<TargetRow>,
    named: Vec<NamedRow>,
    /// Progress record per shard: family, epoch.
    progress: BTreeMap<(String, u16), (u64, u64)>,
    /// Units that arrived although the target had them.
    repeated: u64,
    /// Blocks whose rows were records of one partition, and other ones.
    blocks: (u64, u64),
    /// It takes no units.
    gone: bool,
}

/// The target; survives crashes of the engine.
#[derive(Clone)]
pub struct Target {
    world: Arc<Mutex<World>>,
    random: Arc<Mutex<Random>>,
    policy: UnitPolicy,
    /// The largest row of each target number, which its sinks tell when they are prepared.
    bytes_max: Arc<[u64]>,
    limits: RowLimits,
    /// Which target numbers have how many partitions, likewise.
    told: [u32; TARGETS],
    partitions: Partitions,
}

/// How many target numbers may have partitions.
const TARGETS: usize = 4;

/// Any rule that takes the same key to the same partition.
fn partition_of(key: &[u8], count: u32) -> u32 {
    key.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte))) % count
}

impl Target {
    /// A target whose faults depend on `seed`, and whether it takes rows as records of so and so many
    /// partitions; with units as `policy` says.
    pub fn new(seed: u64, policy: UnitPolicy) -> Self {
        // Faults do not depend on it.
        let mut tastes = Random::new(!seed);
        let told = match tastes.one_in(2) {
            true => [(); TARGETS].map(|()| u32::try_from(tastes.below(4)).expect("below 4")),
            false => [0; TARGETS],
        };
        let (bytes_max, limits) = (Arc::default(), RowLimits::unknown(0));
        let partitions = Partitions::unknown(TARGETS, partition_of);
        let random = Arc::new(Mutex::new(Random::new(seed)));
        Self { world: Arc::default(), random, policy, bytes_max, limits, told, partitions }
    }

    /// The same target, of which each number takes rows up to so many bytes.
    #[must_use]
    pub fn with_row_limits(self, bytes_max: &[u64]) -> Self {
        let limits = RowLimits::unknown(bytes_max.len());
        Self { bytes_max: bytes_max.into(), limits, ..self }
    }

    /// The same target for another generation of the engine, which knows of no limits and partitions
    /// yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        let partitions = Partitions::unknown(TARGETS, partition_of);
        Self { partitions, ..self.clone() }.with_row_limits(&self.bytes_max)
    }

    /// Takes no units from here on, or takes them again.
    pub fn set_gone(&self, gone: bool) {
        self.world.lock().expect("one thread").gone = gone;
    }

    /// All rows that named their topic, in the order of arrival.
    pub fn named_rows(&self) -> Vec<NamedRow> {
        self.world.lock().expect("one thread").named.clone()
    }

    /// All rows that numbered it, in the order of arrival.
    pub fn rows(&self) -> Vec<TargetRow> {
        self.world.lock().expect("one thread").rows.clone()
    }

    /// The greatest epoch that `job.sink` has delivered from this shard.
    pub fn delivered(&self, sink: &str, shard: u16) -> Option<u64> {
        let world = self.world.lock().expect("one thread");
        world.progress.get(&(sink.to_owned(), shard)).map(|(_, epoch)| *epoch)
    }

    /// How often a unit was sent that the target already had: harmless, but it shows that the
    /// simulation reaches these cases.
    pub fn repeated(&self) -> u64 {
        self.world.lock().expect("one thread").repeated
    }

    /// How many blocks of records of one partition were delivered, and how many others.
    pub fn blocks(&self) -> (u64, u64) {
        self.world.lock().expect("one thread").blocks
    }

    /// A record that has a key lies in its partition.
    fn check_partition(&self, records: &Records<'_>, key: Option<&[u8]>) {
        let count = self.told[usize::from(records.target)];
        let expected = key.map_or(records.partition, |key| partition_of(key, count));
        assert_eq!(records.partition, expected, "{key:?} of target {}", records.target);
    }
}

impl SinkFactory for Target {
    fn describe(&self) -> String {
        "target of a test".to_owned()
    }

    fn unit_policy(&self) -> UnitPolicy {
        self.policy
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn row_limits(&self) -> Option<RowLimits> {
        Some(self.limits.clone())
    }

    fn partitions(&self) -> Option<Partitions> {
        Some(self.partitions.clone())
    }

    fn create(&self) -> Result<Box<dyn Sink>, Fault> {
        Ok(Box::new(TargetSink { target: self.clone(), identity: None, request: None }))
    }
}

struct TargetSink {
    target: Target,
    identity: Option<SinkIdentity>,
    request: Option<SinkRequest>,
}

impl TargetSink {
    fn key(&self) -> (String, u16) {
        let identity = self.identity.as_ref().expect("prepared first");
        (format!("{}.{}", identity.job, identity.sink), identity.shard)
    }

    fn family(&self) -> u64 {
        self.identity.as_ref().expect("prepared first").family
    }

    fn answer(&mut self, request: &SinkRequest) -> Result<SinkReply, Fatal> {
        Ok(match request {
            SinkRequest::Prepare(identity) => {
                self.identity = Some(identity.clone());
                for (number, bytes_max) in self.target.bytes_max.iter().enumerate() {
                    self.target.limits.learn(number, *bytes_max);
                }
                self.target.partitions.learn(identity.shard, self.target.told.to_vec());
                SinkReply::Prepared
            }
            SinkRequest::EnsureTable(_) => SinkReply::TableReady,
            SinkRequest::LastDelivered => {
                let world = self.target.world.lock().expect("one thread");
                let known = world.progress.get(&self.key());
                let ours = known.filter(|(family, _)| *family == self.family());
                SinkReply::LastDelivered(ours.map(|(_, epoch)| *epoch))
            }
            SinkRequest::Deliver(unit, blocks) => {
                let mut world = self.target.world.lock().expect("one thread");
                let entry = world.progress.get(&self.key()).copied();
                if entry
                    .is_some_and(|(family, upper)| family == self.family() && unit.upper <= upper)
                {
                    world.repeated += 1;
                    return Ok(SinkReply::Delivered);
                }
                // All of it or nothing.
                let (mut rows, mut named) = (Vec::new(), Vec::new());
                for block in blocks {
                    let block = block?;
                    let records = Records::of(&block.bytes);
                    let blocks = &mut world.blocks;
                    *(if records.is_some() { &mut blocks.0 } else { &mut blocks.1 }) += 1;
                    for row in RowReader::new(&block.bytes) {
                        let row = row.expect("checked by the block's checksum");
                        if let Some(records) = &records {
                            self.target.check_partition(records, row.key);
                        }
                        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                        match row.topic {
                            None => rows.push((row.target, owned(row.key), owned(row.value))),
                            Some(topic) => {
                                named.push((topic.to_owned(), owned(row.key), owned(row.value)));
                            }
                        }
                    }
                }
                world.rows.append(&mut rows);
                world.named.append(&mut named);
                world.progress.insert(self.key(), (self.family(), unit.upper));
                SinkReply::Delivered
            }
        })
    }
}

impl Sink for TargetSink {
    fn begin(&mut self, request: SinkRequest) {
        assert!(self.request.is_none(), "one request at a time");
        self.request = Some(request);
    }

    fn poll(&mut self, _now: Moment) -> SinkPoll {
        let (pending, fails, reply_lost) = {
            let mut random = self.target.random.lock().expect("one thread");
            (random.one_in(2), random.one_in(8), random.one_in(2))
        };
        if pending {
            return SinkPoll::Pending;
        }
        let request = self.request.take().expect("polled only after begin");
        let gone = self.target.world.lock().expect("one thread").gone;
        if gone && matches!(request, SinkRequest::Deliver(..)) {
            return SinkPoll::Fault(Fault::later("the target is gone"));
        }
        if fails {
            // Either nothing happened, or all of it did and the answer was lost.
            if reply_lost && let Err(fatal) = self.answer(&request) {
                return SinkPoll::Broken(fatal);
            }
            return SinkPoll::Fault(Fault::later("could not reach the target"));
        }
        self.answer(&request).map_or_else(SinkPoll::Broken, SinkPoll::Done)
    }

    fn close(&mut self) {}
}
