//! The places of topics outside whose sink takes rows as records.
//!
//! Place 0 is for all rows that lie in a block in the first form: those that name their topic, and
//! those of topics whose partitions are not known. Behind it there is one for each partition.
//!
//! What the sink tells counts for epochs that are opened afterwards ([`Routes`]): if rows of one epoch
//! changed from one form to the other, those of a key would overtake each other.
//!
//! Rows without key go to one partition until its block is sent, and then to the next: few full
//! blocks instead of many small ones, as other producers do it.

use std::rc::Rc;

use super::{KeyPartition, LastKey};
use crate::limit::PLACES_MAX;
use crate::outbox::rows::{OutRow, RowWriter};
use crate::sink::partitions::Partitions;

/// See the module.
pub(in crate::operator::collect) struct OutsidePlaces {
    partitions: Partitions,
    shard: u16,
    /// What was told last, by number of the topic.
    told: Vec<u32>,
    newest: Routes,
    /// All that any epoch may have, but the first.
    all: Vec<Place>,
    last: LastKey,
    /// Blocks of rows without key that were sent, by number of the topic.
    turns: Vec<usize>,
}

/// Where the rows of an epoch go, by number of the topic: its first place, 0 if it has none of its
/// own, and how many partitions.
pub(in crate::operator::collect) type Routes = Rc<[(usize, u32)]>;

/// One partition of one topic.
#[derive(Clone, Copy)]
struct Place {
    target: u16,
    partition: u32,
    /// Partitions of the topic.
    count: u32,
}

impl OutsidePlaces {
    pub(super) fn new(partitions: Partitions, shard: u16) -> Self {
        let told = vec![0; partitions.known(shard).len()];
        Self {
            newest: told.iter().map(|_| (0, 0)).collect(),
            all: Vec::new(),
            last: LastKey::default(),
            // Several workers begin at different partitions.
            turns: vec![usize::from(shard); told.len()],
            partitions,
            shard,
            told,
        }
    }

    /// The routes of an epoch that is opened now. A topic whose number of partitions has changed gets
    /// new places.
    pub(super) fn routes(&mut self) -> Routes {
        let known = self.partitions.known(self.shard);
        if known != self.told {
            let mut routes = self.newest.to_vec();
            for (number, route) in (0_u16..).zip(&mut routes) {
                let index = usize::from(number);
                if known[index] != self.told[index] {
                    *route = (self.add(number, known[index]), known[index]);
                }
            }
            (self.newest, self.told) = (routes.into(), known);
        }
        self.newest.clone()
    }

    /// The first of new places for the partitions of a topic; 0 if there are none.
    fn add(&mut self, target: u16, count: u32) -> usize {
        let first = self.all.len() + 1;
        if count == 0 || self.all.len() + wide(count) > PLACES_MAX {
            return 0;
        }
        self.all.extend((0..count).map(|partition| Place { target, partition, count }));
        first
    }

    pub(super) fn count(&self) -> usize {
        self.all.len() + 1
    }

    pub(super) fn of_row(&mut self, routes: &Routes, row: &OutRow<'_>) -> usize {
        match (row.topic, row.key) {
            (Some(_named), _) => 0,
            (None, Some(key)) => match route(routes, row.target) {
                (0, _) => 0,
                (first, count) => {
                    first + self.last.partition(self.partitions.partitioner(), key, count)
                }
            },
            (None, None) => match route(routes, row.target) {
                (0, _) => 0,
                (first, count) => first + self.turns[usize::from(row.target)] % wide(count),
            },
        }
    }

    #[inline]
    pub(super) fn of_key(&self, routes: &Routes, target: u16, key: &mut KeyPartition<'_>) -> usize {
        match route(routes, target) {
            (0, _) => 0,
            (first, count) => first + key.among(self.partitions.partitioner(), count),
        }
    }

    pub(super) fn writer(&self, place: usize, memory: Vec<u8>) -> RowWriter {
        match place.checked_sub(1) {
            None => RowWriter::within(memory),
            Some(index) => {
                let Place { target, partition, .. } = self.all[index];
                RowWriter::of_partition(memory, target, partition)
            }
        }
    }

    /// A block of this place is on its way: rows without key go to another from now on.
    pub(super) fn filled(&mut self, place: usize) {
        let Some(index) = place.checked_sub(1) else { return };
        let Place { target, partition, count } = self.all[index];
        let turn = &mut self.turns[usize::from(target)];
        if *turn % wide(count) == wide(partition) {
            *turn += 1;
        }
    }
}

/// One that the sink knows nothing of is its own fault to tell.
#[inline]
fn route(routes: &Routes, target: u16) -> (usize, u32) {
    routes.get(usize::from(target)).copied().unwrap_or_default()
}

#[inline]
fn wide(count: u32) -> usize {
    usize::try_from(count).expect("32 bits fit")
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
        let places = OutsidePlaces::new(partitions.clone(), 5);
        partitions.learn(5, told.to_vec());
        (partitions, places)
    }

    /// Target and partition of a place.
    fn destination(places: &OutsidePlaces, place: usize) -> Option<(u16, u32)> {
        let writer = places.writer(place, Vec::new());
        Records::of(writer.bytes()).map(|records| (records.target, records.partition))
    }

    #[test]
    fn a_key_has_its_partition_in_epochs_from_when_the_sink_has_told() {
        let (told, mut places) = places(&[3, 0, 2]);
        told.learn(4, vec![9, 9, 9]);
        let unknown: Routes = [(0, 0); 3].into();
        assert_eq!(places.of_key(&unknown, 0, &mut KeyPartition::new(b"k")), 0);
        let first = places.routes();
        assert_eq!(places.count(), 6);
        let place = places.of_row(&first, &row(0, Some(b"k")));
        assert_eq!(destination(&places, place), Some((0, 1)));
        let place = places.of_key(&first, 2, &mut KeyPartition::new(b"k"));
        assert_eq!(destination(&places, place), Some((2, 1)));
        for elsewhere in [row(1, Some(b"k")), row(1, None), row(7, Some(b"k")), row(7, None)] {
            assert_eq!(places.of_row(&first, &elsewhere), 0);
        }
        let named = OutRow { topic: Some("t"), ..row(0, Some(b"k")) };
        assert_eq!((places.of_row(&first, &named), destination(&places, 0)), (0, None));
        // It has grown: an epoch that is open does not hear of it.
        told.learn(5, vec![4, 0, 0]);
        let second = places.routes();
        let in_both = |places: &mut OutsidePlaces, target, key: &[u8]| {
            [&first, &second].map(|routes| {
                let place = places.of_key(routes, target, &mut KeyPartition::new(key));
                destination(places, place)
            })
        };
        assert_eq!(in_both(&mut places, 0, b"kkk"), [Some((0, 0)), Some((0, 3))]);
        assert_eq!(in_both(&mut places, 2, b"k"), [Some((2, 1)), None]);
        assert!(Rc::ptr_eq(&second, &places.routes()), "nothing new was told");
    }

    #[test]
    fn rows_without_key_change_their_partition_with_each_block() {
        let (_, mut places) = places(&[1, 3]);
        let routes = places.routes();
        let mut partitions = Vec::new();
        for _ in 0..4 {
            let place = places.of_row(&routes, &row(1, None));
            assert_eq!(places.of_row(&routes, &row(1, None)), place);
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
        let routes = places.routes();
        assert_eq!(places.count(), PLACES_MAX + 1);
        let of = |target| places.of_key(&routes, target, &mut KeyPartition::new(b"k"));
        assert_eq!((of(1), of(2)), (0, PLACES_MAX));
    }
}
