//! Kafka topics and records for integration tests, through the same librdkafka as the product.
//!
//! Included by a test file with `#[path = "support/broker.rs"] mod broker;`. Everything here fails the
//! test by a panic with the reason.
//!
//! Three traps: a commit is answered before its markers are written, so what is delivered may be visible
//! only a moment later, and not in all partitions at once: [`read_committed`] waits for it. What
//! [`read_now`] gives ends at the last stable offset, so an open transaction hides all that came after
//! it. And offsets are not dense (transaction markers take some), so records are counted, never offsets
//! subtracted.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use xtask::services::kafka::Broker;

/// How long anything here may take before the test fails; as long as a broker has to become ready.
pub(crate) const LIMIT: Duration = xtask::services::READY_LIMIT;

/// What stands in a topic at one offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Makes a topic and waits until the broker has it.
pub(crate) fn topic(broker: &Broker, name: &str, partitions: i32) {
    topic_with(broker, name, partitions, &[]);
}

/// As [`topic`], with settings of the topic.
pub(crate) fn topic_with(broker: &Broker, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    replicated_topic(broker, name, (partitions, 1), settings);
}

/// As [`topic_with`], with so many partitions and replicas of each.
pub(crate) fn replicated_topic(
    broker: &Broker,
    name: &str,
    (partitions, replicas): (i32, i32),
    settings: &[(&str, &str)],
) {
    let (admin, options) = admin(broker);
    let mut new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let made = block_on(admin.create_topics([&new], &options)).expect("an answer to a new topic");
    for result in made {
        result.unwrap_or_else(|(name, code)| panic!("could not make topic {name:?}: {code}"));
    }
    await_partitions(broker, name, usize::try_from(partitions).expect("not negative"));
}

/// Waits until clients are told of so many partitions: the answer to a change comes from the controller,
/// and a broker that is slow knows of it later than a client that is quick.
fn await_partitions(broker: &Broker, topic: &str, count: usize) {
    let consumer: BaseConsumer = config(&broker.bootstrap()).create().expect("a consumer");
    let started = Instant::now();
    while partitions(&consumer, topic).len() < count {
        assert!(started.elapsed() < LIMIT, "not {count} partitions of {topic:?} within {LIMIT:?}");
    }
}

/// Gives a topic this setting, and none of those it had.
pub(crate) fn set_topic(broker: &Broker, name: &str, setting: (&str, &str)) {
    let (admin, options) = admin(broker);
    let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(setting.0, setting.1);
    for set in block_on(admin.alter_configs([&change], &options)).expect("an answer") {
        set.unwrap_or_else(|(_, code)| panic!("could not set {setting:?} of {name:?}: {code}"));
    }
}

/// Gives a topic more partitions.
pub(crate) fn grow(broker: &Broker, topic: &str, partitions: usize) {
    let (admin, options) = admin(broker);
    let more = NewPartitions::new(topic, partitions);
    let made = block_on(admin.create_partitions([&more], &options)).expect("an answer");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    await_partitions(broker, topic, partitions);
}

fn admin(broker: &Broker) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let admin = config(&broker.bootstrap()).create().expect("an admin client");
    (admin, AdminOptions::new().operation_timeout(Some(LIMIT)))
}

/// Writes records in order, keyed as Java clients key them (`murmur2_random`: a record without a key goes
/// anywhere), and returns when all are acknowledged.
pub(crate) fn produce(
    bootstrap: &str,
    topic: &str,
    records: impl IntoIterator<Item = (Option<Vec<u8>>, Vec<u8>)>,
) {
    let deliveries = Deliveries::default();
    let producer: BaseProducer<Deliveries> =
        producer_config(bootstrap).create_with_context(deliveries.clone()).expect("a producer");
    for (key, value) in records {
        let mut record = BaseRecord::<Vec<u8>, Vec<u8>>::to(topic).payload(&value);
        if let Some(key) = &key {
            record = record.key(key);
        }
        send(&producer, record);
    }
    settle(&producer);
    let failed = deliveries.failed.lock().expect("no panic under it").clone();
    assert!(failed.is_empty(), "not delivered to {topic:?}: {failed:?}");
}

/// Waits until every record is acknowledged or has failed.
///
/// Not by `flush`: in rdkafka 0.39 `BaseProducer::poll` always uses up the time it is given, and `flush`
/// gives it 100 ms a turn, so each flush takes 100 ms however quick the broker is.
pub(crate) fn settle<C: ProducerContext>(producer: &BaseProducer<C>) {
    let started = Instant::now();
    while producer.in_flight_count() > 0 {
        assert!(started.elapsed() < LIMIT, "records not acknowledged within {LIMIT:?}");
        producer.poll(Duration::from_millis(1));
    }
}

