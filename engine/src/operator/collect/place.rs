//! The places of a sink, where blocks are filled: a topic has one for each partition, what knows of no
//! partitions has one for all rows.
//!
//! Embedded topics that the plan names have their places from the start; one that a row names gets its
//! own with its first row on this worker. Topics outside get theirs when their sink has told of their
//! partitions ([`outside`]).

mod key;
mod outside;

use std::sync::Arc;

pub(crate) use self::key::KeyPartition;
use self::key::LastKey;
use self::outside::OutsidePlaces;
pub(super) use self::outside::Routes;
use crate::checkpoint::writer::Destination;
use crate::graph::plan::{Partitioner, SinkTarget};
use crate::hash::Map;
use crate::outbox::block::BLOCK_BYTES_MAX;
use crate::outbox::rows::records::RECORDS_BYTES_MAX;
use crate::outbox::rows::{OutRow, RowWriter};

/// The places, numbered.
pub(super) enum Places {
    /// All rows go one way.
    Outbox,
    /// They are spread over partitions of embedded topics.
    Topics(TopicPlaces),
    /// They are spread over partitions outside, as far as these are known.
    Outside(OutsidePlaces),
}

/// The partitions of a sink's embedded topics.
pub(super) struct TopicPlaces {
    partitioner: Partitioner,
    /// By number of the topic: the number of its first place, and how many there are.
    numbered: Vec<(usize, u32)>,
    /// The same by name.
    named: Map<Arc<str>, (usize, u32)>,
    /// Partitions of a topic that a row names first.
    partitions: u32,
    all: Vec<Destination>,
    last: LastKey,
}

impl Places {
    /// Those of a sink on this worker.
    pub(super) fn of(target: &SinkTarget, shard: u16) -> Self {
        let (specs, partitioner) = match target {
            SinkTarget::Topics(specs, partitioner) => (specs, partitioner),
            SinkTarget::Outside(factory) => {
                let partitions = factory.partitions();
                let outside = partitions.map(|found| OutsidePlaces::new(found, shard));
                return outside.map_or(Self::Outbox, Self::Outside);
            }
        };
        let mut topics = TopicPlaces {
            partitioner: *partitioner,
            numbered: Vec::new(),
            named: Map::default(),
            partitions: specs.first().map_or(1, |spec| spec.partitions),
            all: Vec::new(),
            last: LastKey::default(),
        };
        for spec in specs {
            let places = topics.add(&spec.name, spec.partitions);
            topics.numbered.push(places);
        }
        Self::Topics(topics)
    }

    /// Where the rows of an epoch that is opened now go.
    pub(super) fn routes(&mut self) -> Routes {
        match self {
            Self::Outbox | Self::Topics(_) => Routes::default(),
            Self::Outside(outside) => outside.routes(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Outbox => 1,
            Self::Topics(topics) => topics.all.len(),
            Self::Outside(outside) => outside.count(),
        }
    }

    /// The place of a row of an epoch with these routes.
    pub(super) fn of_row(&mut self, routes: &Routes, row: &OutRow<'_>) -> usize {
        let topics = match self {
            Self::Outbox => return 0,
            Self::Outside(outside) => return outside.of_row(routes, row),
            Self::Topics(topics) => topics,
        };
        let (first, partitions) = topics.of_topic(row);
        if let Some(key) = row.key {
            return first + topics.last.partition(topics.partitioner, key, partitions);
        }
        let partition = (topics.partitioner)(row.value.unwrap_or_default(), partitions);
        first + usize::try_from(partition).expect("32 bits fit")
    }

    /// The place of a row with this key that numbers its topic, likewise.
    #[inline]
    pub(super) fn of_key(&self, routes: &Routes, target: u16, key: &mut KeyPartition<'_>) -> usize {
        match self {
            Self::Outbox => 0,
            Self::Topics(topics) => {
                let (first, partitions) = topics.numbered[usize::from(target)];
                first + key.among(topics.partitioner, partitions)
            }
            Self::Outside(outside) => outside.of_key(routes, target, key),
        }
    }

    /// A writer without rows for a place, in this memory.
    pub(super) fn writer(&self, place: usize, memory: Vec<u8>) -> RowWriter {
        match self {
            Self::Outbox | Self::Topics(_) => RowWriter::within(memory),
            Self::Outside(outside) => outside.writer(place, memory),
        }
    }

    /// Bytes of a block there, unless it is one row.
    pub(super) fn block_bytes_max(&self, place: usize) -> usize {
        match self {
            Self::Outside(_) if place > 0 => RECORDS_BYTES_MAX,
            Self::Outbox | Self::Topics(_) | Self::Outside(_) => BLOCK_BYTES_MAX,
        }
    }

    /// Where the rows of a place go.
    pub(super) fn destination(&self, place: usize) -> Destination {
        match self {
            Self::Outbox | Self::Outside(_) => Destination::Outbox,
            Self::Topics(topics) => topics.all[place].clone(),
        }
    }

    /// A block of this place is on its way.
    pub(super) fn filled(&mut self, place: usize) {
        if let Self::Outside(outside) = self {
            outside.filled(place);
        }
    }
}

impl TopicPlaces {
    fn of_topic(&mut self, row: &OutRow<'_>) -> (usize, u32) {
        let Some(name) = row.topic else { return self.numbered[usize::from(row.target)] };
        match self.named.get(name) {
            Some(places) => *places,
            None => self.add(name, self.partitions),
        }
    }

