//! The places of topics outside whose sink takes rows as records.
//!
//! Place 0 is for all rows that lie in a block in the first form: those that name their topic, and
//! those of topics whose partitions are not known. Behind it there is one for each partition.
//!
//! Rows without key go to one partition until its block is sent, and then to the next: few full
//! blocks instead of many small ones, as other producers do it.

use super::LastKey;
use crate::limit::PLACES_MAX;
use crate::outbox::rows::{OutRow, RowWriter};
use crate::sink::partitions::Partitions;

/// See the module.
pub(in crate::operator::collect) struct OutsidePlaces {
    partitions: Partitions,
    /// By number of the topic.
    topics: Vec<Topic>,
    /// Topic and partition of each place but the first.
    all: Vec<(u16, u32)>,
    last: LastKey,
    /// Tells apart where several workers begin with rows without key.
    worker: usize,
}

/// The places of one topic.
#[derive(Clone, Copy, Default)]
struct Topic {
    /// Its first place; 0 while its partitions are not known.
    first: usize,
    partitions: u32,
    /// The place of rows without key.
    keyless: usize,
}

impl OutsidePlaces {
    pub(super) fn new(partitions: Partitions, worker: usize) -> Self {
        let topics = vec![Topic::default(); partitions.known().len()];
        Self { partitions, topics, all: Vec::new(), last: LastKey::default(), worker }
    }

    /// Gives places to partitions that were told of since. A topic whose number of partitions has
    /// changed gets new ones.
    pub(super) fn learn(&mut self) {
        let known = self.partitions.known();
        for (number, (topic, partitions)) in (0..).zip(self.topics.iter_mut().zip(known)) {
            if topic.partitions == partitions {
                continue;
            }
            let count = usize::try_from(partitions).expect("32 bits fit");
            *topic = Topic { partitions, ..Topic::default() };
            if partitions > 0 && self.all.len() + count <= PLACES_MAX {
                topic.first = self.all.len() + 1;
                topic.keyless = topic.first + self.worker % count;
                self.all.extend((0..partitions).map(|partition| (number, partition)));
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len() + 1
    }

    pub(super) fn of_row(&mut self, row: &OutRow<'_>) -> usize {
        match (row.topic, row.key) {
            (Some(_named), _) => 0,
            (None, Some(key)) => self.of_key(row.target, key),
            (None, None) => self.topic(row.target).keyless,
        }
    }

    #[inline]
    pub(super) fn of_key(&mut self, target: u16, key: &[u8]) -> usize {
        let Topic { first, partitions, .. } = self.topic(target);
        if first == 0 {
            return 0;
        }
        first + self.last.partition(self.partitions.partitioner(), key, partitions)
    }

    /// One that the sink knows nothing of is its own fault to tell.
    #[inline]
    fn topic(&self, target: u16) -> Topic {
        self.topics.get(usize::from(target)).copied().unwrap_or_default()
    }

    pub(super) fn writer(&self, place: usize, memory: Vec<u8>) -> RowWriter {
        match place.checked_sub(1) {
            None => RowWriter::within(memory),
            Some(index) => {
                let (target, partition) = self.all[index];
                RowWriter::of_partition(memory, target, partition)
            }
        }
    }

    /// A block of this place is on its way: rows without key go to another from now on.
    pub(super) fn filled(&mut self, place: usize) {
        let Some(index) = place.checked_sub(1) else { return };
        let topic = &mut self.topics[usize::from(self.all[index].0)];
        if topic.keyless == place {
            let count = usize::try_from(topic.partitions).expect("32 bits fit");
            topic.keyless = topic.first + (place + 1 - topic.first) % count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::rows::Op;
    use crate::outbox::rows::records::Records;

    fn row(target: u16, key: Option<&'static [u8]>) -> OutRow<'static> {
        let (op, value) = (Op::Insert, Some(&b"v"[..]));
        OutRow { target, topic: None, op, time_ms: 0, key, value, headers: &[] }
    }

    fn places(told: &[u32]) -> (Partitions, OutsidePlaces) {
        let by_length = |key: &[u8], count| u32::try_from(key.len()).unwrap() % count;
        let partitions = Partitions::unknown(told.len(), by_length);
        (0..).zip(told).for_each(|(target, count)| partitions.learn(target, *count));
        let places = OutsidePlaces::new(partitions.clone(), 5);
        (partitions, places)
    }

    /// Target and partition of a place.
    fn destination(places: &OutsidePlaces, place: usize) -> Option<(u16, u32)> {
        let writer = places.writer(place, Vec::new());
        Records::of(writer.bytes()).map(|records| (records.target, records.partition))
    }

    #[test]
    fn a_key_has_its_partition_once_the_sink_has_told() {
        let (told, mut places) = places(&[3, 0, 2]);
        assert_eq!(places.of_key(0, b"k"), 0);
        places.learn();
        assert_eq!(places.count(), 6);
        let place = places.of_row(&row(0, Some(b"k")));
        assert_eq!(destination(&places, place), Some((0, 1)));
        let place = places.of_key(2, b"k");
        assert_eq!(destination(&places, place), Some((2, 1)));
        for elsewhere in [row(1, Some(b"k")), row(7, Some(b"k")), row(7, None)] {
            assert_eq!(places.of_row(&elsewhere), 0);
        }
        let named = OutRow { topic: Some("t"), ..row(0, Some(b"k")) };
        assert_eq!((places.of_row(&named), destination(&places, 0)), (0, None));
        // It has grown; the old places are still what they were.
        told.learn(0, 4);
        places.learn();
        let place = places.of_key(0, b"kkk");
        assert_eq!(destination(&places, place), Some((0, 3)));
        assert_eq!(destination(&places, 1), Some((0, 0)));
        told.learn(0, 0);
        places.learn();
        assert_eq!(places.of_key(0, b"k"), 0);
    }

    #[test]
    fn rows_without_key_change_their_partition_with_each_block() {
        let (_, mut places) = places(&[1, 3]);
        places.learn();
        let mut partitions = Vec::new();
        for _ in 0..4 {
            let place = places.of_row(&row(1, None));
            assert_eq!(places.of_row(&row(1, None)), place);
            partitions.push(destination(&places, place).unwrap().1);
            places.filled(1);
            places.filled(place);
        }
        assert_eq!(partitions, [2, 0, 1, 2]);
    }

    #[test]
    fn more_partitions_than_blocks_may_be_open_are_left_to_the_sink() {
        let most = u32::try_from(PLACES_MAX).unwrap();
        let (_, mut places) = places(&[most - 1, 2, 1]);
        places.learn();
        assert_eq!(places.count(), PLACES_MAX + 1);
        assert_eq!((places.of_key(1, b"k"), places.of_key(2, b"k")), (0, PLACES_MAX));
    }
}
