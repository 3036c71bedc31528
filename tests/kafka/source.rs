//! What the source reads, and where it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use engine::source::{Position, Replay, Source as _, Start};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::ToBytes as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::{self, LIMIT, producer_config, read_committed, send, settle, topic};
use crate::drive::{Reading, Waiting, config, reading, readings, shared};

fn keyed(count: usize) -> impl Iterator<Item = (Option<Vec<u8>>, Vec<u8>)> {
    (0..count).map(|n| (Some(format!("k{}", n % 100).into_bytes()), format!("v{n}").into_bytes()))
}

/// What the topic holds by the harness's own reading, in the form of [`Reading::got`].
fn oracle(bootstrap: &str, topic: &str) -> BTreeMap<String, Vec<crate::drive::Got>> {
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in read_committed(bootstrap, topic) {
        let offset = u64::try_from(record.offset).expect("not negative");
        let of_partition = all.entry(format!("{topic}/{}", record.partition)).or_default();
        of_partition.push((offset, record.key, record.value));
    }
    all
}

#[test]
fn reads_all_partitions_with_offsets_and_tombstones() {
    let Some(broker) = shared() else { return };
    topic(broker, "all", 3);
    broker::produce(&broker.bootstrap(), "all", keyed(5000));
    let producer: BaseProducer = producer_config(&broker.bootstrap()).create().unwrap();
    send(&producer, BaseRecord::to("all").key(&b"gone".to_vec()));
    send(&producer, BaseRecord::to("all").payload(&Vec::new()).partition(1));
    settle(&producer);

    for config in readings(&broker.bootstrap(), &["all"]) {
        let mut read = Reading::new(config);
        let partitions = read.partitions().unwrap();
        let named: Vec<_> = partitions.iter().map(|p| (&*p.name, p.ordinal)).collect();
        assert_eq!(named, [("all/0", 0), ("all/1", 1), ("all/2", 2)]);
        for partition in &partitions {
            read.source.open(partition, &Start::Earliest).unwrap();
        }
        read.until(5002).unwrap();
        read.nothing_more();
        assert_eq!(read.got, oracle(&broker.bootstrap(), "all"));
        assert!(
            read.got
                .values()
                .flatten()
                .any(|(_, key, value)| { key.as_deref() == Some(b"gone") && value.is_none() })
        );
        assert_eq!(read.source.describe().name, "kafka topic \"all\"");
        assert_eq!(read.source.describe().replay, Replay::Exact);
    }
}

#[test]
fn positions_resume_exactly() {
    let Some(broker) = shared() else { return };
    topic(broker, "resumed", 3);
    broker::produce(&broker.bootstrap(), "resumed", keyed(3000));
    let expected = oracle(&broker.bootstrap(), "resumed");
    let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut positions = BTreeMap::new();
    // Stops after so many records, each time with batches of another size; the consumers take turns.
    let mut readers = readings(&broker.bootstrap(), &["resumed"]).into_iter().cycle();
    for (round, limit) in [1, 700, 701, 1900, 3000].into_iter().enumerate() {
        let config = readers.next().expect("it goes round");
        let mut read = Reading::resume(config, &positions);
        read.budget.rows = 7 + 50 * round;
        while all.values().map(Vec::len).sum::<usize>() + read.count() < limit {
            read.until(read.count() + 1).unwrap();
        }
        for (name, got) in std::mem::take(&mut read.got) {
            all.entry(name).or_default().extend(got);
        }
        positions.append(&mut read.next);
        read.source.close();
    }
    assert_eq!(all, expected);
}

#[test]
fn two_topics_are_one_source() {
    let Some(broker) = shared() else { return };
    for (name, value) in [("both-a", "a"), ("both-b", "b")] {
        topic(broker, name, 2);
        broker::produce(&broker.bootstrap(), name, [(None, value.into())]);
    }
    for config in readings(&broker.bootstrap(), &["both-a", "both-b"]) {
        let mut read = Reading::new(config);
        let partitions = read.partitions().unwrap();
        let ordinals: BTreeSet<u32> = partitions.iter().map(|p| p.ordinal).collect();
        assert_eq!(ordinals.len(), 4, "an ordinal decides order, so each partition has its own");
        for partition in &partitions {
            read.source.open(partition, &Start::Earliest).unwrap();
        }
        read.until(2).unwrap();
        assert_eq!(read.values(), ["a", "b"]);
    }
}

