//! The batches being filled, one for each partition that has records, in memory that is used again.
//!
//! Invariant: nothing is kept of what was sent, so at most what the producer buffers is in memory.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ready::Ready;
use crate::kafka::murmur2;
use crate::kafka::wire::batch::{Batch, HEADER_BYTES, Record, Stamp, header_of};
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::failure::Failure;
use crate::kafka::wire::message::coordinator::ProducerId;
use crate::kafka::wire::message::metadata;
use crate::kafka::wire::message::transaction::Partitions;

/// Memory of a batch to begin with; it grows as it must.
const BATCH_BYTES_FIRST: usize = 16 << 10;

/// A topic and a partition, by their numbers here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    topic: usize,
    partition: usize,
}

/// A batch that takes no more records, and where it goes.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    body: Body,
}

/// Where the bytes of a sealed batch are.
#[derive(Debug)]
enum Body {
    Own(Batch),
    Ready { header: [u8; HEADER_BYTES], records: Ready },
}

impl Sealed {
    /// What is sent first.
    pub(super) fn front(&self) -> &[u8] {
        match &self.body {
            Body::Own(_) => &[],
            Body::Ready { header, .. } => header,
        }
    }

    /// What is sent behind it.
    pub(super) fn rest(&self) -> &[u8] {
        match &self.body {
            Body::Own(batch) => batch.bytes(),
            Body::Ready { records, .. } => records.bytes(),
        }
    }

    /// No record has more bytes of key and value.
    pub(super) fn largest(&self) -> usize {
        match &self.body {
            Body::Own(batch) => batch.largest(),
            Body::Ready { records, .. } => records.largest,
        }
    }
}

/// Records of a partition that are not sent yet.
#[derive(Debug)]
enum Waiting {
    Filling(Batch),
    Ready(Ready),
}

impl Waiting {
    /// Bytes of records.
    fn bytes(&self) -> usize {
        match self {
            Self::Filling(batch) => batch.records_bytes(),
            Self::Ready(ready) => ready.bytes().len(),
        }
    }

    /// Ready to be sent, and how many records that are.
    fn seal(self, stamp: Stamp) -> (Body, u32) {
        match self {
            Self::Filling(mut batch) => {
                batch.seal(stamp);
                let records = batch.records();
                (Body::Own(batch), records)
            }
            Self::Ready(records) => {
                let count = records.count();
                let header = header_of(records.bytes(), count, now_ms(), stamp);
                (Body::Ready { header, records }, count)
            }
        }
    }
}

/// The topics of a producer.
#[derive(Debug)]
pub(super) struct Topics {
    topics: Vec<Topic>,
    /// Bytes of records in all batches.
    buffered: usize,
    /// Memory of batches that were sent.
    spare: Vec<Vec<u8>>,
    /// Tells apart where several producers put records without key.
    seed: usize,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// A batch is sent before it would be larger, unless it is one record.
    batch_bytes: usize,
    partitions: Vec<Partition>,
    /// Where records without key go, until that batch is sent.
    keyless: usize,
}

#[derive(Debug, Default)]
struct Partition {
    leader: i32,
    /// Number of the next record.
    sequence: i32,
    /// Whether it is part of the transaction.
    taken_in: bool,
    waiting: Option<Waiting>,
}

impl Topics {
    /// These topics, none of whose batches is larger than the topic takes, nor than `batch_bytes`.
    pub(super) fn new(topics: &[(usize, String)], batch_bytes: usize, id: ProducerId) -> Self {
        let topic = |(limit, name): &(usize, String)| Topic {
            name: name.as_str().into(),
            batch_bytes: batch_bytes.min(*limit),
            partitions: vec![],
            keyless: 0,
        };
        let topics = topics.iter().map(topic).collect();
        let seed = usize::try_from(id.id).unwrap_or(0);
        Self { topics, buffered: 0, spare: Vec::new(), seed }
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.topics.iter().map(|topic| &*topic.name)
    }

