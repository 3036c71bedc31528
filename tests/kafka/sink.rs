//! What the sink writes, when it becomes visible, and what a crash leaves.

use std::collections::BTreeSet;
use std::time::SystemTime;

use connectors::kafka::murmur2::partition_of;
use engine::outbox::rows::OutRow;
use engine::random::Random;
use engine::sink::{SinkIdentity, SinkReply, SinkRequest};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{
    LIMIT, Record, producer_config, read_committed, read_now, send, settle, topic, values,
};
use crate::drive::{
    Delivering, Waiting, identity, numbered, numbered_values, row, shared, unit, writing,
};

/// The values of a topic, sorted: partitions have no order among each other.
fn sorted(bootstrap: &str, topic: &str) -> Vec<String> {
    let mut values = values(&read_committed(bootstrap, topic));
    values.sort();
    values
}

#[test]
fn writes_keys_values_headers_and_tombstones_to_topics_it_makes() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    let mut config = writing(&bootstrap, "made", &[]);
    config.partitions = 3;
    let (mut sink, last) = Delivering::start(config, &["made-a", "made-b"], &identity("made"));
    assert_eq!(last, None);
    // The event time of a row is not the time of its record: a replay of old days would be taken by
    // retention at once.
    let time_ms = 1_700_000_000_000;
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let rows = [
        OutRow { time_ms, headers: &[("h", b"1"), ("h", b"")], ..row(Some("k"), Some("v")) },
        row(Some("k"), None),
        OutRow { target: 1, ..row(None, Some("")) },
    ];
    assert_eq!(sink.deliver(&unit(7, 9, &rows)), Ok(SinkReply::Delivered));
    let found = read_committed(&bootstrap, "made-a");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|found| found.key.as_deref() == Some(b"k")));
    assert_eq!((found[0].value.as_deref(), found[1].value.as_deref()), (Some(&b"v"[..]), None));
    let headers = [("h".to_owned(), Some(b"1".to_vec())), ("h".to_owned(), Some(Vec::new()))];
    assert_eq!((&found[0].headers[..], found[1].headers.len()), (&headers[..], 0));
    let found = read_committed(&bootstrap, "made-b");
    assert_eq!(
        (found.len(), found[0].key.clone(), found[0].value.clone()),
        (1, None, Some(vec![]))
    );
    let written = time_of_first(&bootstrap, "made-a").unwrap();
    assert!(u128::try_from(written).unwrap() >= started, "{written}");

    // The statement that the unit is there, in the form others may rely on.
    let progress = read_committed(&bootstrap, "made-progress");
    assert_eq!(progress.len(), 1);
    assert_eq!(progress[0].key.as_deref(), Some(&b"00000000000000fa/made/out/0"[..]));
    let text = &values(&progress)[0];
    assert!(text.starts_with("watershed-progress 1 upper=9 rows=3 crc="), "{text}");
}

fn time_of_first(bootstrap: &str, topic: &str) -> Option<i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::message::Message as _;
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
    let consumer: BaseConsumer =
        crate::broker::config(bootstrap).set("group.id", "times").create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..3 {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&all).expect("an assignment");
    loop {
        if let Some(message) = consumer.poll(LIMIT) {
            return message.expect("a record").timestamp().to_millis();
        }
    }
}

#[test]
fn keys_go_where_java_clients_put_them() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    let mut config = writing(&bootstrap, "placed", &[]);
    config.partitions = 5;
    let (mut sink, _) = Delivering::start(config, &["placed"], &identity("placed"));
    let mut keys: Vec<String> = (0..500).map(|number| format!("用户{number}")).collect();
    keys.extend(["21".into(), "foobar".into(), String::new()]);
    let rows: Vec<_> = keys.iter().map(|key| row(Some(key), Some("v"))).collect();
    sink.deliver(&unit(1, 1, &rows)).unwrap();
    let found = read_committed(&bootstrap, "placed");
    assert_eq!(found.len(), keys.len());
    for found in &found {
        let key = found.key.as_deref().unwrap();
        assert_eq!(i64::from(found.partition), i64::from(partition_of(key, 5)), "{key:?}");
    }
    let partition = |key: &[u8]| {
        found.iter().find(|found| found.key.as_deref() == Some(key)).unwrap().partition
    };
    assert_eq!((partition(b"21"), partition(b"foobar")), (0, 1));
}

#[test]
fn a_unit_is_visible_whole_or_not_at_all() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "whole", 2);
    let (mut sink, _) =
        Delivering::start(writing(&bootstrap, "whole", &[]), &["whole"], &identity("whole"));
    let (unit, blocks) = numbered(1, 60_000);
    assert!(blocks.len() > 1);
    sink.sink.begin(SinkRequest::Deliver(unit, blocks.into()));
    // Read while it is being written, one partition after the other: each is whole by itself.
    let while_written = [(); 2].map(|()| read_now(&bootstrap, "whole"));
    assert_eq!(sink.answer(), Ok(SinkReply::Delivered));
    let found = read_committed(&bootstrap, "whole");
    for (seen, partition) in while_written.iter().flat_map(|seen| [(seen, 0), (seen, 1)]) {
        let count = |records: &[Record]| {
            records.iter().filter(|record| record.partition == partition).count()
        };
        assert!([0, count(&found)].contains(&count(seen)), "{} of {partition}", count(seen));
    }
    assert_eq!(sorted(&bootstrap, "whole"), numbered_values([(1, 60_000)]));
}

