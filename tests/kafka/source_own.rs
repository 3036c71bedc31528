//! What our own consumer has to do by itself and librdkafka's does somewhere inside: unpack, read large
//! records, follow leaders, notice that a log was cut back, leave to librdkafka what it cannot read.

use connectors::kafka::config::OnLostPosition;
use engine::error::Retry;
use engine::source::Start;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord};
use xtask::services::cluster::{BROKERS, Cluster};
use xtask::services::offline;

use crate::broker::{
    self, LIMIT, producer_config, read_committed, replicated_topic, send, settle, topic, topic_with,
};
use crate::drive::{Reading, reading, readings, shared};
use crate::proxy::Proxy;

#[test]
fn compressed_batches_are_unpacked() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "packed", 2);
    let mut count = 0;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer: BaseProducer = producer_config(&bootstrap)
            .set("compression.type", codec)
            // So that batches are worth compressing.
            .set("linger.ms", "50")
            .create()
            .unwrap();
        for number in 0..500 {
            let value = format!("{codec} {codec} {codec} {number}").into_bytes();
            let key = number.to_string().into_bytes();
            send(&producer, BaseRecord::to("packed").key(&key).payload(&value));
        }
        settle(&producer);
        count += 500;
    }
    for config in readings(&bootstrap, &["packed"]) {
        let mut read = Reading::from(config, &Start::Earliest);
        // Batches are begun and left in the middle.
        read.budget.rows = 77;
        read.until(count).unwrap();
        read.nothing_more();
        let expected = broker::values(&read_committed(&bootstrap, "packed"));
        assert_eq!(read.values(), expected);
        assert_eq!(read.faults, []);
    }
}

/// A batch that is larger than an answer may be still comes, whole.
#[test]
fn large_records_do_not_stop_a_partition() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic_with(broker, "large", 3, &[("max.message.bytes", "20000000")]);
    let mut producer = producer_config(&bootstrap);
    let producer: BaseProducer = producer.set("message.max.bytes", "20000000").create().unwrap();
    for (number, megabytes) in [0, 6, 0, 9, 2, 0, 5].into_iter().enumerate() {
        for partition in 0..3 {
            let value = vec![b'0' + u8::try_from(number).unwrap(); megabytes << 20];
            send(&producer, BaseRecord::to("large").payload(&value).partition(partition));
        }
        settle(&producer);
    }
    let mut read = Reading::from(reading(&bootstrap, &["large"]), &Start::Earliest);
    read.until(21).unwrap();
    read.nothing_more();
    for got in read.got.values() {
        let lengths = got.iter().map(|(_, _, value)| value.as_ref().map_or(0, Vec::len) >> 20);
        assert_eq!(lengths.collect::<Vec<_>>(), [0, 6, 0, 9, 2, 0, 5]);
    }
}

/// Each of three brokers is killed once while records are written and read.
#[test]
fn leaders_that_move_are_followed() {
    if offline() {
        return;
    }
    let mut cluster = Cluster::start().expect("three brokers");
    let bootstrap = cluster.bootstrap();
    replicated_topic(cluster.broker(0), "followed", (6, 3), &[]);
    let mut read = Reading::from(reading(&bootstrap, &["followed"]), &Start::Earliest);
    let mut written = 0;
    let mut write = |count: usize| {
        let records = (written..written + count)
            .map(|number| (Some(number.to_string().into_bytes()), number.to_string().into_bytes()));
        broker::produce(&bootstrap, "followed", records);
        written += count;
        written
    };
    for victim in 0..BROKERS {
        let upto = write(5_000);
        // In the middle of reading.
        read.until(upto - 4_000).unwrap();
        cluster.kill(victim).expect("killed");
        read.until(upto).unwrap();
        let upto = write(1_000);
        read.until(upto).unwrap();
        cluster.mend().expect("it comes back");
    }
    read.nothing_more();
    let mut values = read.values();
    values.sort_unstable();
    let mut expected: Vec<String> = (0..18_000).map(|number: usize| number.to_string()).collect();
    expected.sort_unstable();
    assert!(values == expected, "{} values, {:?}", values.len(), read.faults);
    Reading::resume(reading(&bootstrap, &["followed"]), &read.next).nothing_more();
}

