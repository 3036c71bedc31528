//! The rates of the Kafka sink and source against a real broker on the same machine.
//!
//! Starts a broker of its own, delivers units of [`UNIT_ROWS`] records through the sink, then reads
//! them back through the source, each as the engine would drive them. Prints records per second and
//! the processor seconds of this process (all threads of librdkafka included, the broker not) per
//! million records. Build it optimised; the aim is 0.8 M records/s read per core (engine 24.6).

#![expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::kafka::config::KafkaConfig;
use connectors::kafka::sink::KafkaSink;
use connectors::kafka::source::KafkaSource;
use engine::clock::Moment;
use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::{Op, OutRow, RowWriter};
use engine::sink::{Sink as _, SinkIdentity, SinkPoll, SinkReply, SinkRequest, Unit};
use engine::source::{PollBudget, Polled, Source as _, Start};
use xtask::services::kafka::{Broker, Options};

const UNITS: u64 = 20;
const UNIT_ROWS: u64 = 100_000;
const TOPIC: &str = "rate";
/// Rounds of reading; the broker's JVM warms up in the first.
const ROUNDS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::start(&Options::measure())?;
    for bytes in [650, 100] {
        let topic = format!("{TOPIC}-{bytes}");
        let mut config = KafkaConfig::new(broker.bootstrap(), settings())?;
        config.topics = vec![topic];
        deliver(&config, bytes)?;
        for _round in 0..ROUNDS {
            read(&config, bytes)?;
        }
    }
    Ok(())
}

/// With the argument `librdkafka` its producer writes, because of a setting only it has.
fn settings() -> BTreeMap<String, String> {
    let foreign = std::env::args().any(|argument| argument == "librdkafka");
    let setting = ("queue.buffering.max.messages".to_owned(), "1000000".to_owned());
    if foreign { BTreeMap::from([setting]) } else { BTreeMap::new() }
}

fn deliver(config: &KafkaConfig, bytes: usize) -> Result<(), Box<dyn Error>> {
    let mut sink = KafkaSink::new(config.clone(), config.topics.clone());
    let identity = SinkIdentity {
        family: 1,
        job: format!("rate-{bytes}").into(),
        sink: "out".into(),
        shard: 0,
    };
    ask(&mut sink, SinkRequest::Prepare(identity))?;
    ask(&mut sink, SinkRequest::LastDelivered)?;
    let blocks = blocks(bytes);
    let measured = Measured::begin();
    for epoch in 1..=UNITS {
        let unit = Unit { lower: epoch, upper: epoch, rows: UNIT_ROWS, bytes: 0, crc: 0 };
        ask(&mut sink, SinkRequest::Deliver(unit, blocks.clone().into()))?;
    }
    measured
        .report(&format!("deliver {UNITS} units of {UNIT_ROWS} x {bytes} B"), UNITS * UNIT_ROWS)?;
    let (small, rows) = (small_block(bytes), 1);
    let measured = Measured::begin();
    for epoch in 1..=200 {
        let (lower, upper) = (UNITS + epoch, UNITS + epoch);
        let unit = Unit { lower, upper, rows, bytes: 0, crc: 0 };
        ask(&mut sink, SinkRequest::Deliver(unit, vec![small.clone()].into()))?;
    }
    let each = measured.started.elapsed() / 200;
    println!("deliver 200 units of one row: {each:?} each");
    sink.close();
    Ok(())
}

fn ask(sink: &mut KafkaSink, request: SinkRequest) -> Result<SinkReply, Box<dyn Error>> {
    sink.begin(request);
    loop {
        match sink.poll(Moment::default()) {
            SinkPoll::Pending => std::thread::park_timeout(Duration::from_millis(1)),
            SinkPoll::Done(reply) => return Ok(reply),
            SinkPoll::Broken(fatal) => panic!("{fatal}"),
            SinkPoll::Fault(fault) => return Err(fault.into()),
        }
    }
}

fn read(config: &KafkaConfig, bytes: usize) -> Result<(), Box<dyn Error>> {
    let mut source = KafkaSource::new(config.clone());
    let started = Instant::now();
    let partitions = loop {
        match source.discover(Moment::default())? {
            Some(partitions) => break partitions,
            None => std::thread::park_timeout(Duration::from_millis(1)),
        }
    };
    for partition in &partitions {
        source.open(partition, &Start::Earliest)?;
    }
    // As the engine asks: limit.rs.
    let budget = PollBudget { rows: 1024, bytes: 256 * 1024 };
    let (mut rows, mut batches, total) = (0, 0_u64, UNITS * UNIT_ROWS);
    let mut measured = None;
    while rows < total {
        match source.poll(budget, Moment::default()) {
            Polled::Rows(batch) => {
                measured.get_or_insert_with(Measured::begin);
                rows += u64::try_from(batch.rows.len())?;
                batches += 1;
            }
            Polled::Fault(fault) => return Err(fault.into()),
            Polled::End(_) | Polled::Whole(..) => {
                return Err("a topic has no end and no snapshot".into());
            }
            Polled::Idle => std::thread::park_timeout(Duration::from_micros(500)),
        }
    }
    let measured = measured.ok_or("nothing was read")?;
    measured.report(&format!("read {total} x {bytes} B, {} rows a batch", rows / batches), rows)?;
    println!("    (first batch after {:?})", measured.started - started);
    source.close();
    Ok(())
}

/// The blocks of one unit: keyed rows of about this size.
fn blocks(bytes: usize) -> Vec<Arc<Block>> {
    let mut blocks = Vec::new();
    let mut writer = RowWriter::new();
    let value = value(bytes);
    for number in 0..UNIT_ROWS {
        let key = number.to_string();
        let row = row(key.as_bytes(), &value);
        if !writer.has_room_for(&row) {
            blocks.push(block(&writer));
            writer.clear();
        }
        writer.push(&row);
    }
    blocks.push(block(&writer));
    blocks
}

fn small_block(bytes: usize) -> Arc<Block> {
    let mut writer = RowWriter::new();
    writer.push(&row(b"k", &value(bytes)));
    block(&writer)
}

fn value(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| b'a' + u8::try_from(index * 7 % 26).unwrap_or(0)).collect()
}

fn row<'a>(key: &'a [u8], value: &'a [u8]) -> OutRow<'a> {
    let (key, value) = (Some(key), Some(value));
    OutRow { target: 0, topic: None, op: Op::Insert, time_ms: 0, key, value, headers: &[] }
}

fn block(writer: &RowWriter) -> Arc<Block> {
    let header = BlockHeader { rows: writer.rows(), epoch: 1, sink: 1, shard: 0, base: 0 };
    Arc::new(Block { header, bytes: writer.bytes().into() })
}

struct Measured {
    started: Instant,
    cpu: f64,
}

impl Measured {
    fn begin() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds().unwrap_or(0.0) }
    }

    fn report(&self, what: &str, records: u64) -> Result<(), Box<dyn Error>> {
        let wall = self.started.elapsed().as_secs_f64();
        let cpu = cpu_seconds()? - self.cpu;
        let millions = f64::from(u32::try_from(records)?) / 1e6;
        let rate = millions * 1e3 / wall;
        println!("{what:45} {rate:7.1} k/s {:6.2} CPU s per million", cpu / millions);
        Ok(())
    }
}

/// Processor time of this process, all threads: fields 14 and 15 of /proc/self/stat, in ticks of
/// 10 ms (USER_HZ is 100 on every Linux that Rust supports).
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("no end of the name")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |index: usize| -> Result<f64, Box<dyn Error>> {
        Ok(fields.get(index).ok_or("too few fields")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
