//! What is read up to a known end: once more on request, or first as a snapshot.

use std::collections::BTreeMap;

use connectors::kafka::config::KafkaConfig;
use connectors::kafka::source::KafkaSource;
use engine::batch::build::RAW_VALUE;
use engine::source::reread::{Reread, RereadPart, RereadPosition};
use engine::source::{Partition, PollBudget, Polled, Position, Source as _, SourceBatch, Start};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{self, LIMIT, producer_config, read_committed, send, settle, topic};
use crate::drive::{Reading, Waiting, offset_of, reading, shared};
use crate::source_faults::retain_from;

/// What a source gave.
#[derive(Default)]
struct Given {
    /// By name of their partition: position and value of the records.
    rows: BTreeMap<String, Vec<(u64, String)>>,
    /// Batches that did not end at a boundary, by name.
    undivided: BTreeMap<String, usize>,
    /// What is behind the last batch, by name.
    next: BTreeMap<String, Position>,
    whole: Vec<(String, u64)>,
    ended: Vec<Partition>,
}

impl Given {
    fn take(&mut self, batch: SourceBatch) {
        let name = batch.partition.name.to_string();
        let rows = self.rows.entry(name.clone()).or_default();
        for row in batch.rows.rows() {
            assert_eq!(row.order().partition, batch.partition.ordinal);
            let value = row.bytes(RAW_VALUE).expect("no tombstones here").to_vec();
            rows.push((row.order().position, String::from_utf8(value).expect("text")));
        }
        assert!(rows.is_sorted_by(|one, next| one.0 < next.0), "{name}: {rows:?}");
        if !batch.boundary {
            assert!(self.whole.iter().all(|(whole, _)| *whole != name), "{name} was whole");
            *self.undivided.entry(name.clone()).or_default() += 1;
        }
        self.next.insert(name, batch.next);
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let rows = self.rows.get(name).into_iter().flatten();
        rows.map(|(_, value)| value.as_str()).collect()
    }

    /// Reads until it is `enough`.
    fn until(&mut self, source: &mut KafkaSource, enough: impl Fn(&Given) -> bool) {
        let (waiting, budget) = (Waiting::new(), PollBudget { rows: 300, bytes: 1 << 20 });
        while !enough(self) {
            let polled = match source.poll(budget, waiting.now()) {
                Polled::Idle => source.poll_again(budget, waiting.now()),
                polled => polled,
            };
            match polled {
                Polled::Rows(batch) => self.take(batch),
                Polled::Whole(partition, at) => {
                    self.whole.push((partition.name.to_string(), offset_of(&at)));
                }
                Polled::End(partition) => self.ended.push(partition),
                Polled::Idle => drop(waiting.turn("reading")),
                Polled::Fault(fault) => panic!("{fault}"),
            }
        }
    }

    fn count(&self, name: &str) -> usize {
        self.rows.get(name).map_or(0, Vec::len)
    }
}

fn opened(config: &KafkaConfig, start: &Start) -> KafkaSource {
    Reading::from(config.clone(), start).source
}

fn request(number: u32) -> Reread {
    Reread { name: "t".into(), number }
}

/// All that is read again for `request` from `saved` on.
fn again(source: &mut KafkaSource, request: &Reread, saved: Option<&Position>) -> Given {
    source.reread(request, saved).expect("taken");
    let mut given = Given::default();
    given.until(source, |given| given.ended == [request.partition()]);
    given
}

/// Values by partition, in their order.
fn oracle(bootstrap: &str, topic: &str) -> BTreeMap<i32, Vec<String>> {
    let mut all: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in read_committed(bootstrap, topic) {
        let value = String::from_utf8(record.value.expect("no tombstones")).expect("text");
        all.entry(record.partition).or_default().push(value);
    }
    all
}

fn numbers(from: usize, to: usize) -> impl Iterator<Item = (Option<Vec<u8>>, Vec<u8>)> {
    (from..to).map(|n| (Some(n.to_string().into_bytes()), format!("v{n}").into_bytes()))
}

