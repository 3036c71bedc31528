//! How large records and batches of a sink's topics may be.
//!
//! A topic's `max.message.bytes` is about a batch as it arrives, compressed where it is. What
//! compression will save is not known when a row is encoded, so rows are measured as they are: one
//! that would have fitted only compressed is too large. A record may be alone in its batch, so it may
//! be as large as a batch less the [frame](FRAME_BYTES_MAX). The client's own limit
//! (`message.max.bytes`, Java's `max.request.size`) is about the record alone.
//!
//! Whom the cluster does not tell (no right to describe topics) the broker tells by refusing. A cluster that
//! does not answer in time says nothing at all: what was known before is as good as it was.

use std::collections::BTreeMap;

use engine::sink::row_limits::RowLimits;

use super::targets::Targets;
use super::topics;
use crate::kafka::config::KafkaConfig;

/// No producer puts more around key, value and headers of a single record: header of the batch (61),
/// lengths, attributes and deltas of the record (at most 41).
pub(super) const FRAME_BYTES_MAX: u64 = 128;

/// What was last heard of the topics.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// The largest batch, by topic.
    batches: BTreeMap<String, u64>,
}

impl Limits {
    /// Asks the cluster about these topics; whether it answered.
    pub(super) fn ask(&mut self, config: &KafkaConfig, topics: &[String]) -> bool {
        let progress = std::slice::from_ref(&config.progress_topic);
        let mut all: Vec<&str> = topics.iter().chain(progress).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        self.hear(topics::batch_bytes_max(config, &all))
    }

    /// Takes an answer for all that is known; whether there is one.
    fn hear(&mut self, answer: Option<BTreeMap<String, u64>>) -> bool {
        let answered = answer.is_some();
        if let Some(batches) = answer {
            self.batches = batches;
        }
        answered
    }

    /// The largest batch this topic takes; `u64::MAX` if that is not known.
    pub(super) fn batch_bytes(&self, topic: &str) -> u64 {
        self.batches.get(topic).copied().unwrap_or(u64::MAX)
    }

    /// The largest batch that every topic takes.
    pub(super) fn batch_bytes_anywhere(&self) -> u64 {
        self.batches.values().copied().min().unwrap_or(u64::MAX)
    }

    /// The largest row for this topic, of a client that takes records up to `ours`.
    pub(super) fn row_bytes(&self, topic: &str, ours: u64) -> u64 {
        self.batch_bytes(topic).min(ours).saturating_sub(FRAME_BYTES_MAX)
    }

    /// Tells those who encode rows.
    pub(super) fn tell(&self, config: &KafkaConfig, topics: &Targets, rows: &RowLimits) {
        for (number, topic) in topics.numbered().iter().enumerate() {
            rows.learn(number, self.row_bytes(topic, config.record_bytes_max()));
        }
        for topic in topics.named() {
            self.tell_of(config, topic, rows);
        }
    }

    /// Tells of a topic that rows name.
    pub(super) fn tell_of(&self, config: &KafkaConfig, topic: &str, rows: &RowLimits) {
        rows.learn_named(topic, self.row_bytes(topic, config.record_bytes_max()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_topic_and_client_counts() {
        let limits = Limits { batches: [("a".to_owned(), 1000), ("p".to_owned(), 700)].into() };
        let known = [("a", 10_000), ("a", 500), ("new", 500), ("new", u64::MAX)];
        let rows = known.map(|(topic, ours)| limits.row_bytes(topic, ours));
        assert_eq!(rows, [872, 372, 372, u64::MAX - 128]);
        assert_eq!(limits.batch_bytes_anywhere(), 700);
        assert_eq!(Limits::default().batch_bytes_anywhere(), u64::MAX);
    }

    #[test]
    fn without_an_answer_all_is_as_it_was() {
        let mut limits = Limits::default();
        assert!(limits.hear(Some([("a".to_owned(), 1000)].into())));
        assert!(!limits.hear(None));
        assert_eq!(limits.batch_bytes("a"), 1000);
        assert!(limits.hear(Some(BTreeMap::new())));
        assert_eq!(limits.batch_bytes("a"), u64::MAX);
    }
}
