//! The partitions of the topics of a sink that takes rows as records.
//!
//! A sink that sends [`Records`](crate::outbox::rows::records::Records) as they lie in a block says
//! how many partitions its topics have, as soon as it knows. Rows are placed where they are encoded
//! then, before anything is durable, and a block has rows of one partition only. Of a topic nobody
//! has spoken of, rows lie in the first form, and the sink places them.
//!
//! Each shard is told by its own sink: two that have heard of a grown topic at different times must not
//! contradict each other. The number may change while rows of the old one lie in the outbox: a sink
//! MUST take a block of a partition that is no more as rows that it places itself.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::graph::plan::Partitioner;

/// Shared by a [`SinkFactory`](super::SinkFactory), which hands it out, and its sinks, which tell it
/// what they find out.
#[derive(Debug, Clone)]
pub struct Partitions {
    topics: usize,
    partitioner: Partitioner,
    by_shard: Arc<RwLock<BTreeMap<u16, Vec<u32>>>>,
}

impl Partitions {
    /// Nothing is known yet of so many topics; keys will be spread by `partitioner`.
    pub fn unknown(topics: usize, partitioner: Partitioner) -> Self {
        Self { topics, partitioner, by_shard: Arc::default() }
    }

    /// How many partitions each topic has, in the order of their numbers, as the sink of a shard has
    /// heard; 0 where rows are not wanted as records.
    pub fn learn(&self, shard: u16, counts: Vec<u32>) {
        assert_eq!(counts.len(), self.topics, "every topic has its number");
        // Plain values: none can be left half changed by a panic.
        let mut by_shard = self.by_shard.write().unwrap_or_else(PoisonError::into_inner);
        by_shard.insert(shard, counts);
    }

    /// What the sink of a shard has told; 0 everywhere while it has not.
    pub fn known(&self, shard: u16) -> Vec<u32> {
        let by_shard = self.by_shard.read().unwrap_or_else(PoisonError::into_inner);
        by_shard.get(&shard).cloned().unwrap_or_else(|| vec![0; self.topics])
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
    fn what_the_sink_of_a_shard_learns_is_known_of_that_shard() {
        let partitions = Partitions::unknown(2, |_, _| 0);
        partitions.clone().learn(1, vec![0, 7]);
        assert_eq!((partitions.known(0), partitions.known(1)), (vec![0, 0], vec![0, 7]));
        partitions.learn(1, vec![8, 0]);
        assert_eq!(partitions.known(1), [8, 0]);
    }
}
