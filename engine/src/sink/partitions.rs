//! The partitions of the topics of a sink that takes rows as records.
//!
//! A sink that sends [`Records`](crate::outbox::rows::records::Records) as they lie in a block says
//! how many partitions its topics have, as soon as it knows. Rows are placed where they are encoded
//! then, before anything is durable, and a block has rows of one partition only. Of a topic nobody
//! has spoken of, rows lie in the first form, and the sink places them.
//!
//! The number may change while rows of the old one lie in the outbox: a sink MUST take a block of a
//! partition that is no more as rows that it places itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::graph::plan::Partitioner;

/// Nothing else is published with a number.
const ORDER: Ordering = Ordering::Relaxed;

/// Shared by a [`SinkFactory`](super::SinkFactory), which hands it out, and its sinks, which tell it
/// what they find out.
#[derive(Debug, Clone)]
pub struct Partitions {
    numbered: Arc<[AtomicU32]>,
    partitioner: Partitioner,
}

impl Partitions {
    /// Nothing is known yet of so many topics; keys will be spread by `partitioner`.
    pub fn unknown(topics: usize, partitioner: Partitioner) -> Self {
        Self { numbered: (0..topics).map(|_| AtomicU32::new(0)).collect(), partitioner }
    }

    /// The topic of this number has so many partitions; with 0, its rows are no longer wanted as
    /// records. A number beyond the topics is passed over.
    pub fn learn(&self, target: usize, partitions: u32) {
        if let Some(known) = self.numbered.get(target) {
            known.store(partitions, ORDER);
        }
    }

    /// How many each topic has, in the order of their numbers; 0 while nobody has said.
    pub fn known(&self) -> impl ExactSizeIterator<Item = u32> {
        self.numbered.iter().map(|known| known.load(ORDER))
    }

    /// How keys are spread.
    pub fn partitioner(&self) -> Partitioner {
        self.partitioner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_learns_all_know() {
        let partitions = Partitions::unknown(2, |_, _| 0);
        partitions.clone().learn(1, 7);
        partitions.learn(2, 7);
        assert_eq!(partitions.known().collect::<Vec<_>>(), [0, 7]);
        partitions.learn(1, 0);
        assert_eq!(partitions.known().collect::<Vec<_>>(), [0, 0]);
    }
}
