//! The batches being filled, one for each partition that has records, in memory that is used again.
//!
//! Invariant: nothing is kept of what was sent, so at most what the producer buffers is in memory.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::outbox::rows::OutRow;

use super::ready::Ready;
use super::waiting::Waiting;
use crate::kafka::murmur2;
use crate::kafka::wire::batch::{HEADER_BYTES, Stamp, header_of};
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
    pub(super) header: [u8; HEADER_BYTES],
    pub(super) records: Waiting,
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
            Some(waiting) => {
                waiting.has_room(bytes, topic.batch_bytes.saturating_sub(HEADER_BYTES))
            }
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
    pub(super) fn push(&mut self, place: Place, row: &OutRow<'_>) {
        let partition = &mut self.topics[place.topic].partitions[place.partition];
        let waiting = partition.waiting.get_or_insert_with(|| {
            let spare = self.spare.pop();
            Waiting::begin(spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES_FIRST)))
        });
        let before = waiting.bytes().len();
        waiting.push(row);
        self.buffered += waiting.bytes().len() - before;
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
            let Some(records) = partition.waiting.take() else { continue };
            let sum = records.sum();
            self.buffered -= sum.bytes;
            let ProducerId { id, epoch } = id;
            let stamp = Stamp { producer: id, epoch, sequence: partition.sequence };
            let header = header_of(sum, now_ms(), stamp);
            partition.sequence = after(partition.sequence, sum.count);
            let topic = &mut self.topics[place.topic];
            if topic.keyless == place.partition {
                topic.keyless = (topic.keyless + 1) % topic.partitions.len();
            }
            let name = Arc::clone(&topic.name);
            all.push(Sealed { topic: name, partition: number(place.partition), header, records });
        }
        all
    }

    /// Takes the memory of batches back.
    pub(super) fn give_back(&mut self, batches: Vec<Sealed>) {
        let records = batches.into_iter().map(|sealed| sealed.records);
        self.spare.extend(records.filter_map(Waiting::into_memory));
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
mod tests;
