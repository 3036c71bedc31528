//! What the running process shows of itself at one instant, and how fast it changes.
//!
//! Everything here is a copy of what the engine has published anyway: looking costs the data
//! nothing. Counts move when an epoch completes, so a rate is taken from change to change, not from
//! look to look.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::control::status::Status;
use engine::counter::StoredCounter;
use jobs::Job;

use super::layer;
use crate::usage::Usage;
use crate::warehouse::{Running, Warehouse};

/// One look.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Visible records by topic.
    pub(super) topics: BTreeMap<Arc<str>, u64>,
    counters: Vec<StoredCounter>,
    /// Epochs, holds, faults.
    pub(super) status: Status,
    /// Processor time and memory.
    pub(super) usage: Usage,
}

impl Sample {
    /// Looks now.
    pub(super) fn take(warehouse: &Warehouse, running: &Running, supervisor: Option<u32>) -> Self {
        let gauges = running.gauges.lock().expect("nothing panics under this lock");
        let counters = gauges.counters.clone();
        drop(gauges);
        let stored = |(key, value): (Vec<u8>, u64)| StoredCounter::decode(&key, value);
        Self {
            topics: topic_rows(warehouse),
            counters: counters.into_iter().filter_map(stored).collect(),
            status: running.handle.status(),
            usage: Usage::with_supervisor(supervisor),
        }
    }

    /// Visible records of a topic.
    pub(super) fn rows(&self, topic: &str) -> u64 {
        self.topics.get(topic).copied().unwrap_or(0)
    }

    /// Records that the warehouse has read.
    pub(super) fn read(&self) -> u64 {
        let of_log = |counter: &&StoredCounter| label(counter, "job") == Some(Job::LogSplit.name());
        self.counted("records_in").filter(of_log).map(|counter| counter.value).sum()
    }

    /// The sum of the counters called `name`.
    pub(super) fn total(&self, name: &str) -> u64 {
        self.counted(name).map(|counter| counter.value).sum()
    }

    /// The counters called `name`, summed by a label of theirs, greatest first.
    pub(super) fn by_label(&self, name: &str, by: &str) -> Vec<(&str, u64)> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for counter in self.counted(name) {
            *sums.entry(label(counter, by).unwrap_or("?")).or_default() += counter.value;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        sums
    }

    fn counted(&self, name: &str) -> impl Iterator<Item = &StoredCounter> {
        self.counters.iter().filter(move |counter| counter.name == name)
    }
}

fn label<'a>(counter: &'a StoredCounter, name: &str) -> Option<&'a str> {
    let found = counter.labels.iter().find(|(label, _)| label == name);
    found.map(|(_, value)| value.as_str())
}

/// Visible records of every topic.
pub(super) fn topic_rows(warehouse: &Warehouse) -> BTreeMap<Arc<str>, u64> {
    let mut topics = BTreeMap::<Arc<str>, u64>::new();
    for ((topic, _partition), mark) in warehouse.topics.all() {
        // Numbers are dense, so the next one counts those before.
        *topics.entry(topic).or_default() += mark.next_base;
    }
    topics
}

/// How far back a rate looks.
const RATE_OVER: Duration = Duration::from_secs(10);
/// A count that has not moved for so long does not move.
const STILL_AFTER: Duration = Duration::from_secs(4);

/// The rate of one growing number.
#[derive(Debug, Default)]
struct Meter {
    changes: VecDeque<(Instant, f64)>,
}

impl Meter {
    fn observe(&mut self, at: Instant, value: f64) {
        if self.changes.back().is_none_or(|(_, last)| *last != value) {
            self.changes.push_back((at, value));
        }
        // One older than the span stays, so that there is something to count from.
        while self.changes.get(1).is_some_and(|(of, _)| at.duration_since(*of) > RATE_OVER) {
            self.changes.pop_front();
        }
    }

    fn per_second(&self, now: Instant) -> f64 {
        let (Some(first), Some(last)) = (self.changes.front(), self.changes.back()) else {
            return 0.0;
        };
        let span = last.0.duration_since(first.0).as_secs_f64();
        let still = now.duration_since(last.0) > STILL_AFTER;
        if still || span == 0.0 { 0.0 } else { (last.1 - first.1) / span }
    }
}

/// Counters whose rates are shown.
const COUNTED: [&str; 2] = ["dim_upserts", "backfill_rows"];

/// Rates of all that is shown.
#[derive(Debug)]
pub(super) struct Rates {
    now: Instant,
    topics: BTreeMap<Arc<str>, Meter>,
    counters: BTreeMap<&'static str, Meter>,
    cpu: Meter,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        Self { now, topics: BTreeMap::new(), counters: BTreeMap::new(), cpu: Meter::default() }
    }

    pub(super) fn observe(&mut self, now: Instant, sample: &Sample) {
        self.now = now;
        // A topic has no mark before its first record.
        for topic in layer::dwd().chain(layer::ODS) {
            let meter = self.topics.entry(topic.into()).or_default();
            meter.observe(now, sample.rows(topic) as f64);
        }
        for name in COUNTED {
            let meter = self.counters.entry(name).or_default();
            meter.observe(now, sample.total(name) as f64);
        }
        self.cpu.observe(now, sample.usage.cpu_seconds);
    }

    /// Records per second of a topic.
    pub(super) fn of(&self, topic: &str) -> f64 {
        self.topics.get(topic).map_or(0.0, |meter| meter.per_second(self.now))
    }

    /// How much a counter of [`COUNTED`] grows per second.
    pub(super) fn counted(&self, name: &str) -> f64 {
        self.counters.get(name).map_or(0.0, |meter| meter.per_second(self.now))
    }

    /// Processors in use.
    pub(super) fn cpus(&self) -> f64 {
        self.cpu.per_second(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_moves_in_steps_has_an_even_rate() {
        let (mut meter, begin) = (Meter::default(), Instant::now());
        let at = |ms: u64| begin + Duration::from_millis(ms);
        assert_eq!(meter.per_second(at(0)), 0.0);
        for tick in 0..100 {
            let ms = tick * 200;
            // Once a second 2000 more.
            meter.observe(at(ms), f64::from(u32::try_from(ms / 1_000).expect("small") * 2_000));
            if ms >= 1_000 {
                assert_eq!(meter.per_second(at(ms)), 2_000.0, "at {ms} ms");
            }
        }
        assert!(meter.changes.len() <= 12, "{}", meter.changes.len());
        assert_eq!(meter.per_second(at(25_000)), 0.0, "it stands still");
    }

    #[test]
    fn counters_are_found_by_name_and_label() {
        let stored = |key: &[u8], value| StoredCounter::decode(key, value).expect("a key");
        let sample = Sample {
            counters: vec![
                stored(b"dirty\0log_split\0reason\0no_mid", 3),
                stored(b"dirty\0log_split\0reason\0not_object", 4),
                stored(b"records_in\0generator", 20),
                stored(b"records_in\0log_split", 10),
            ],
            ..Sample::default()
        };
        assert_eq!(sample.total("dirty"), 7);
        assert_eq!(sample.by_label("dirty", "reason"), [("not_object", 4), ("no_mid", 3)]);
        assert_eq!(sample.read(), 10);
        assert!(sample.by_label("late", "job").is_empty());
    }
}
