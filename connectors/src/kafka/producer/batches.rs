//! The batches being filled, one for each partition that has records, in memory that is used again.
//!
//! Invariant: nothing is kept of what was sent, so at most what the producer buffers is in memory.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::kafka::murmur2;
use crate::kafka::wire::batch::{Batch, Record, Stamp};
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
    pub(super) batch: Batch,
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
    batch: Option<Batch>,
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

    /// Whether so many bytes more fit into the batch there; always if there is none.
    #[inline]
    pub(super) fn has_room(&self, place: Place, bytes: usize) -> bool {
        let topic = &self.topics[place.topic];
        let batch = topic.partitions[place.partition].batch.as_ref();
        batch.is_none_or(|batch| batch.len() + bytes <= topic.batch_bytes)
    }

    /// Appends a record there.
    #[inline]
    pub(super) fn push<'a, H>(&mut self, place: Place, record: &Record<'a, H>)
    where
        H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
    {
        let partition = &mut self.topics[place.topic].partitions[place.partition];
        let batch = partition.batch.get_or_insert_with(|| {
            let spare = self.spare.pop();
            Batch::begin(spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES_FIRST)), now_ms())
        });
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
        self.places(|partition| partition.batch.is_some())
    }

    /// Where there are records that the transaction does not know of yet.
    pub(super) fn not_taken_in(&self) -> Vec<Place> {
        self.places(|partition| partition.batch.is_some() && !partition.taken_in)
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
            let Some(mut batch) = partition.batch.take() else { continue };
            let ProducerId { id, epoch } = id;
            batch.seal(Stamp { producer: id, epoch, sequence: partition.sequence });
            partition.sequence = after(partition.sequence, batch.records());
            self.buffered -= batch.records_bytes();
            let topic = &mut self.topics[place.topic];
            if topic.keyless == place.partition {
                topic.keyless = (topic.keyless + 1) % topic.partitions.len();
            }
            let name = Arc::clone(&topic.name);
            all.push(Sealed { topic: name, partition: number(place.partition), batch });
        }
        all
    }

    /// Takes the memory of batches back.
    pub(super) fn give_back(&mut self, batches: Vec<Sealed>) {
        self.spare.extend(batches.into_iter().map(|sealed| sealed.batch.into_memory()));
    }

    /// Forgets records that were not sent, and that partitions were part of a transaction.
    pub(super) fn forget(&mut self) {
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.batch = None;
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
        i32::from_be_bytes(*sealed.batch.bytes()[53..].first_chunk().unwrap())
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
        let length = topics.partition(place).batch.as_ref().map_or(0, Batch::len);
        // What its topic takes, not what the producer would.
        assert!(topics.has_room(place, 150 - length));
        assert!(!topics.has_room(place, 151 - length));
        let elsewhere = push(&mut topics, 0, None);
        assert!(topics.has_room(elsewhere, 200 - length));
        assert!(!topics.has_room(elsewhere, 201 - length));
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