/// Records that only the old leader had are gone, and others stand at their offsets: that is told, and
/// not read on over.
#[test]
fn a_log_that_was_cut_back_is_found_out() {
    if offline() {
        return;
    }
    let mut cluster = Cluster::start().expect("three brokers");
    let bootstrap = cluster.bootstrap();
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    replicated_topic(cluster.broker(0), "cut-back", (1, 2), &settings);
    let write = |text: &str, count: usize| {
        let records = (0..count).map(|number| (None, format!("{text} {number}").into_bytes()));
        broker::produce(&bootstrap, "cut-back", records);
    };
    write("both have", 10);
    let (leader, follower) = leader_and_follower(&bootstrap, "cut-back");
    let mut config = reading(&bootstrap, &["cut-back"]);
    let mut read = Reading::from(config.clone(), &Start::Earliest);
    config.on_lost_position = OnLostPosition::Earliest;
    let mut going_on = Reading::from(config, &Start::Earliest);
    // The leader goes on alone, and is lost before the other is back, which then leads with what it has.
    cluster.kill(follower).expect("killed");
    write("lost", 10);
    for read in [&mut read, &mut going_on] {
        read.until(20).unwrap();
    }
    cluster.kill(leader).expect("killed");
    cluster.start_again(follower).expect("it comes back");
    write("new", 15);
    let fault = read.until_refused();
    assert_eq!(fault.retry, Retry::Never);
    for part in ["at offset 20", "\"cut-back/0\" was cut back to offset 10", "on_lost_position"] {
        assert!(fault.to_string().contains(part), "{fault}");
    }
    going_on.until(20 + 25).unwrap();
    assert_eq!(going_on.values()[20], "both have 0");
    assert_eq!(going_on.values()[44], "new 14");
}

/// The brokers that lead partition 0 and follow in it, from 0.
fn leader_and_follower(bootstrap: &str, topic: &str) -> (usize, usize) {
    let consumer: BaseConsumer = broker::config(bootstrap).create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).expect("metadata");
    let partition = &metadata.topics()[0].partitions()[0];
    let index = |node: i32| usize::try_from(node - 1).expect("nodes begin with 1");
    let others = partition.replicas().iter().filter(|node| **node != partition.leader());
    let followers: Vec<usize> = others.map(|node| index(*node)).collect();
    (index(partition.leader()), followers[0])
}

/// A broker before Kafka 3.1 does not know of topics by their ids: librdkafka reads.
#[test]
fn what_we_cannot_ask_for_is_left_to_librdkafka() {
    if offline() {
        return;
    }
    let (proxy, broker) = Proxy::before_a_broker();
    topic(&broker, "unserved", 2);
    let numbers = |count: usize| (0..count).map(|n| (None, n.to_string().into_bytes()));
    broker::produce(&proxy.address(), "unserved", numbers(100));
    proxy.serve_at_most(1, 12);
    let mut read = Reading::from(reading(&proxy.address(), &["unserved"]), &Start::Earliest);
    read.until(100).unwrap();
    let told = read.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(told.iter().any(|text| text.contains("librdkafka reads from now on")), "{told:?}");
    assert!(told.iter().any(|text| text.contains("Fetch")), "{told:?}");
    // The same after some was read by us.
    proxy.serve_at_most(1, 13);
    let mut read = Reading::from(reading(&proxy.address(), &["unserved"]), &Start::Earliest);
    read.until(100).unwrap();
    assert_eq!(read.faults, []);
    proxy.serve_at_most(1, 12);
    proxy.cut_all();
    broker::produce(&proxy.address(), "unserved", numbers(50));
    read.until(150).unwrap();
    read.nothing_more();
    assert!(!read.faults.is_empty());
}
