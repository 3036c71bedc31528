//! Tests of batches by partition.

use engine::outbox::block::{Block, BlockHeader};
use engine::outbox::rows::Op;

use super::*;

const ID: ProducerId = ProducerId { id: 7, epoch: 0 };

fn told(name: &str, leaders: &[i32]) -> metadata::Topic {
    let partitions = (0..).zip(leaders.iter().copied()).collect();
    metadata::Topic { code: ErrorCode::NONE, name: name.to_owned(), partitions }
}

fn topics() -> Topics {
    let mut topics = Topics::new(&[(300, "a".to_owned()), (150, "b".to_owned())], 200, ID);
    topics.learn(&[told("b", &[2]), told("a", &[1, 2, 1])]).unwrap();
    topics
}

fn record(key: Option<&[u8]>) -> OutRow<'_> {
    let value = Some(&b"value"[..]);
    OutRow { target: 0, topic: None, op: Op::Insert, time_ms: 0, key, value, headers: &[] }
}

fn push(topics: &mut Topics, topic: usize, key: Option<&[u8]>) -> Place {
    let place = topics.place(topic, key);
    topics.push(place, &record(key));
    place
}

fn sequence(sealed: &Sealed) -> i32 {
    i32::from_be_bytes(*sealed.header[53..].first_chunk().unwrap())
}

#[test]
fn records_are_numbered_by_partition_over_transactions() {
    let mut topics = topics();
    let place = push(&mut topics, 1, Some(b"k"));
    push(&mut topics, 1, None);
    assert_eq!(topics.not_taken_in(), [place]);
    topics.take_in(&[place]);
    assert_eq!((topics.not_taken_in(), topics.filled()), (vec![], vec![place]));
    assert_eq!(topics.grouped(&[place]), [("b", vec![0])]);
    let sealed = topics.seal(&[place], ID);
    assert_eq!((sequence(&sealed[0]), topics.buffered()), (0, 0));
    topics.give_back(sealed);
    topics.forget();
    push(&mut topics, 1, Some(b"k"));
    assert_eq!(topics.not_taken_in(), [place]);
    assert_eq!(sequence(&topics.seal(&[place], ID)[0]), 2);
    topics.restart_sequences();
    push(&mut topics, 1, Some(b"k"));
    assert_eq!(sequence(&topics.seal(&[place], ID)[0]), 0);
    assert_eq!((after(i32::MAX, 1), after(i32::MAX - 1, 3)), (0, 1));
}

#[test]
fn keys_go_by_their_hash_and_the_rest_by_turns() {
    let mut topics = topics();
    for key in [&b"21"[..], b"foobar", b""] {
        let expected = murmur2::partition_of(key, 3);
        assert_eq!(topics.place(0, Some(key)).partition, usize::try_from(expected).unwrap());
    }
    let mut used = Vec::new();
    for _ in 0..6 {
        let place = push(&mut topics, 0, None);
        assert_eq!(push(&mut topics, 0, None), place);
        used.push(place.partition);
        topics.seal(&[place], ID);
    }
    assert_eq!(used, [1, 2, 0, 1, 2, 0]);
}

#[test]
fn a_full_batch_has_no_room_but_a_new_one_takes_a_giant() {
    let mut topics = topics();
    let place = topics.place(1, None);
    assert!(topics.has_room(place, 10_000));
    push(&mut topics, 1, None);
    let length = HEADER_BYTES + topics.buffered();
    // What its topic takes, not what the producer would.
    assert!(topics.has_room(place, 150 - length));
    assert!(!topics.has_room(place, 151 - length));
    let elsewhere = push(&mut topics, 0, None);
    assert!(topics.has_room(elsewhere, 200 - length));
    assert!(!topics.has_room(elsewhere, 201 - length));
}

