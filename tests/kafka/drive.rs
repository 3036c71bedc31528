//! A source and a sink in the hands of a test: begun, polled, with a limit on every wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::kafka::config::KafkaConfig;
use connectors::kafka::position::KafkaPosition;
use connectors::kafka::sink::KafkaSink;
use connectors::kafka::source::KafkaSource;
use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::clock::Moment;
use engine::error::{Fatal, Fault, Retry};
use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::{Op, OutRow, RowWriter};
use engine::sink::{Sink, SinkIdentity, SinkPoll, SinkReply, SinkRequest, Unit};
use engine::source::{Partition, PollBudget, Polled, Position, Source as _, Start};
use xtask::services::kafka::Broker;
use xtask::services::offline;

use crate::broker::LIMIT;

/// The broker all tests here share; `None` if this run does without services.
pub(crate) fn shared() -> Option<&'static Broker> {
    (!offline()).then(Broker::shared)
}

/// Client settings on top of our defaults.
pub(crate) fn config(bootstrap: &str, settings: &[(&str, &str)]) -> KafkaConfig {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    KafkaConfig::new(bootstrap, settings.collect()).expect("allowed settings")
}

/// As [`config`], for a source of these topics.
pub(crate) fn reading(bootstrap: &str, topics: &[&str]) -> KafkaConfig {
    let mut config = config(bootstrap, &[]);
    config.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    config
}

/// As [`reading`], for each of the two consumers.
pub(crate) fn readings(bootstrap: &str, topics: &[&str]) -> [KafkaConfig; 2] {
    READERS.map(|(_, settings)| {
        let mut config = config(bootstrap, settings);
        config.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        config
    })
}

/// As [`config`], for a sink with a progress topic of its own: an open transaction in a shared one
/// would hold up other tests.
pub(crate) fn writing(bootstrap: &str, job: &str, settings: &[(&str, &str)]) -> KafkaConfig {
    let mut config = config(bootstrap, settings);
    config.progress_topic = format!("{job}-progress");
    config
}

/// The settings of each of the two producers: ours, and librdkafka's, which writes as soon as a
/// setting asks for something that only it has.
pub(crate) const PRODUCERS: [(&str, &[(&str, &str)]); 2] =
    [("own", &[]), ("librdkafka", &[("queue.buffering.max.messages", "1000000")])];

/// The settings of each of the two consumers likewise.
pub(crate) const READERS: [(&str, &[(&str, &str)]); 2] =
    [("own", &[]), ("librdkafka", &[("socket.keepalive.enable", "true")])];

/// The clock the engine would hand in, and the limit of a test's waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiting(Instant, Duration);

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting::within(LIMIT)
    }

    /// With another limit.
    fn within(limit: Duration) -> Waiting {
        Waiting(Instant::now(), limit)
    }

    /// The time, after a short pause; fails the test when `what` takes too long.
    pub(crate) fn turn(&self, what: &str) -> Moment {
        assert!(self.0.elapsed() < self.1, "{what} took longer than {:?}", self.1);
        std::thread::park_timeout(Duration::from_millis(1));
        self.now()
    }

    pub(crate) fn now(&self) -> Moment {
        let tick = self.0.elapsed().as_micros();
        Moment { wall_ms: 0, tick_us: u64::try_from(tick).expect("a test is short") }
    }
}

/// The offset of a position.
pub(crate) fn offset_of(position: &Position) -> u64 {
    KafkaPosition::decode(position).expect("a position of a kafka source").offset
}

/// A record as the source gave it: offset, key, value.
pub(crate) type Got = (u64, Option<Vec<u8>>, Option<Vec<u8>>);

/// A source being read.
pub(crate) struct Reading {
    pub(crate) source: KafkaSource,
    /// Records by name of their partition.
    pub(crate) got: BTreeMap<String, Vec<Got>>,
    /// Positions after the last batch, by name.
    pub(crate) next: BTreeMap<String, Position>,
    /// Faults that may pass, in order.
    pub(crate) faults: Vec<Fault>,
    pub(crate) budget: PollBudget,
    clock: Waiting,
}

impl Reading {
    pub(crate) fn new(config: KafkaConfig) -> Reading {
        Reading {
            source: KafkaSource::new(config),
            got: BTreeMap::new(),
            next: BTreeMap::new(),
            faults: Vec::new(),
            budget: PollBudget { rows: 1024, bytes: 256 * 1024 },
            clock: Waiting::new(),
        }
    }

    /// A source with all its partitions open at `start`.
    pub(crate) fn from(config: KafkaConfig, start: &Start) -> Reading {
        let mut reading = Reading::new(config);
        for partition in reading.partitions().expect("partitions") {
            reading.source.open(&partition, start).expect("opened");
        }
        reading
    }

    /// A source with all its partitions open at these positions, the others at their beginning.
    pub(crate) fn resume(config: KafkaConfig, positions: &BTreeMap<String, Position>) -> Reading {
        let mut reading = Reading::new(config);
        for partition in reading.partitions().expect("partitions") {
            let saved = positions.get(&*partition.name).cloned();
            let start = saved.map_or(Start::Earliest, Start::At);
            reading.source.open(&partition, &start).expect("opened");
        }
        reading
    }

