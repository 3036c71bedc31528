//! The places of a sink, where blocks are filled: an outbox is one, an embedded topic has one for each
//! partition.
//!
//! Topics that the plan names have their places from the start; one that a row names gets its own with
//! its first row on this worker.

use std::sync::Arc;

use crate::checkpoint::writer::Destination;
use crate::graph::plan::{Partitioner, SinkTarget};
use crate::hash::Map;
use crate::outbox::rows::OutRow;

/// The places, numbered.
pub(super) enum Places {
    /// All rows go one way.
    Outbox,
    /// They are spread over partitions.
    Topics(TopicPlaces),
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
    /// The key asked for last, and its partition among so many: rows made from one come together.
    last_key: Vec<u8>,
    last: (u32, u32),
}

impl Places {
    /// Those that the plan names.
    pub(super) fn of(target: &SinkTarget) -> Self {
        let SinkTarget::Topics(specs, partitioner) = target else { return Self::Outbox };
        let mut topics = TopicPlaces {
            partitioner: *partitioner,
            numbered: Vec::new(),
            named: Map::default(),
            partitions: specs.first().map_or(1, |spec| spec.partitions),
            all: Vec::new(),
            last_key: Vec::new(),
            // Of no topic: it is never asked for.
            last: (0, 0),
        };
        for spec in specs {
            let places = topics.add(&spec.name, spec.partitions);
            topics.numbered.push(places);
        }
        Self::Topics(topics)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Outbox => 1,
            Self::Topics(topics) => topics.all.len(),
        }
    }

    /// The place of a row.
    pub(super) fn of_row(&mut self, row: &OutRow<'_>) -> usize {
        let Self::Topics(topics) = self else { return 0 };
        let (first, partitions) = topics.of_topic(row);
        if let Some(key) = row.key {
            return topics.of_key((first, partitions), key);
        }
        let partition = (topics.partitioner)(row.value.unwrap_or_default(), partitions);
        first + usize::try_from(partition).expect("32 bits fit")
    }

    /// The place of a row with this key that numbers its topic.
    #[inline]
    pub(super) fn of_key(&mut self, target: u16, key: &[u8]) -> usize {
        let Self::Topics(topics) = self else { return 0 };
        topics.of_key(topics.numbered[usize::from(target)], key)
    }

    /// Where the rows of a place go.
    pub(super) fn destination(&self, place: usize) -> Destination {
        match self {
            Self::Outbox => Destination::Outbox,
            Self::Topics(topics) => topics.all[place].clone(),
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

    /// The place of a key among those of a topic.
    #[inline]
    fn of_key(&mut self, (first, partitions): (usize, u32), key: &[u8]) -> usize {
        if self.last.0 != partitions || self.last_key != key {
            self.last = (partitions, (self.partitioner)(key, partitions));
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        first + usize::try_from(self.last.1).expect("32 bits fit")
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
        let mut places = Places::of(&SinkTarget::Topics(specs, partitioner));
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
            let place = places.of_row(&row);
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
}
