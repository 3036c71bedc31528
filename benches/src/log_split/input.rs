//! The input of both parts, and what the floor needs to know about its output.
//!
//! While the records are produced, each is split once, untimed: how many records it becomes, in
//! which topics and how long, goes to a plan; bytes of the first outputs become the stock from which
//! the floor produces. So the floor writes records of the same number, keys, topics and lengths as
//! the job, and has nothing to do with splitting.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use connectors::format::app_log::{AppLogParser, Layout, Main, Split, SplitOptions};
use connectors::kafka::murmur2;
use jobs::generate::{Generator, Settings};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use crate::topics::{LIMIT, PARTITIONS};

/// Bytes of output the floor takes from, again and again.
const STOCK_BYTES: usize = 4 * 1024 * 1024;
/// Bits of a plan's word that hold a length; the topic lies above.
const LENGTH_BITS: u32 = 24;

/// Index of each topic in plans, as in `jobs::dwd::log_split::TOPICS`; dead letters follow.
const PAGE: u32 = 0;
const START: u32 = 1;
const DISPLAY: u32 = 2;
const ACTION: u32 = 3;
const ERROR: u32 = 4;
const DEAD: u32 = 5;

/// What each record becomes, by partition and order; and bytes to make it of.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Per partition: for each record the number of its outputs, then a word for each of them.
    words: Vec<Vec<u32>>,
    /// Real outputs, one behind the other.
    stock: Vec<u8>,
}

/// An output of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Index of its topic; the last is that of dead letters.
    pub(crate) topic: usize,
    /// Bytes of its value.
    pub(crate) length: usize,
}

/// A place in the plan of one partition.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Place(usize);

impl Plan {
    /// Writes it into `dir`, for a process of ours.
    fn save(&self, dir: &Path) -> Result<()> {
        for (partition, words) in self.words.iter().enumerate() {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::write(dir.join(format!("plan-{partition}")), bytes)?;
        }
        Ok(std::fs::write(dir.join("stock"), &self.stock)?)
    }

    /// Reads what [`produce`] has left in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let mut words = Vec::new();
        for partition in 0..PARTITIONS {
            let bytes = std::fs::read(dir.join(format!("plan-{partition}")))?;
            let (chunks, rest) = bytes.as_chunks::<4>();
            ensure!(rest.is_empty(), "a plan is cut off");
            words.push(chunks.iter().map(|word| u32::from_le_bytes(*word)).collect());
        }
        Ok(Self { words, stock: std::fs::read(dir.join("stock"))? })
    }

    /// Bytes to make outputs of.
    pub(crate) fn stock(&self) -> &[u8] {
        &self.stock
    }

    /// The outputs of the next record of a partition.
    pub(crate) fn next(
        &self,
        partition: usize,
        place: &mut Place,
    ) -> Result<impl Iterator<Item = Planned> + use<'_>> {
        let words = self.words.get(partition).and_then(|words| words.get(place.0..));
        let (count, rest) = words.and_then(<[u32]>::split_first).context("more than planned")?;
        let count = usize::try_from(*count)?;
        place.0 += 1 + count;
        Ok(rest.iter().take(count).map(|word| Planned {
            topic: usize::try_from(word >> LENGTH_BITS).expect("a few topics"),
            length: usize::try_from(word & ((1 << LENGTH_BITS) - 1)).expect("24 bits"),
        }))
    }
}

/// Produces `records` generated records to `topic` and leaves the plan in `dir`.
pub(crate) fn produce(bootstrap: &str, topic: &str, records: u32, dir: &Path) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .create()?;
    let settings = Settings { records_per_second: 5_000, mids: 20_000, ..Settings::default() };
    let mut cursor = Generator::new(settings).open(0);
    let mut planner = Planner::new();
    let mut line = Vec::new();
    for number in 0..records {
        line.clear();
        let generated = cursor.next(&mut line).context("the stream has no end")?;
        let key = generated.key.and_then(|key| line.get(key));
        let partition = match key {
            Some(key) => murmur2::partition_of(key, PARTITIONS),
            None => number % PARTITIONS,
        };
        planner.record(usize::try_from(partition)?, &line)?;
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).payload(&line).partition(i32::try_from(partition)?);
        record.key = key;
        send(&producer, record)?;
    }
    producer.flush(LIMIT)?;
    planner.plan.save(dir)
}

/// Hands one record over, waiting while the producer's queue is full.
pub(crate) fn send(
    producer: &BaseProducer<DefaultProducerContext>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                pause(producer);
                record = back;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Lets the client work. `poll` with a time would sit it out, and spin through the end of it.
pub(crate) fn pause(producer: &BaseProducer<DefaultProducerContext>) {
    std::thread::park_timeout(Duration::from_micros(300));
    producer.poll(Duration::ZERO);
}

/// Splits records for their lengths.
struct Planner {
    parser: AppLogParser,
    plan: Plan,
    layout: Vec<u8>,
    outputs: Vec<(u32, Vec<u8>)>,
}

impl Planner {
    fn new() -> Self {
        let words = (0..PARTITIONS).map(|_| Vec::new()).collect();
        Self {
            parser: AppLogParser::default(),
            plan: Plan { words, stock: Vec::new() },
            layout: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn record(&mut self, partition: usize, value: &[u8]) -> Result<()> {
        self.outputs.clear();
        self.layout.clear();
        match self.parser.parse(value) {
            Ok(log) => {
                log.write_layout(&mut self.layout);
                split(value, Layout::read(&self.layout), &mut self.outputs);
            }
            Err(_dirty) => self.outputs.push((DEAD, value.to_vec())),
        }
        let words = self.plan.words.get_mut(partition).context("a partition of ours")?;
        words.push(u32::try_from(self.outputs.len())?);
        for (topic, bytes) in &self.outputs {
            let length = u32::try_from(bytes.len())?;
            ensure!(length >> LENGTH_BITS == 0, "an output of {length} bytes");
            words.push((topic << LENGTH_BITS) | length);
            if self.plan.stock.len() < STOCK_BYTES {
                self.plan.stock.extend_from_slice(bytes);
            }
        }
        Ok(())
    }
}

/// As `connectors::format::app_log::emit::Splitter`; a repair of `is_new` changes no length.
fn split(value: &[u8], layout: Layout<'_>, outputs: &mut Vec<(u32, Vec<u8>)>) {
    let split = Split::new(value, layout, false, SplitOptions::default());
    let mut output = |topic, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        outputs.push((topic, bytes));
    };
    if layout.has_err() {
        output(ERROR, &|out| split.write_error(out));
    }
    match layout.main() {
        Main::Start => output(START, &|out| split.write_main(out)),
        Main::Page => {
            for element in layout.displays() {
                output(DISPLAY, &|out| split.write_display(element, out));
            }
            for element in layout.actions() {
                output(ACTION, &|out| split.write_action(element, out));
            }
            output(PAGE, &|out| split.write_main(out));
        }
        Main::None => {}
    }
}