    fn add(&mut self, name: &str, partitions: u32) -> (usize, u32) {
        let (name, first): (Arc<str>, _) = (name.into(), self.all.len());
        let destination = |partition| Destination::Topic { topic: name.clone(), partition };
        self.all.extend((0..partitions).map(destination));
        self.named.insert(name, (first, partitions));
        (first, partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::plan::TopicSpec;
    use crate::outbox::rows::Op;

    #[test]
    fn a_topic_that_a_row_names_gets_places_once() {
        let spec = |name: &str, partitions| TopicSpec { name: name.to_owned(), partitions };
        let specs = vec![spec("a", 2), spec("b", 1)];
        let partitioner: Partitioner =
            |key, count| u32::try_from(key.len()).expect("short") % count;
        let mut places = Places::of(&SinkTarget::Topics(specs, partitioner), 0);
        assert_eq!(places.count(), 3);
        let mut place = |target, topic, key: &'static [u8]| {
            let key = Some(key);
            let row = OutRow {
                target,
                topic,
                op: Op::Insert,
                time_ms: 0,
                key,
                value: None,
                headers: &[],
            };
            let place = places.of_row(&Routes::default(), &row);
            match places.destination(place) {
                Destination::Topic { topic, partition } => (place, topic.to_string(), partition),
                Destination::Outbox => panic!("a topic"),
            }
        };
        assert_eq!(place(1, None, b""), (2, "b".to_owned(), 0));
        assert_eq!(place(0, Some("new"), b"k"), (4, "new".to_owned(), 1));
        assert_eq!(place(0, Some("new"), b""), (3, "new".to_owned(), 0));
        // One of the plan is the same topic by either way.
        assert_eq!(place(0, Some("a"), b"k"), place(0, None, b"k"));
        assert_eq!(place(0, Some("other"), b""), (5, "other".to_owned(), 0));
    }

    #[test]
    fn the_partition_of_a_key_is_that_of_its_topic_whatever_was_found_before() {
        let by_length: Partitioner = |key, count| u32::try_from(key.len()).expect("short") % count;
        let reversed: Partitioner = |key, count| {
            let first = key.first().copied().unwrap_or_default();
            u32::from(u8::MAX - first) % count
        };
        let topics = [("a", 3), ("b", 5), ("c", 3)];
        let spec = |(name, partitions): (&str, u32)| TopicSpec { name: name.into(), partitions };
        let target = |by| SinkTarget::Topics(topics.map(spec).into(), by);
        let sinks = [by_length, reversed].map(|by| (Places::of(&target(by), 0), by));
        for key in [&b"seven"[..], b"", b"k"] {
            let mut found = KeyPartition::new(key);
            for (sink, number) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (0, 0), (0, 2), (1, 2)] {
                let (places, by) = &sinks[sink];
                let place = places.of_key(&Routes::default(), number, &mut found);
                let (name, partitions) = topics[usize::from(number)];
                let destination = places.destination(place);
                let Destination::Topic { topic, partition } = destination else {
                    panic!("a topic")
                };
                assert_eq!((&*topic, partition), (name, by(key, partitions)));
            }
        }
    }
}