    /// The answer of one discovery.
    pub(crate) fn partitions(&mut self) -> Result<Vec<Partition>, Fault> {
        let waiting = Waiting::new();
        loop {
            waiting.turn("discovery");
            if let Some(partitions) = self.source.discover(self.clock.now())? {
                return Ok(partitions);
            }
        }
    }

    /// One poll; the number of records it gave.
    pub(crate) fn poll(&mut self) -> Result<usize, Fault> {
        match self.source.poll(self.budget, self.clock.now()) {
            Polled::Idle => Ok(0),
            Polled::End(partition) => panic!("{} has no end", partition.name),
            Polled::Whole(partition, position) => {
                self.next.insert(partition.name.to_string(), position);
                Ok(0)
            }
            Polled::Fault(fault) if fault.retry == Retry::Later => {
                self.faults.push(fault);
                Ok(0)
            }
            Polled::Fault(fault) => Err(fault),
            Polled::Rows(batch) => {
                assert!(batch.boundary);
                let name = batch.partition.name.to_string();
                let got = self.got.entry(name.clone()).or_default();
                for row in batch.rows.rows() {
                    assert_eq!(row.order().partition, batch.partition.ordinal);
                    let owned = |column| row.bytes(column).map(<[u8]>::to_vec);
                    got.push((row.order().position, owned(RAW_KEY), owned(RAW_VALUE)));
                }
                let last = got.last().expect("a batch has rows").0;
                assert_eq!(offset_of(&batch.next), last + 1);
                self.next.insert(name, batch.next);
                Ok(batch.rows.len())
            }
        }
    }

    /// Reads until there are `count` records in all.
    pub(crate) fn until(&mut self, count: usize) -> Result<(), Fault> {
        let waiting = Waiting::new();
        while self.count() < count {
            if self.poll()? == 0 {
                waiting.turn("reading");
            }
        }
        Ok(())
    }

    /// Reads until a fault that stays.
    pub(crate) fn until_refused(&mut self) -> Fault {
        let waiting = Waiting::new();
        loop {
            waiting.turn("a fault");
            if let Err(fault) = self.poll() {
                return fault;
            }
        }
    }

    /// Polls for a moment and fails if a record comes.
    pub(crate) fn nothing_more(&mut self) {
        let (before, started) = (self.count(), Instant::now());
        while started.elapsed() < Duration::from_millis(300) {
            self.poll().expect("no fault");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        assert_eq!(self.count(), before, "{:?}", self.values());
    }

    pub(crate) fn count(&self) -> usize {
        self.got.values().map(Vec::len).sum()
    }

    /// All values as text, in order of partition and offset.
    pub(crate) fn values(&self) -> Vec<String> {
        let all = self.got.values().flatten();
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_deref().map_or("(tombstone)".into(), String::from_utf8_lossy).into_owned()
        };
        all.map(|(_, _, value)| text(value)).collect()
    }
}

/// A sink being driven as the dispatcher drives it.
pub(crate) struct Delivering {
    pub(crate) sink: Box<dyn Sink>,
    /// Faults that passed.
    pub(crate) faults: Vec<Fault>,
    /// How long one answer may take.
    pub(crate) limit: Duration,
    clock: Waiting,
}

impl Delivering {
    /// A sink that has not been prepared.
    pub(crate) fn new(config: KafkaConfig, topics: &[&str]) -> Delivering {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Delivering::of(Box::new(KafkaSink::new(config, topics)))
    }

    /// The same for a sink that was made otherwise.
    pub(crate) fn of(sink: Box<dyn Sink>) -> Delivering {
        Delivering { sink, faults: Vec::new(), limit: LIMIT, clock: Waiting::new() }
    }

    /// A sink that has been prepared and asked what is there.
    pub(crate) fn start(
        config: KafkaConfig,
        topics: &[&str],
        identity: &SinkIdentity,
    ) -> (Delivering, Option<u64>) {
        let mut delivering = Delivering::new(config, topics);
        delivering.prepare(identity).expect("prepared");
        let last = delivering.last().expect("an answer");
        (delivering, last)
    }

    pub(crate) fn prepare(&mut self, identity: &SinkIdentity) -> Result<SinkReply, Fault> {
        self.ask(&SinkRequest::Prepare(identity.clone()))
    }

    pub(crate) fn last(&mut self) -> Result<Option<u64>, Fault> {
        match self.ask(&SinkRequest::LastDelivered)? {
            SinkReply::LastDelivered(last) => Ok(last),
            other => panic!("not an answer to this: {other:?}"),
        }
    }

    pub(crate) fn deliver(&mut self, unit: &(Unit, Vec<Arc<Block>>)) -> Result<SinkReply, Fault> {
        self.ask(&SinkRequest::Deliver(unit.0.clone(), unit.1.clone().into()))
    }