/// One record per transaction, the last ones aborted: the topic's end holds no record of ours.
fn transactions(bootstrap: &str, topic: &str, partition: i32, values: &[(&str, bool)]) {
    let id = format!("{topic}-{partition}");
    let producer: BaseProducer =
        producer_config(bootstrap).set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(LIMIT).expect("a transactional id");
    for (value, good) in values {
        producer.begin_transaction().expect("begun");
        let value = value.as_bytes().to_vec();
        send(&producer, BaseRecord::to(topic).payload(&value).partition(partition));
        settle(&producer);
        match good {
            true => producer.commit_transaction(LIMIT).expect("committed"),
            false => producer.abort_transaction(LIMIT).expect("aborted"),
        }
    }
}

#[test]
fn everything_read_is_read_again_up_to_where_it_stands() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "again", 3);
    broker::produce(&bootstrap, "again", numbers(0, 3000));
    let before = oracle(&bootstrap, "again");
    let config = reading(&bootstrap, &["again"]);
    let mut source = opened(&config, &Start::Earliest);
    let live = |given: &Given| (0..3).map(|n| given.count(&format!("again/{n}"))).sum::<usize>();
    Given::default().until(&mut source, |given| live(given) == 3000);

    // Later records are live only, and come meanwhile.
    broker::produce(&bootstrap, "again", numbers(3000, 3500));
    source.reread(&request(1), None).unwrap();
    let mut first = Given::default();
    first.until(&mut source, |given| live(given) == 500 && !given.ended.is_empty());
    assert_eq!(first.ended, [request(1).partition()]);
    // Parts come one after the other, each in the order of its partition.
    let expected: Vec<String> = before.into_values().flatten().collect();
    assert_eq!(first.values("backfill/t"), expected);

    // The same from a saved position, and again with another consumer.
    source.reread(&request(2), None).unwrap();
    let mut part = Given::default();
    part.until(&mut source, |given| given.count("backfill/t") >= 1200);
    let read = part.count("backfill/t");
    let saved = &part.next["backfill/t"];
    source.close();
    let mut source = opened(&config, &Start::Latest);
    let rest = again(&mut source, &request(2), Some(saved));
    let last = part.rows["backfill/t"].last().expect("some").0;
    assert!(rest.rows["backfill/t"][0].0 > last, "numbers go on");
    let all: Vec<String> = oracle(&bootstrap, "again").into_values().flatten().collect();
    assert_eq!(part.values("backfill/t"), all[..read]);
    assert_eq!(rest.values("backfill/t"), all[read..]);
    assert_eq!(again(&mut source, &request(3), None).count("backfill/t"), 3500);
}

#[test]
fn an_end_without_record_is_found() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "again-holes", 2);
    let values = [("a", true), ("never", false), ("b", true), ("never", false)];
    transactions(&bootstrap, "again-holes", 0, &values);
    let config = reading(&bootstrap, &["again-holes"]);
    // Where it begins is not known yet when the request comes.
    let mut source = opened(&config, &Start::Latest);
    assert_eq!(again(&mut source, &request(1), None).values("backfill/t"), ["a", "b"]);
    // An empty partition, and one of which nothing was read.
    let mut source = opened(&config, &Start::Earliest);
    assert_eq!(again(&mut source, &request(1), None).count("backfill/t"), 0);
}

#[test]
fn a_later_request_replaces_the_earlier_one_while_it_is_read() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "again-twice", 1);
    broker::produce(&bootstrap, "again-twice", numbers(0, 1000));
    let mut source = opened(&reading(&bootstrap, &["again-twice"]), &Start::Latest);
    source.reread(&request(1), None).unwrap();
    Given::default().until(&mut source, |given| given.count("backfill/t") > 0);
    let second = again(&mut source, &request(2), None);
    assert_eq!(second.count("backfill/t"), 1000);
}

