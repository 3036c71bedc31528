//! The floor: what the log split costs without an engine and without splitting.
//!
//! One thread consumes (committed records, by assignment), parses each record as the job does, and
//! produces its planned outputs under one transactional id, committing once a second. It keeps no
//! state and no position, so it is not exactly once: nobody can do the job for less with these
//! clients.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use connectors::format::app_log::AppLogParser;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::input::{Place, Plan, pause, send};
use crate::topics::{LIMIT, PARTITIONS, assign, reader};
use crate::usage::{Measured, Used};

/// Time between two commits, as the job's epochs.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Reads `records` records of `input` and writes what the plan in `dir` says to `outputs`.
pub(crate) fn run(
    bootstrap: &str,
    input: &str,
    outputs: &[String],
    records: u32,
    dir: &Path,
) -> Result<Used> {
    let plan = Plan::load(dir)?;
    let producer = producer(bootstrap, outputs)?;
    let consumer: BaseConsumer = reader(bootstrap).create()?;
    assign(&consumer, &[input.to_owned()])?;
    let mut floor = Floor {
        producer,
        outputs,
        plan,
        places: [Place::default(); PARTITIONS as usize],
        stock_at: 0,
        parser: AppLogParser::default(),
    };
    let (mut measured, mut committed) = (None, Instant::now());
    let (mut read, mut heard) = (0, Instant::now());
    while read < records {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            ensure!(heard.elapsed() < LIMIT, "nothing comes from the broker");
            continue;
        };
        let message = message?;
        if measured.is_none() {
            measured = Some(Measured::begin()?);
            committed = Instant::now();
        }
        read += 1;
        floor.record(usize::try_from(message.partition())?, message.payload().unwrap_or(b""))?;
        if committed.elapsed() > COMMIT_EVERY {
            floor.commit()?;
            floor.producer.begin_transaction()?;
            committed = Instant::now();
        }
        heard = committed;
    }
    floor.commit()?;
    measured.context("there are no records")?.end()
}

/// Settings that cost or save time are the product's.
fn producer(bootstrap: &str, outputs: &[String]) -> Result<BaseProducer> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", outputs.first().context("no topics")?)
        .set("partitioner", "murmur2_random")
        .set("max.in.flight.requests.per.connection", "2")
        .set("delivery.report.only.error", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "32768")
        .set("queue.buffering.max.messages", "1000000")
        .create()?;
    producer.init_transactions(LIMIT)?;
    producer.begin_transaction()?;
    Ok(producer)
}

struct Floor<'a> {
    producer: BaseProducer,
    outputs: &'a [String],
    plan: Plan,
    places: [Place; PARTITIONS as usize],
    stock_at: usize,
    parser: AppLogParser,
}

impl Floor<'_> {
    fn record(&mut self, partition: usize, value: &[u8]) -> Result<()> {
        let place = self.places.get_mut(partition).context("a partition of ours")?;
        let log = self.parser.parse(value).ok();
        let key = log.as_ref().map(|log| {
            black_box(log.ts());
            log.mid().as_bytes()
        });
        for planned in self.plan.next(partition, place)? {
            let topic = self.outputs.get(planned.topic).context("a topic of ours")?;
            let mut record = BaseRecord::<[u8], [u8]>::to(topic);
            record.key = key;
            record.payload = match key {
                Some(_) => Some(taken(self.plan.stock(), &mut self.stock_at, planned.length)?),
                None => Some(value),
            };
            send(&self.producer, record)?;
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        while self.producer.in_flight_count() > 0 {
            pause(&self.producer);
        }
        Ok(self.producer.commit_transaction(LIMIT)?)
    }
}

/// The next `length` bytes of the stock, from its beginning again where it ends.
fn taken<'s>(stock: &'s [u8], at: &mut usize, length: usize) -> Result<&'s [u8]> {
    if *at + length > stock.len() {
        *at = 0;
    }
    let bytes = stock.get(*at..*at + length).context("the stock is too small")?;
    *at += length;
    Ok(bytes)
}
