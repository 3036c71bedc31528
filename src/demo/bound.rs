//! The end of a bounded demo, and how far its shop has come.
//!
//! A topic has no end of its own; who reads it is told when the last record of its generator is
//! visible. Nothing is remembered: after a restart it is seen again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::checkpoint::writer::TopicMarks;

use super::layer;
use super::stream::Stream;

/// What is looked for in the topics of the generators.
pub(super) struct Bounds {
    ends: Vec<End>,
    /// Visible records of the shop, `u64::MAX` once all are: config changes are due by them.
    come: Arc<AtomicU64>,
}

struct End {
    topic: &'static str,
    records: u64,
    all_there: Arc<AtomicBool>,
}

impl Bounds {
    /// Those of a bounded stream; `None` for one without end.
    pub(super) fn of(stream: &Stream) -> Option<Self> {
        stream.records()?;
        let end = |topic| {
            let records =
                stream.records_of(topic).expect("a bounded stream is bounded in all topics");
            End { topic, records, all_there: Arc::default() }
        };
        Some(Self { ends: layer::ODS.map(end).into(), come: Arc::default() })
    }

    /// The flag that is set once all records of a topic are visible.
    pub(super) fn all_there(&self, topic: &str) -> Option<Arc<AtomicBool>> {
        let end = self.ends.iter().find(|end| end.topic == topic);
        end.map(|end| end.all_there.clone())
    }

    /// The count of the shop's visible records.
    pub(super) fn come(&self) -> Arc<AtomicU64> {
        self.come.clone()
    }

    /// Compares with what is visible now.
    pub(super) fn look(&self, marks: &TopicMarks) {
        let all = marks.all();
        for End { topic, records, all_there } in &self.ends {
            let of_topic = all.iter().filter(|((name, _), _)| &**name == *topic);
            let visible: u64 = of_topic.map(|(_, mark)| mark.next_base).sum();
            let whole = visible >= *records;
            if *topic == layer::SHOP {
                self.come.store(if whole { u64::MAX } else { visible }, Ordering::Release);
            }
            if whole {
                all_there.store(true, Ordering::Release);
            }
        }
    }
}