/// Markers and aborted records take offsets; positions step over them.
#[test]
fn what_was_aborted_is_not_read_and_leaves_holes() {
    let Some(broker) = shared() else { return };
    topic(broker, "holes", 1);
    let producer: BaseProducer =
        producer_config(&broker.bootstrap()).set("transactional.id", "holes").create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    for (value, good) in [("a", true), ("never", false), ("b", true), ("never", false)] {
        producer.begin_transaction().unwrap();
        send(&producer, BaseRecord::to("holes").payload(&value.to_bytes().to_vec()));
        settle(&producer);
        match good {
            true => producer.commit_transaction(LIMIT).unwrap(),
            false => producer.abort_transaction(LIMIT).unwrap(),
        }
    }
    for config in readings(&broker.bootstrap(), &["holes"]) {
        let mut read = Reading::from(config.clone(), &Start::Earliest);
        read.until(2).unwrap();
        read.nothing_more();
        let offsets: Vec<u64> = read.got["holes/0"].iter().map(|(offset, ..)| *offset).collect();
        assert_eq!((read.values(), offsets), (vec!["a".into(), "b".into()], vec![0, 4]));
        // After "a" comes its marker, after that an aborted record.
        for position in [1, 2, 3, 4] {
            let start = Start::At(Position::of_number(position));
            let mut resumed = Reading::from(config.clone(), &start);
            resumed.until(1).unwrap();
            assert_eq!(resumed.values(), ["b"], "from {position}");
        }
        let mut ended = Reading::from(config, &Start::At(Position::of_number(5)));
        ended.nothing_more();
    }
}

#[test]
fn begins_at_a_time_or_at_the_end() {
    let Some(broker) = shared() else { return };
    topic(broker, "timed", 1);
    let producer: BaseProducer = producer_config(&broker.bootstrap()).create().unwrap();
    // Near now: retention takes what is older than a week.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    for at in [1000, 2000, 3000] {
        let value = at.to_string().into_bytes();
        send(&producer, BaseRecord::to("timed").payload(&value).timestamp(now + at));
    }
    settle(&producer);
    for (behind, config) in readings(&broker.bootstrap(), &["timed"]).into_iter().enumerate() {
        for (at, expected) in [(0, 3 + behind), (1001, 2 + behind), (3000, 1 + behind)] {
            let mut read = Reading::from(config.clone(), &Start::Timestamp(now + at));
            read.until(expected).unwrap();
            assert!(read.values().contains(&"3000".to_owned()));
            read.nothing_more();
        }
        // Both begin after the last record; one that comes once they have begun is read.
        let mut latest = Reading::from(config.clone(), &Start::Latest);
        // However long the test takes until here.
        let mut later = Reading::from(config, &Start::Timestamp(now + 3_600_000));
        latest.nothing_more();
        later.nothing_more();
        broker::produce(&broker.bootstrap(), "timed", [(None, b"new".to_vec())]);
        for read in [&mut latest, &mut later] {
            read.until(1).unwrap();
            assert_eq!(read.values(), ["new"]);
        }
    }
}

/// A source that begins at the end says where that is before there is a record behind it.
#[test]
fn the_end_it_began_at_is_a_position() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "from-the-end", 2);
    broker::produce(&bootstrap, "from-the-end", keyed(10));
    let config = reading(&bootstrap, &["from-the-end"]);
    let mut first = Reading::from(config.clone(), &Start::Latest);
    let waiting = Waiting::new();
    while first.next.len() < 2 {
        waiting.turn("the positions");
        assert_eq!(first.poll().unwrap(), 0);
    }
    let positions = first.next.clone();
    drop(first);
    broker::produce(&bootstrap, "from-the-end", keyed(20));
    let mut resumed = Reading::resume(config, &positions);
    resumed.until(20).unwrap();
    resumed.nothing_more();
}