    /// Takes over partitions and leaders; what is known of a partition otherwise stays.
    pub(super) fn learn(&mut self, told: &[metadata::Topic]) -> Result<(), Failure> {
        for topic in &mut self.topics {
            let told = told.iter().find(|told| told.name == *topic.name);
            let told = told.ok_or(Failure::Refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))?;
            told.code.check().map_err(Failure::Refused)?;
            if told.partitions.is_empty() || told.partitions.iter().any(|(_, leader)| *leader < 0) {
                return Err(Failure::Refused(ErrorCode::LEADER_NOT_AVAILABLE));
            }
            topic.partitions.resize_with(told.partitions.len(), Partition::default);
            for (partition, (_, leader)) in topic.partitions.iter_mut().zip(&told.partitions) {
                partition.leader = *leader;
            }
            topic.keyless = self.seed % topic.partitions.len();
        }
        Ok(())
    }

    /// Where a record with this key goes.
    #[inline]
    pub(super) fn place(&self, topic: usize, key: Option<&[u8]>) -> Place {
        let found = &self.topics[topic];
        let partition = match key {
            None => found.keyless,
            Some(key) => {
                let count = u32::try_from(found.partitions.len()).expect("few partitions");
                let partition = murmur2::partition_of(key, count);
                usize::try_from(partition).expect("32 bits fit")
            }
        };
        Place { topic, partition }
    }

    /// Where these records go as they are; `None` if the topic takes no such batch, or has no such
    /// partition any more.
    pub(super) fn place_ready(&self, topic: usize, ready: &Ready) -> Option<Place> {
        let found = &self.topics[topic];
        let fits = ready.count() == 1 || HEADER_BYTES + ready.bytes().len() <= found.batch_bytes;
        let partition = ready.partition;
        (fits && partition < found.partitions.len()).then_some(Place { topic, partition })
    }

    /// Partitions of a topic whose batches may have so many bytes of records; 0 if they may not.
    pub(super) fn partitions_for(&self, topic: usize, records_bytes: usize) -> u32 {
        let found = &self.topics[topic];
        let fits = HEADER_BYTES + records_bytes <= found.batch_bytes;
        if fits { u32::try_from(found.partitions.len()).expect("few partitions") } else { 0 }
    }

    /// Whether so many bytes more fit into the batch there; always if nothing waits.
    #[inline]
    pub(super) fn has_room(&self, place: Place, bytes: usize) -> bool {
        let topic = &self.topics[place.topic];
        match &topic.partitions[place.partition].waiting {
            None => true,
            Some(Waiting::Filling(batch)) => batch.len() + bytes <= topic.batch_bytes,
            Some(Waiting::Ready(_)) => false,
        }
    }

    /// Whether nothing waits there.
    pub(super) fn is_free(&self, place: Place) -> bool {
        self.topics[place.topic].partitions[place.partition].waiting.is_none()
    }

    /// Puts records there, where nothing waits.
    pub(super) fn put(&mut self, place: Place, ready: Ready) {
        self.buffered += ready.bytes().len();
        let before = self.partition(place).waiting.replace(Waiting::Ready(ready));
        assert!(before.is_none(), "what waits for a partition is sent first");
    }

    /// Appends a record there, where there is room for it.
    #[inline]
    pub(super) fn push<'a, H>(&mut self, place: Place, record: &Record<'a, H>)
    where
        H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
    {
        let partition = &mut self.topics[place.topic].partitions[place.partition];
        let waiting = partition.waiting.get_or_insert_with(|| {
            let spare = self.spare.pop();
            let memory = spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES_FIRST));
            Waiting::Filling(Batch::begin(memory, now_ms()))
        });
        let Waiting::Filling(batch) = waiting else { unreachable!("there is no room for it") };
        let before = batch.records_bytes();
        batch.push(record);
        self.buffered += batch.records_bytes() - before;
    }

    /// Bytes of records in all batches.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Where there are records.
    pub(super) fn filled(&self) -> Vec<Place> {
        self.places(|partition| partition.waiting.is_some())
    }

    /// Where there are records that the transaction does not know of yet.
    pub(super) fn not_taken_in(&self) -> Vec<Place> {
        self.places(|partition| partition.waiting.is_some() && !partition.taken_in)
    }

    /// Partitions of the transaction.
    pub(super) fn taken_in(&self) -> Vec<Place> {
        self.places(|partition| partition.taken_in)
    }

    /// In order of topic and partition.
    fn places(&self, wanted: impl Fn(&Partition) -> bool) -> Vec<Place> {
        let mut places = Vec::new();
        for (topic, found) in self.topics.iter().enumerate() {
            let partitions = found.partitions.iter().enumerate();
            let wanted = partitions.filter(|(_, partition)| wanted(partition));
            places.extend(wanted.map(|(partition, _)| Place { topic, partition }));
        }
        places
    }

    pub(super) fn take_in(&mut self, places: &[Place]) {
        for place in places {
            self.partition(*place).taken_in = true;
        }
    }

    /// As a request names them.
    pub(super) fn grouped(&self, places: &[Place]) -> Vec<Partitions<'_>> {
        let topics = places.chunk_by(|one, next| one.topic == next.topic);
        let named = topics.filter_map(|places| {
            let name = &*self.topics[places.first()?.topic].name;
            Some((name, places.iter().map(|place| number(place.partition)).collect()))
        });
        named.collect()
    }

    /// Places by the broker that leads them, in their order.
    pub(super) fn by_leader(&self, places: &[Place]) -> Vec<(i32, Vec<Place>)> {
        let mut all: Vec<(i32, Vec<Place>)> = Vec::new();
        for place in places {
            let leader = self.topics[place.topic].partitions[place.partition].leader;
            match all.iter_mut().find(|(known, _)| *known == leader) {
                Some((_, places)) => places.push(*place),
                None => all.push((leader, vec![*place])),
            }
        }
        all
    }

    /// Takes the batches there, numbered and ready to be sent.
    pub(super) fn seal(&mut self, places: &[Place], id: ProducerId) -> Vec<Sealed> {
        let mut all = Vec::with_capacity(places.len());
        for place in places {
            let partition = &mut self.topics[place.topic].partitions[place.partition];
            let Some(waiting) = partition.waiting.take() else { continue };
            self.buffered -= waiting.bytes();
            let ProducerId { id, epoch } = id;
            let stamp = Stamp { producer: id, epoch, sequence: partition.sequence };
            let (body, records) = waiting.seal(stamp);
            partition.sequence = after(partition.sequence, records);
            let topic = &mut self.topics[place.topic];
            if topic.keyless == place.partition {
                topic.keyless = (topic.keyless + 1) % topic.partitions.len();
            }
            let name = Arc::clone(&topic.name);
            all.push(Sealed { topic: name, partition: number(place.partition), body });
        }
        all
    }

    /// Takes the memory of batches back.
    pub(super) fn give_back(&mut self, batches: Vec<Sealed>) {
        self.spare.extend(batches.into_iter().filter_map(|sealed| match sealed.body {
            Body::Own(batch) => Some(batch.into_memory()),
            Body::Ready { .. } => None,
        }));
    }

    /// Forgets records that were not sent, and that partitions were part of a transaction.
    pub(super) fn forget(&mut self) {
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.waiting = None;
            partition.taken_in = false;
        }
        self.buffered = 0;
    }

    /// Numbers begin anew: with a new epoch.
    pub(super) fn restart_sequences(&mut self) {
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.sequence = 0;
        }
    }

    /// An idle sink keeps no memory.
    pub(super) fn let_memory_go(&mut self) {
        self.spare = Vec::new();
    }

    fn partition(&mut self, place: Place) -> &mut Partition {
        &mut self.topics[place.topic].partitions[place.partition]
    }
}

