//! The bare clients: what feeds a broker, and what a floor reads and writes with.
//!
//! A floor is one thread: it consumes (committed records, by assignment) and produces under one
//! transactional id, committing once a second. It keeps no position, so it is not exactly once:
//! nobody can do a job for less with these clients.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use connectors::kafka::murmur2;
use jobs::generate::{Generator, Settings};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use crate::topics::{LIMIT, PARTITIONS, assign, reader};
use crate::usage::{Measured, Used};

/// Time between two commits, as the job's epochs.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Reads `records` records of `input` and has `each` produce what it wants; answers what was used from
/// the first record to the last commit. `id` is the transactional id.
pub(crate) fn floor(
    bootstrap: &str,
    input: &str,
    id: &str,
    records: u32,
    mut each: impl FnMut(&BorrowedMessage<'_>, &BaseProducer) -> Result<()>,
) -> Result<Used> {
    let producer = transactional(bootstrap, id)?;
    let consumer: BaseConsumer = reader(bootstrap).create()?;
    assign(&consumer, &[input.to_owned()])?;
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
        each(&message, &producer)?;
        if committed.elapsed() > COMMIT_EVERY {
            commit(&producer)?;
            producer.begin_transaction()?;
            committed = Instant::now();
        }
        heard = committed;
    }
    commit(&producer)?;
    measured.context("there are no records")?.end()
}

/// Settings that cost or save time are the product's.
fn transactional(bootstrap: &str, id: &str) -> Result<BaseProducer> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
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

fn commit(producer: &BaseProducer) -> Result<()> {
    while producer.in_flight_count() > 0 {
        pause(producer);
    }
    Ok(producer.commit_transaction(LIMIT)?)
}

/// A producer for input.
pub(crate) fn producer(bootstrap: &str) -> Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("batch.size", "1000000");
    Ok(config.create()?)
}

/// Produces `records` generated records to `topic`, by key, telling `each` partition and bytes.
pub(crate) fn produce_logs(
    bootstrap: &str,
    topic: &str,
    records: u32,
    each: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
) -> Result<()> {
    let producer = producer(bootstrap)?;
    let settings = Settings { records_per_second: 5_000, mids: 20_000, ..Settings::default() };
    let mut cursor = Generator::new(settings).open(0);
    let mut line = Vec::new();
    for number in 0..records {
        line.clear();
        let generated = cursor.next(&mut line).context("the stream has no end")?;
        let key = generated.key.and_then(|key| line.get(key));
        let partition = match key {
            Some(key) => murmur2::partition_of(key, PARTITIONS),
            None => number % PARTITIONS,
        };
        each(usize::try_from(partition)?, &line)?;
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).payload(&line).partition(i32::try_from(partition)?);
        record.key = key;
        send(&producer, record)?;
    }
    Ok(producer.flush(LIMIT)?)
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
fn pause(producer: &BaseProducer<DefaultProducerContext>) {
    std::thread::park_timeout(Duration::from_micros(300));
    producer.poll(Duration::ZERO);
}