/// A block of `records` records for a partition, as an outbox gives it back.
fn ready(partition: u8, records: usize) -> Ready {
    let mut bytes = vec![0x80, 0, 0, partition, 0, 0, 0, 9, 0, 0, 0];
    bytes.extend_from_slice(&b"\x0e\0\0\0\x01\x02v\0".repeat(records));
    let rows = u32::try_from(records).unwrap();
    let header = BlockHeader { rows, epoch: 1, sink: 1, shard: 0, base: 0 };
    Ready::of(&Arc::new(Block { header, bytes: bytes.into() })).unwrap()
}

#[test]
fn records_of_a_block_are_numbered_like_others_and_stay_where_they_are() {
    let mut topics = topics();
    let place = topics.place_ready(0, &ready(1, 3)).unwrap();
    assert!(topics.is_free(place));
    topics.put(place, ready(1, 3));
    assert!(!topics.is_free(place) && !topics.has_room(place, 0));
    assert_eq!((topics.buffered(), topics.filled()), (24, vec![place]));
    let sealed = topics.seal(&[place], ID);
    let Sealed { partition, header, records, .. } = &sealed[0];
    assert_eq!(records.bytes(), b"\x0e\0\0\0\x01\x02v\0".repeat(3));
    assert_eq!((*partition, records.largest(), topics.buffered()), (1, 9, 0));
    let whole = [&header[..], records.bytes()].concat();
    let crc = u32::from_be_bytes(*whole[17..].first_chunk().unwrap());
    assert_eq!(crc, crc32c::crc32c(&whole[21..]));
    topics.give_back(sealed);
    // The next one begins where the three ended, whoever puts it there.
    topics.push(place, &record(None));
    assert_eq!(sequence(&topics.seal(&[place], ID)[0]), 3);
}

#[test]
fn a_block_that_does_not_fit_any_more_is_not_taken() {
    let topics = topics();
    // 200 bytes less 61 of header are 17 of 8.
    assert!(topics.place_ready(0, &ready(2, 17)).is_some());
    assert!(topics.place_ready(0, &ready(2, 18)).is_none(), "larger than a batch");
    assert!(topics.place_ready(0, &ready(3, 1)).is_none(), "no such partition");
    assert!(topics.place_ready(1, &ready(0, 11)).is_some());
    assert!(topics.place_ready(1, &ready(0, 12)).is_none(), "larger than its topic takes");
    let partitions = [(0, 139), (0, 140), (1, 89), (1, 90)];
    let partitions = partitions.map(|(topic, bytes)| topics.partitions_for(topic, bytes));
    assert_eq!(partitions, [3, 0, 1, 0]);
}

#[test]
fn places_are_sent_to_their_leaders() {
    let mut topics = topics();
    for (topic, partition) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        topics.push(Place { topic, partition }, &record(None));
    }
    let all = topics.filled();
    let by_leader = topics.by_leader(&all);
    let counts: Vec<_> = by_leader.iter().map(|(node, places)| (*node, places.len())).collect();
    assert_eq!(counts, [(1, 2), (2, 2)]);
    assert_eq!(topics.grouped(&all), [("a", vec![0, 1, 2]), ("b", vec![0])]);
}

#[test]
fn topics_that_are_missing_or_without_leader_are_refused() {
    let mut topics = topics();
    let unknown = metadata::Topic { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..told("a", &[]) };
    for (a, code) in [
        (unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (told("other", &[1]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (told("a", &[1, -1]), ErrorCode::LEADER_NOT_AVAILABLE),
        (told("a", &[]), ErrorCode::LEADER_NOT_AVAILABLE),
    ] {
        let failure = topics.learn(&[a, told("b", &[1])]).unwrap_err();
        assert_eq!(failure.code(), Some(code));
    }
    // One that has grown keeps its numbers.
    push(&mut topics, 1, None);
    let place = Place { topic: 1, partition: 0 };
    topics.seal(&[place], ID);
    topics.learn(&[told("a", &[1]), told("b", &[1, 1])]).unwrap();
    topics.push(place, &record(None));
    assert_eq!(sequence(&topics.seal(&[place], ID)[0]), 1);
}