#[test]
fn reading_again_begins_with_what_retention_left() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "again-retained", 1);
    broker::produce(&bootstrap, "again-retained", numbers(0, 100));
    retain_from(broker, "again-retained", 60);
    let mut source = opened(&reading(&bootstrap, &["again-retained"]), &Start::Latest);
    let part = |next, upto| {
        let (next, upto) = (Position::of_number(next), Position::of_number(upto));
        let parts = vec![RereadPart { ordinal: 0, next, upto }];
        RereadPosition { number: 1, parts }.encode()
    };
    for (saved, first, count) in
        [(None, "v60", 40), (Some(part(17, 100)), "v60", 40), (Some(part(0, 70)), "v60", 10)]
    {
        let given = again(&mut source, &request(1), saved.as_ref());
        assert_eq!((given.values("backfill/t")[0], given.count("backfill/t")), (first, count));
    }
    let gone = again(&mut source, &request(1), Some(&part(10, 50)));
    assert_eq!(gone.count("backfill/t"), 0);
}

#[test]
fn a_snapshot_is_whole_where_the_topic_ended_when_it_was_opened() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "snapshot", 3);
    transactions(&bootstrap, "snapshot", 0, &[("a", true), ("b", true), ("never", false)]);
    let to = |partition: i32, value: &str| {
        let producer: BaseProducer = producer_config(&bootstrap).create().unwrap();
        let value = value.as_bytes().to_vec();
        send(&producer, BaseRecord::to("snapshot").payload(&value).partition(partition));
        settle(&producer);
    };
    to(1, "c");
    let mut config = reading(&bootstrap, &["snapshot"]);
    config.snapshot = true;
    let mut source = opened(&config, &Start::Earliest);
    assert!(source.describe().snapshot);
    let mut given = Given::default();
    given.until(&mut source, |given| given.whole.len() == 3);
    given.whole.sort();
    // Two records and an aborted one, with their markers; one record; none.
    let ends = [("snapshot/0", 6), ("snapshot/1", 1), ("snapshot/2", 0)];
    assert_eq!(given.whole, ends.map(|(name, end)| (name.to_owned(), end)));
    assert_eq!(given.values("snapshot/0"), ["a", "b"]);
    assert_eq!(given.values("snapshot/1"), ["c"]);
    assert!(given.undivided["snapshot/0"] > 0 && given.undivided["snapshot/1"] == 1);

    for partition in 0..3 {
        to(partition, &format!("later {partition}"));
    }
    let mut live = Given { whole: given.whole.clone(), ..Given::default() };
    live.until(&mut source, |given| given.rows.len() == 3);
    assert_eq!(live.values("snapshot/0"), ["later 0"]);
    assert_eq!(live.values("snapshot/2"), ["later 2"]);
    assert!(live.undivided.is_empty());
    source.close();

    // Saved positions go on as ever; what began at the end has nothing before it.
    let positions =
        ends.map(|(name, end)| (name.to_owned(), Position::of_number(end))).into_iter().collect();
    let mut resumed = Reading::resume(config.clone(), &positions);
    resumed.until(3).unwrap();
    assert_eq!(resumed.values(), ["later 0", "later 1", "later 2"]);
    let mut latest = Given::default();
    latest.until(&mut opened(&config, &Start::Latest), |given| given.whole.len() == 3);
    assert!(latest.rows.is_empty());
}

/// A transaction under way is not part of the snapshot, and the snapshot does not wait for it.
#[test]
fn a_snapshot_ends_before_an_open_transaction() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "snapshot-open", 1);
    broker::produce(&bootstrap, "snapshot-open", [(None, b"a".to_vec())]);
    let mut producer = producer_config(&bootstrap);
    let producer: BaseProducer =
        producer.set("transactional.id", "snapshot-open").create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, BaseRecord::to("snapshot-open").payload(&b"b".to_vec()));
    settle(&producer);
    let mut config = reading(&bootstrap, &["snapshot-open"]);
    config.snapshot = true;
    let mut source = opened(&config, &Start::Earliest);
    let mut given = Given::default();
    given.until(&mut source, |given| !given.whole.is_empty());
    assert_eq!(given.whole, [("snapshot-open/0".to_owned(), 1)]);
    producer.commit_transaction(LIMIT).unwrap();
    given.until(&mut source, |given| given.count("snapshot-open/0") == 2);
    assert_eq!(given.values("snapshot-open/0"), ["a", "b"]);
}