/// The number after `records` more; after the greatest comes 0.
fn after(sequence: i32, records: u32) -> i32 {
    let next = (i64::from(sequence) + i64::from(records)) % (i64::from(i32::MAX) + 1);
    i32::try_from(next).expect("within 31 bits")
}

fn number(partition: usize) -> i32 {
    i32::try_from(partition).expect("brokers count partitions in 31 bits")
}

/// The time of writing, milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use engine::outbox::block::{Block, BlockHeader};

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

    fn record(key: Option<&[u8]>) -> Record<'_, std::iter::Empty<(&str, &[u8])>> {
        Record { key, value: Some(b"value"), headers: std::iter::empty() }
    }

    fn push(topics: &mut Topics, topic: usize, key: Option<&[u8]>) -> Place {
        let place = topics.place(topic, key);
        topics.push(place, &record(key));
        place
    }

    fn sequence(sealed: &Sealed) -> i32 {
        i32::from_be_bytes(*sealed.rest()[53..].first_chunk().unwrap())
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
        let (front, rest) = (sealed[0].front(), sealed[0].rest());
        assert_eq!((front.len(), rest), (HEADER_BYTES, &b"\x0e\0\0\0\x01\x02v\0".repeat(3)[..]));
        assert_eq!((sealed[0].partition, sealed[0].largest(), topics.buffered()), (1, 9, 0));
        let whole = [front, rest].concat();
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
        let unknown =
            metadata::Topic { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..told("a", &[]) };
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
}
