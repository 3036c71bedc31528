//! Who reads embedded topics in this process, and how far: retention removes nothing that a reader
//! may still ask for.
//!
//! A reader is known from the moment its source is made, before anything runs, and holds everything
//! until it says where it begins. It then lets go of what it has acknowledged, which is never more
//! than its saved position: a generation after a crash finds what it needs. So does one after a
//! stop, in which sources end before the last epochs are complete; therefore a reader is never
//! forgotten while the process lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

type Positions = BTreeMap<u32, u64>;

#[derive(Debug, Default)]
struct Known {
    /// The next reader's number.
    next: u64,
    readers: BTreeMap<u64, (Arc<str>, Positions)>,
}

/// Readers by number, each with its topic and how far it has come in each partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Readers {
    readers: Arc<Mutex<Known>>,
}

impl Readers {
    pub(super) fn add(&self, topic: &str) -> TopicReader {
        let mut known = self.lock();
        let number = known.next;
        known.next += 1;
        known.readers.insert(number, (topic.into(), Positions::new()));
        TopicReader { all: self.clone(), number }
    }

    /// Forgets all: sources that were made before the process begins were only looked at.
    pub(super) fn begin(&self) {
        self.lock().readers.clear();
    }

    /// The number below which nobody reads; `u64::MAX` without readers.
    pub(super) fn floor(&self, topic: &str, partition: u32) -> u64 {
        let known = self.lock();
        let of_topic = known.readers.values().filter(|(read, _)| **read == *topic);
        let passed = of_topic.map(|(_, passed)| passed.get(&partition).copied().unwrap_or(0));
        passed.min().unwrap_or(u64::MAX)
    }

    /// Whether this topic has a reader.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.lock().readers.values().any(|(read, _)| **read == *topic)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.readers.lock().expect("nothing panics under this lock")
    }
}

/// A reader of one topic.
#[derive(Debug)]
pub struct TopicReader {
    all: Readers,
    number: u64,
}

impl TopicReader {
    /// Nothing of this partition below `offset` is needed any more. What it says first may be any
    /// number, later ones grow.
    pub fn passed(&self, partition: u32, offset: u64) {
        let mut known = self.all.lock();
        if let Some((_, passed)) = known.readers.get_mut(&self.number) {
            let before = passed.entry(partition).or_default();
            *before = offset.max(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_counts_even_when_it_has_stopped() {
        let readers = Readers::default();
        let looked_at = readers.add("t");
        readers.begin();
        looked_at.passed(0, 3);
        assert_eq!(readers.floor("t", 0), u64::MAX);
        let (slow, quick) = (readers.add("t"), readers.add("t"));
        let other = readers.add("u");
        other.passed(0, 1);
        quick.passed(0, 9);
        assert_eq!(readers.floor("t", 0), 0, "nothing is known of the slow one yet");
        slow.passed(0, 5);
        slow.passed(0, 4);
        assert_eq!((readers.floor("t", 0), readers.floor("t", 1)), (5, 0));
        drop(slow);
        assert!(readers.has("t") && readers.has("u") && !readers.has("v"));
        assert_eq!(readers.floor("t", 0), 5, "its job goes on from there one day");
    }
}