#[test]
fn partitions_added_later_are_found() {
    let Some(broker) = shared() else { return };
    topic(broker, "growing", 1);
    let mut read = Reading::from(reading(&broker.bootstrap(), &["growing"]), &Start::Earliest);
    broker::produce(&broker.bootstrap(), "growing", [(None, b"first".to_vec())]);
    read.until(1).unwrap();
    broker::grow(broker, "growing", 3);
    let waiting = Waiting::new();
    let partitions = loop {
        waiting.turn("partitions to appear");
        let partitions = read.partitions().unwrap();
        if partitions.len() == 3 {
            break partitions;
        }
    };
    let producer: BaseProducer = producer_config(&broker.bootstrap()).create().unwrap();
    for partition in 0..3 {
        let value = format!("to {partition}").into_bytes();
        send(&producer, BaseRecord::to("growing").payload(&value).partition(partition));
    }
    settle(&producer);
    for partition in &partitions {
        if !read.got.contains_key(&*partition.name) {
            read.source.open(partition, &Start::Earliest).unwrap();
        }
    }
    read.until(4).unwrap();
    assert_eq!(read.values(), ["first", "to 0", "to 1", "to 2"]);
}

/// Copies of our positions, for tools that show lag.
#[test]
fn delivered_positions_are_committed_to_a_named_group_only() {
    let Some(broker) = shared() else { return };
    topic(broker, "lag", 2);
    broker::produce(&broker.bootstrap(), "lag", keyed(100));
    let committed = |group: &str| -> Vec<Offset> {
        let consumer: BaseConsumer =
            broker::config(&broker.bootstrap()).set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range("lag", 0, 1);
        let found = consumer.committed_offsets(asked, LIMIT).unwrap();
        found.elements().iter().map(|element| element.offset()).collect()
    };
    for (settings, group) in [(&[("group.id", "lagging")][..], "lagging"), (&[], "not-named")] {
        let mut config = config(&broker.bootstrap(), settings);
        config.topics = vec!["lag".to_owned()];
        let mut read = Reading::new(config);
        let partitions = read.partitions().unwrap();
        let positions: Vec<_> =
            partitions.into_iter().map(|partition| (partition, Position::of_number(7))).collect();
        read.source.acknowledge(&positions);
        if group == "lagging" {
            let waiting = Waiting::new();
            while committed(group) != [Offset::Offset(7), Offset::Offset(7)] {
                waiting.turn("a commit of group offsets");
                read.poll().unwrap();
            }
        } else {
            assert_eq!(committed(group), [Offset::Invalid, Offset::Invalid]);
        }
    }
}

/// Waiting for the broker must not stop the thread that polls, least of all for one that is not there.
#[test]
fn no_call_waits() {
    let Some(broker) = shared() else { return };
    topic(broker, "unwaited", 1);
    let port = xtask::services::ports::Port::take().unwrap();
    for address in [broker.bootstrap(), format!("127.0.0.1:{}", port.number())] {
        let mut read = Reading::new(reading(&address, &["unwaited"]));
        let mut longest = Duration::ZERO;
        let mut timed = |work: &mut dyn FnMut()| {
            let started = std::time::Instant::now();
            work();
            longest = longest.max(started.elapsed());
        };
        let waiting = Waiting::new();
        for _ in 0..300 {
            let now = waiting.turn("turns");
            let mut found = None;
            timed(&mut || found = read.source.discover(now).ok().flatten());
            for partition in found.unwrap_or_default() {
                timed(&mut || read.source.open(&partition, &Start::Latest).unwrap());
            }
            timed(&mut || {
                read.poll().unwrap();
            });
        }
        timed(&mut || read.source.close());
        // A call that waited for an answer would wait 5 s here.
        assert!(longest < Duration::from_secs(2), "{longest:?} at {address}");
    }
}
