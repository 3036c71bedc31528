//! The topics of a sink: those that rows number, and those that rows name.
//!
//! A topic that a row names becomes known when a unit first has a row of it: the unit is let go, the
//! topics of all its rows are found or made, and it begins again with a producer that knows them. What
//! is known is only a memory: one that was deleted meanwhile is forgotten with its producer, and made
//! again for the next row of it.

use std::collections::BTreeSet;

use engine::error::Fatal;
use engine::hash::Map;
use engine::outbox::blocks::Blocks;
use engine::outbox::rows::records::Records;
use engine::outbox::rows::{RowReader, RowRef};

use super::transaction::{Trouble, never};

/// Names of topics, numbered.
#[derive(Debug)]
pub(super) struct Targets {
    names: Vec<String>,
    /// How many of them rows number.
    numbered: usize,
    /// Those that rows name.
    named: Map<Box<str>, usize>,
}

impl Targets {
    /// Those that rows number.
    pub(super) fn new(numbered: Vec<String>) -> Self {
        Self { numbered: numbered.len(), names: numbered, named: Map::default() }
    }

    /// All names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The names that rows number.
    pub(super) fn numbered(&self) -> &[String] {
        &self.names[..self.numbered]
    }

    /// The names that rows name, as far as they are known.
    pub(super) fn named(&self) -> &[String] {
        &self.names[self.numbered..]
    }

    /// The number of the topic of a row.
    #[inline]
    pub(super) fn of(&self, row: &RowRef<'_>) -> Result<usize, Trouble> {
        if let Some(topic) = row.topic {
            return self.named.get(topic).copied().ok_or(Trouble::NewTopic);
        }
        self.of_number(row.target)
    }

    /// The topic of this number.
    pub(super) fn of_number(&self, target: u16) -> Result<usize, Trouble> {
        let target = usize::from(target);
        if target < self.numbered {
            return Ok(target);
        }
        let count = self.numbered;
        Err(never(format!("cannot deliver to target {target}: the sink has {count} topics")))
    }

    /// The topics that rows of these blocks name and that are not known.
    pub(super) fn unknown(&self, blocks: &Blocks) -> Result<BTreeSet<String>, Fatal> {
        let mut unknown = BTreeSet::new();
        for block in blocks {
            let block = block?;
            // Records of one partition are of a topic with a number.
            if Records::of(&block.bytes).is_some() {
                continue;
            }
            // A damaged row is told by whoever delivers it.
            for topic in RowReader::new(&block.bytes).flatten().filter_map(|row| row.topic) {
                if !self.named.contains_key(topic) && !unknown.contains(topic) {
                    unknown.insert(topic.to_owned());
                }
            }
        }
        Ok(unknown)
    }

    /// Adds a topic that rows name.
    pub(super) fn add(&mut self, topic: String) {
        self.named.insert(topic.as_str().into(), self.names.len());
        self.names.push(topic);
    }

    /// Forgets all that rows name.
    pub(super) fn forget_named(&mut self) {
        self.named.clear();
        self.names.truncate(self.numbered);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::outbox::block::{Block, BlockHeader};
    use engine::outbox::rows::{Op, OutRow, RowWriter};

    use super::*;

    fn blocks(topics: &[(u16, Option<&str>)]) -> Blocks {
        let mut writer = RowWriter::new();
        for &(target, topic) in topics {
            let (key, value) = (None, Some(&b"v"[..]));
            let op = Op::Insert;
            writer.push(&OutRow { target, topic, op, time_ms: 0, key, value, headers: &[] });
        }
        let rows = writer.rows();
        let header = BlockHeader { rows, epoch: 1, sink: 1, shard: 0, base: 0 };
        vec![Arc::new(Block { header, bytes: writer.into_bytes().into() })].into()
    }

    fn numbers(targets: &Targets, blocks: &Blocks) -> Vec<Option<usize>> {
        let block = blocks.iter().next().unwrap().unwrap();
        RowReader::new(&block.bytes).map(|row| targets.of(&row.unwrap()).ok()).collect()
    }

    #[test]
    fn a_topic_is_known_by_number_or_by_name_until_it_is_forgotten() {
        let mut targets = Targets::new(vec!["a".to_owned(), "b".to_owned()]);
        let blocks = blocks(&[(1, None), (0, Some("new")), (0, Some("a")), (2, None)]);
        assert_eq!(numbers(&targets, &blocks), [Some(1), None, None, None]);
        let unknown = targets.unknown(&blocks).unwrap();
        assert_eq!(unknown.iter().collect::<Vec<_>>(), ["a", "new"]);
        unknown.into_iter().for_each(|topic| targets.add(topic));
        assert_eq!(numbers(&targets, &blocks), [Some(1), Some(3), Some(2), None]);
        assert!(targets.unknown(&blocks).unwrap().is_empty());
        assert_eq!(targets.names(), ["a", "b", "a", "new"]);
        assert_eq!(
            (targets.numbered().len(), targets.named()),
            (2, &["a".into(), "new".into()][..])
        );
        targets.forget_named();
        assert_eq!(numbers(&targets, &blocks), [Some(1), None, None, None]);
        assert_eq!(targets.names(), ["a", "b"]);
    }
}