/// Hands one record over, waiting while the producer's queue is full.
pub(crate) fn send<C: ProducerContext<DeliveryOpaque = ()>>(
    producer: &BaseProducer<C>,
    mut record: BaseRecord<'_, Vec<u8>, Vec<u8>>,
) {
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(20));
                record = back;
            }
            Err((error, _)) => panic!("could not produce: {error}"),
        }
    }
}

/// All committed records of a topic, by partition and offset, once all transactions have ended that are
/// under way now.
pub(crate) fn read_committed(bootstrap: &str, topic: &str) -> Vec<Record> {
    await_stable(bootstrap, topic);
    read_now(bootstrap, topic)
}

/// Waits until readers of what is committed may read what is there now.
fn await_stable(bootstrap: &str, topic: &str) {
    let [all, committed] = ["read_uncommitted", "read_committed"].map(|level| -> BaseConsumer {
        config(bootstrap).set("isolation.level", level).create().expect("a consumer")
    });
    for partition in partitions(&all, topic) {
        let end = await_end(&all, (topic, partition), 0);
        await_end(&committed, (topic, partition), end);
    }
}

/// The end of a partition as this consumer may see it, once it is no less than that.
fn await_end(consumer: &BaseConsumer, (topic, partition): (&str, i32), least: i64) -> i64 {
    let started = Instant::now();
    loop {
        // A client that is new may not know of the partition yet.
        match consumer.fetch_watermarks(topic, partition, LIMIT) {
            Ok((_, end)) if end >= least => return end,
            waiting => assert!(
                started.elapsed() < LIMIT,
                "a transaction stays open in {topic:?}/{partition} for {LIMIT:?}: {waiting:?}"
            ),
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// The committed records of a topic that can be read at this moment.
pub(crate) fn read_now(bootstrap: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "tests read by assignment, this group is never joined")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        // The end of a partition is told by an empty answer, for which the broker waits this long.
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let mut open = partitions(&consumer, topic);
    let mut assigned = TopicPartitionList::new();
    for partition in &open {
        assigned
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .expect("the beginning is a valid offset");
    }
    consumer.assign(&assigned).expect("an assignment");
    let mut records = Vec::new();
    let started = Instant::now();
    while !open.is_empty() {
        assert!(started.elapsed() < LIMIT, "no end of {topic:?} {open:?} within {LIMIT:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => records.push(record(&message)),
            Some(Err(KafkaError::PartitionEOF(ended))) => open.retain(|open| *open != ended),
            // A broker that is busy lets connections go; the client makes new ones.
            Some(Err(error)) if is_unreachable(&error) => {}
            Some(Err(error)) => panic!("could not read {topic:?}: {error}"),
        }
    }
    records.sort();
    records
}

fn is_unreachable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut)
    )
}

/// The values of records, as text, in their order.
pub(crate) fn values(records: &[Record]) -> Vec<String> {
    let bytes = records.iter().map(|record| record.value.as_deref().unwrap_or(b"(tombstone)"));
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

/// What every client of a test sets.
pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        // An unknown topic is a mistake of the test: say so after a second, not after thirty.
        .set("topic.metadata.propagation.max.ms", "1000")
        // A broker that was killed is back within seconds: look for it often.
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// What every producer of a test sets; add `transactional.id` for a transactional one.
pub(crate) fn producer_config(bootstrap: &str) -> ClientConfig {
    let mut config = config(bootstrap);
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1");
    config
}

/// Whether there is such a topic; asking does not make it.
pub(crate) fn has_topic(bootstrap: &str, topic: &str) -> bool {
    let consumer: BaseConsumer = config(bootstrap).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(None, LIMIT).expect("metadata");
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// The partitions of a topic; waits for a topic that the broker has just been told of.
fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let started = Instant::now();
    loop {
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).expect("metadata");
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if let Some(found) = found.filter(|found| found.error().is_none()) {
            return found.partitions().iter().map(|partition| partition.id()).collect();
        }
        assert!(started.elapsed() < LIMIT, "no topic {topic:?} within {LIMIT:?}");
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect(),
    }
}

/// Keeps the records that could not be delivered.
#[derive(Clone, Default)]
struct Deliveries {
    failed: Arc<Mutex<Vec<String>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().expect("no panic under it").push(error.to_string());
        }
    }
}

/// Waits for a future on this thread. The admin client works on a thread of its own, so parking is all
/// that is needed of an executor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