#[test]
fn what_is_there_is_told_by_family_job_and_shard() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "known", 1);
    let config = writing(&bootstrap, "known", &[]);
    let ours = identity("known");
    let (mut sink, _) = Delivering::start(config.clone(), &["known"], &ours);
    for epoch in [3, 8] {
        sink.deliver(&numbered(epoch, 2)).unwrap();
    }
    assert_eq!(sink.last(), Ok(Some(8)));
    for (other, expected) in [
        (ours.clone(), Some(8)),
        (SinkIdentity { family: 0xfb, ..ours.clone() }, None),
        (SinkIdentity { shard: 1, ..ours.clone() }, None),
        (SinkIdentity { job: "know".into(), ..ours.clone() }, None),
        (SinkIdentity { sink: "other".into(), ..ours.clone() }, None),
    ] {
        let (_, last) = Delivering::start(config.clone(), &["known"], &other);
        assert_eq!(last, expected, "{other:?}");
    }
    // What is known to be there is not sent again.
    let (mut sink, _) = Delivering::start(config, &["known"], &ours);
    assert_eq!(sink.deliver(&numbered(8, 2)), Ok(SinkReply::Delivered));
    assert_eq!(sorted(&bootstrap, "known"), numbered_values([(3, 2), (8, 2)]));
}

/// Any open transaction in the progress topic hides what comes after it: waiting is the only way not
/// to take a delivered unit for a missing one.
#[test]
fn an_open_transaction_of_another_job_hides_nothing() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    let config = writing(&bootstrap, "hidden", &[]);
    let (mut sink, _) = Delivering::start(config.clone(), &["hidden"], &identity("hidden"));
    let other: BaseProducer =
        producer_config(&bootstrap).set("transactional.id", "hiding").create().unwrap();
    other.init_transactions(LIMIT).unwrap();
    other.begin_transaction().unwrap();
    // A compacted topic takes no record without a key.
    let (key, value) = (b"other".to_vec(), b"open".to_vec());
    send(&other, BaseRecord::to("hidden-progress").key(&key).payload(&value));
    settle(&other);
    sink.deliver(&numbered(5, 1)).unwrap();
    assert_eq!(read_now(&bootstrap, "hidden-progress"), []);

    let mut next = Delivering::new(config, &["hidden"]);
    next.prepare(&identity("hidden")).unwrap();
    next.sink.begin(SinkRequest::LastDelivered);
    let waiting = Waiting::new();
    for _ in 0..500 {
        let now = waiting.turn("nothing");
        assert_eq!(next.sink.poll(now), engine::sink::SinkPoll::Pending);
    }
    other.abort_transaction(LIMIT).unwrap();
    assert_eq!(next.answer(), Ok(SinkReply::LastDelivered(Some(5))));
}

/// The instance goes away without a word at some instant of its work, again and again.
#[test]
fn crashes_at_any_instant_lose_and_double_nothing() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "crashing", 3);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = Random::new(seed);
    let config = writing(&bootstrap, "crashing", &[]);
    let units: Vec<(u64, usize)> =
        (1..=25).map(|epoch| (epoch, usize::try_from(1 + random.below(3000)).unwrap())).collect();
    let start = || Delivering::start(config.clone(), &["crashing"], &identity("crashing"));
    let (first, mut last) = start();
    let mut sink = Some(first);
    let (mut crashes, mut found_delivered) = (0, 0);
    for &(epoch, rows) in &units {
        let unit = numbered(epoch, rows);
        while last < Some(epoch) {
            let working = sink.as_mut().unwrap();
            working.sink.begin(SinkRequest::Deliver(unit.0.clone(), unit.1.clone().into()));
            // Two of three crash, half of them before a unit could be done, half about then.
            if random.below(3) == 0 {
                assert_eq!(working.answer(), Ok(SinkReply::Delivered), "SEED={seed}");
                last = Some(epoch);
                continue;
            }
            let instant = std::time::Instant::now();
            let longest = if random.one_in(2) { 2_000 } else { 30_000 };
            let limit = std::time::Duration::from_micros(random.below(longest));
            while instant.elapsed() < limit {
                std::thread::yield_now();
            }
            crashes += 1;
            let former = last;
            // Half of them live on for a while as zombies.
            let zombie = random.one_in(2).then(|| sink.take());
            drop(sink.take());
            let (next, told) = start();
            (sink, last) = (Some(next), told);
            drop(zombie);
            assert!(last >= former && last <= Some(epoch), "SEED={seed}: {former:?} {last:?}");
            found_delivered += usize::from(last == Some(epoch));
        }
    }
    assert!(crashes > 10, "SEED={seed}: {crashes}");
    assert!(found_delivered < crashes, "SEED={seed}: no crash came early enough");
    assert_eq!(sorted(&bootstrap, "crashing"), numbered_values(units), "SEED={seed}");
}

/// The prefix keeps apart what shares a cluster; two shards are two producers.
#[test]
fn shards_and_prefixes_do_not_fence_each_other() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "apart", 1);
    let config = writing(&bootstrap, "apart", &[]);
    let mut prefixed = config.clone();
    prefixed.transactional_id_prefix = "second-".to_owned();
    let ours = identity("apart");
    let other_shard = SinkIdentity { shard: 1, ..ours.clone() };
    let other_family = SinkIdentity { family: 1, ..ours.clone() };
    let mut sinks = [
        Delivering::start(config.clone(), &["apart"], &ours).0,
        Delivering::start(config, &["apart"], &other_shard).0,
        Delivering::start(prefixed, &["apart"], &other_family).0,
    ];
    for epoch in 1..=3 {
        for sink in &mut sinks {
            sink.deliver(&numbered(epoch, 1)).unwrap();
        }
    }
    let found = sorted(&bootstrap, "apart");
    assert_eq!(found.len(), 9);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 3);
}