    /// One request, begun again after each fault that may pass.
    fn ask(&mut self, request: &SinkRequest) -> Result<SinkReply, Fault> {
        let waiting = Waiting::within(self.limit);
        loop {
            self.sink.begin(request.clone());
            match self.answer() {
                Ok(reply) => return Ok(reply),
                Err(fault) if fault.retry == Retry::Later => self.faults.push(fault),
                Err(fault) => return Err(fault),
            }
            waiting.turn("a request that fails again and again");
        }
    }

    /// The end of the process that the request under way asks for.
    pub(crate) fn broken(&mut self) -> Fatal {
        let waiting = Waiting::within(self.limit);
        loop {
            match self.sink.poll(self.clock.now()) {
                SinkPoll::Pending => drop(waiting.turn("an answer of the sink")),
                SinkPoll::Broken(fatal) => return fatal,
                other => panic!("not the end: {other:?}"),
            }
        }
    }

    /// The answer to the request under way.
    pub(crate) fn answer(&mut self) -> Result<SinkReply, Fault> {
        let waiting = Waiting::within(self.limit);
        loop {
            match self.sink.poll(self.clock.now()) {
                SinkPoll::Pending => {
                    waiting.turn("an answer of the sink");
                }
                SinkPoll::Done(reply) => return Ok(reply),
                SinkPoll::Broken(fatal) => panic!("{fatal}"),
                SinkPoll::Fault(fault) => return Err(fault),
            }
        }
    }
}

/// Shard 0 of a sink of this job.
pub(crate) fn identity(job: &str) -> SinkIdentity {
    SinkIdentity { family: 0xfa, job: job.into(), sink: "out".into(), shard: 0 }
}

/// A row for target 0.
pub(crate) fn row<'a>(key: Option<&'a str>, value: Option<&'a str>) -> OutRow<'a> {
    OutRow {
        target: 0,
        topic: None,
        op: if value.is_some() { Op::Insert } else { Op::Delete },
        time_ms: 0,
        key: key.map(str::as_bytes),
        value: value.map(str::as_bytes),
        headers: &[],
    }
}

/// A unit of these epochs with these rows, in blocks of at most 1 MiB.
pub(crate) fn unit(lower: u64, upper: u64, rows: &[OutRow<'_>]) -> (Unit, Vec<Arc<Block>>) {
    unit_of(lower, upper, &[(RowWriter::new(), rows)])
}

/// A unit of these epochs with these rows as records of their partition of target 0.
pub(crate) fn unit_of_records(
    lower: u64,
    upper: u64,
    rows: &[(u32, &[OutRow<'_>])],
) -> (Unit, Vec<Arc<Block>>) {
    let parts: Vec<_> = rows
        .iter()
        .map(|(partition, rows)| (RowWriter::of_partition(Vec::new(), 0, *partition), *rows))
        .collect();
    unit_of(lower, upper, &parts)
}

/// A unit of these epochs whose rows lie in blocks as these writers, which are empty, make them.
pub(crate) fn unit_of(
    lower: u64,
    upper: u64,
    parts: &[(RowWriter, &[OutRow<'_>])],
) -> (Unit, Vec<Arc<Block>>) {
    let mut blocks = Vec::new();
    let mut finish = |writer: RowWriter| {
        let header = BlockHeader { rows: writer.rows(), epoch: upper, sink: 1, shard: 0, base: 0 };
        blocks.push(Arc::new(Block { header, bytes: writer.into_bytes().into() }));
    };
    for (empty, rows) in parts {
        let mut writer = empty.clone();
        for row in *rows {
            if !writer.has_room_for(row) {
                finish(std::mem::replace(&mut writer, empty.clone()));
            }
            writer.push(row);
        }
        if !writer.is_empty() {
            finish(writer);
        }
    }
    let bytes = blocks.iter().map(|block| block.bytes.len() as u64).sum();
    let crc = blocks.iter().fold(0_u32, |crc, block| {
        block.bytes.iter().fold(crc, |crc, byte| crc.rotate_left(5) ^ u32::from(*byte))
    });
    let rows = blocks.iter().map(|block| u64::from(block.header.rows)).sum();
    (Unit { lower, upper, rows, bytes, crc }, blocks)
}

/// A unit of one epoch whose rows are `<epoch>.<number>`, keyed by number. In even epochs they lie in
/// blocks as records of the first two partitions.
pub(crate) fn numbered(epoch: u64, count: usize) -> (Unit, Vec<Arc<Block>>) {
    let texts: Vec<(String, String)> =
        (0..count).map(|number| (number.to_string(), format!("{epoch}.{number}"))).collect();
    let rows: Vec<_> = texts.iter().map(|(key, value)| row(Some(key), Some(value))).collect();
    if epoch % 2 == 1 {
        return unit(epoch, epoch, &rows);
    }
    let (first, second) = rows.split_at(count / 2);
    unit_of_records(epoch, epoch, &[(0, first), (1, second)])
}

/// The values of [`numbered`] units, sorted.
pub(crate) fn numbered_values(epochs: impl IntoIterator<Item = (u64, usize)>) -> Vec<String> {
    let epochs = epochs.into_iter();
    let mut values: Vec<String> = epochs
        .flat_map(|(epoch, count)| (0..count).map(move |number| format!("{epoch}.{number}")))
        .collect();
    values.sort();
    values
}
