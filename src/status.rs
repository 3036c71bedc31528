//! `watershed status`: what a process is doing, or what the last one left behind.
//!
//! One report serves both: a running process answers it through its socket, otherwise it is made of
//! the last complete checkpoint, where much is absent because nothing is under way.

mod dimension;
mod sink;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::WriterGauges;
use engine::control::quarantine::Quarantined;
use engine::control::status::Status;
use engine::counter::StoredCounter;
use engine::outbox::log::Mark;
use engine::state::backend::StateBackend;
use engine::state::size::StateSize;
use serde::{Deserialize, Serialize};

pub(crate) use self::dimension::{BackfillReport, DimensionReport, backfills};
pub(crate) use self::sink::{FullSink, SinkReport};
use crate::data_dir::DataDir;

/// What can be said about a directory and the process on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether a process runs on the directory.
    pub(crate) running: bool,
    /// Its id.
    pub(crate) pid: Option<u32>,
    /// Number of the incarnation.
    pub(crate) generation: u64,
    /// Worker threads.
    pub(crate) workers: usize,
    /// The epoch that is open.
    pub(crate) open_epoch: Option<u64>,
    /// All bounded sources have ended and everything is delivered.
    pub(crate) finished: bool,
    /// Jobs that run in step.
    pub(crate) groups: Vec<GroupReport>,
    /// What keeps epochs from completing.
    pub(crate) holds: Vec<HoldReport>,
    /// Shards of sinks; only of a running process.
    #[serde(default)]
    pub(crate) sinks: Vec<SinkReport>,
    /// Faults of the outside, newest last.
    pub(crate) faults: Vec<String>,
    /// Jobs that are left out.
    pub(crate) quarantined: Vec<QuarantineReport>,
    /// Bytes of batches and blocks under way.
    pub(crate) inflight_bytes: u64,
    /// State in memory, by operator; only of a running process.
    pub(crate) states: Vec<StateReport>,
    /// Bytes in the outbox.
    pub(crate) outbox_bytes: Option<u64>,
    /// Units not yet delivered.
    pub(crate) units: usize,
    /// Partitions of embedded topics.
    pub(crate) topics: Vec<TopicReport>,
    /// Dimensions, where their job has run.
    pub(crate) dimensions: Option<DimensionReport>,
    /// Counters.
    pub(crate) counters: Vec<CounterReport>,
}

/// A group of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupReport {
    /// Its name.
    pub(crate) name: String,
    /// Its jobs.
    pub(crate) jobs: Vec<String>,
    /// Whether its sources have been opened.
    pub(crate) running: bool,
    /// Last epoch ordered to close.
    pub(crate) closed: Option<u64>,
    /// Last complete epoch.
    pub(crate) complete: u64,
    /// Last epoch with nothing undelivered at or below.
    pub(crate) settled: Option<u64>,
    /// The sink for which so much waits that the sources take nothing in.
    #[serde(default)]
    pub(crate) full_sink: Option<FullSink>,
    /// Milliseconds since the oldest closed and incomplete epoch was closed; 0 if there is none.
    pub(crate) epoch_age_ms: u64,
    /// Milliseconds since the last completion.
    pub(crate) checkpoint_age_ms: Option<u64>,
}

/// State of an operator, all workers together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateReport {
    /// Job name.
    pub(crate) job: String,
    /// Operator uid.
    pub(crate) uid: String,
    /// Keys, rows that wait, timers.
    pub(crate) entries: u64,
    /// Estimated bytes in memory.
    pub(crate) bytes: u64,
}

/// A job that does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuarantineReport {
    /// The job.
    pub(crate) job: String,
    /// Why.
    pub(crate) reason: String,
}

/// A retained capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldReport {
    /// Worker.
    pub(crate) worker: usize,
    /// Job.
    pub(crate) job: String,
    /// Operator.
    pub(crate) uid: String,
    /// Epoch held.
    pub(crate) epoch: u64,
    /// Why.
    pub(crate) reason: String,
}

/// A partition of an embedded topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicReport {
    /// Topic.
    pub(crate) topic: String,
    /// Partition.
    pub(crate) partition: u32,
    /// The offset the next record will have.
    pub(crate) next_offset: u64,
    /// Where the visible part ends: base number of the last file, and its bytes.
    pub(crate) file: u64,
    /// See `file`.
    pub(crate) length: u64,
}

/// A counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CounterReport {
    /// Name.
    pub(crate) name: String,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Value.
    pub(crate) value: u64,
}

impl TopicReport {
    /// The partition's visible end as the engine knows it.
    pub(crate) fn mark(&self) -> Mark {
        Mark { file: self.file, length: self.length, next_base: self.next_offset }
    }

    pub(crate) fn new(topic: &str, partition: u32, mark: &Mark) -> Self {
        let (file, length, next_offset) = (mark.file, mark.length, mark.next_base);
        Self { topic: topic.to_owned(), partition, next_offset, file, length }
    }
}

impl From<StoredCounter> for CounterReport {
    fn from(counter: StoredCounter) -> Self {
        let labels = counter.labels.into_iter().collect();
        Self { name: counter.name, labels, value: counter.value }
    }
}

impl Report {
    /// Of this running process.
    pub(crate) fn running(status: Status, gauges: &WriterGauges, topics: Vec<TopicReport>) -> Self {
        let counters = gauges.counters.iter();
        let counters = counters.filter_map(|(key, value)| StoredCounter::decode(key, *value));
        let hold = |hold: &engine::epoch::hold::HoldEntry| HoldReport {
            worker: hold.worker,
            job: hold.job.to_string(),
            uid: hold.uid.to_string(),
            epoch: hold.epoch,
            reason: hold.reason.as_str().to_owned(),
        };
        Self {
            running: true,
            pid: Some(std::process::id()),
            generation: status.generation,
            workers: status.workers,
            open_epoch: Some(status.open_epoch),
            finished: status.finished,
            holds: status.holds.iter().map(hold).collect(),
            groups: status.groups.into_iter().map(GroupReport::from).collect(),
            sinks: status.sinks.into_iter().map(SinkReport::from).collect(),
            faults: status.faults,
            quarantined: status.quarantined.into_iter().map(QuarantineReport::from).collect(),
            inflight_bytes: status.inflight_bytes,
            states: status.states.iter().map(StateReport::from).collect(),
            outbox_bytes: Some(gauges.outbox_bytes),
            units: gauges.backlogs.iter().map(|backlog| backlog.units).sum(),
            topics,
            dimensions: None,
            counters: counters.map(CounterReport::from).collect(),
        }
    }

    /// Of a directory on which nothing runs.
    pub(crate) fn saved(saved: &Saved) -> Self {
        let group = |(name, complete): (&Arc<str>, &u64)| GroupReport {
            name: name.to_string(),
            jobs: saved.members.get(name).into_iter().flatten().map(ToString::to_string).collect(),
            running: false,
            closed: None,
            complete: *complete,
            settled: None,
            full_sink: None,
            epoch_age_ms: 0,
            checkpoint_age_ms: None,
        };
        let topics = saved.topics.iter();
        let topics = topics.map(|((name, number), mark)| TopicReport::new(name, *number, mark));
        Self {
            generation: saved.generation,
            groups: saved.complete.iter().map(group).collect(),
            quarantined: left_out(saved),
            units: saved.units.values().map(BTreeMap::len).sum(),
            topics: topics.collect(),
            counters: saved.counters().into_iter().map(CounterReport::from).collect(),
            ..Self::default()
        }
    }

    /// Adds what is to be said of the dimensions.
    pub(crate) fn with_dimensions(self, dir: &DataDir, backend: &dyn StateBackend) -> Self {
        Self { dimensions: DimensionReport::new(dir, backend, &self.counters), ..self }
    }

    /// The report as text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write_head(&mut out);
        self.groups.iter().for_each(|group| group.write(&mut out));
        self.write_trouble(&mut out);
        self.write_states(&mut out);
        self.dimensions.iter().for_each(|dimensions| dimensions.write(&mut out));
        write_topics(&self.topics, &mut out);
        if !self.counters.is_empty() {
            let _infallible = writeln!(out, "\ncounters");
        }
        for counter in &self.counters {
            let labels = counter.labels.iter().map(|(name, value)| format!("{name}={value}"));
            let name = format!("{}{{{}}}", counter.name, labels.collect::<Vec<_>>().join(","));
            let _infallible = writeln!(out, "  {name:<60} {:>14}", counter.value);
        }
        out
    }

    fn write_head(&self, out: &mut String) {
        let _infallible = match self.pid {
            Some(pid) => writeln!(
                out,
                "running as pid {pid}, generation {}, {} workers, epoch {} open{}",
                self.generation,
                self.workers,
                self.open_epoch.unwrap_or(0),
                if self.finished { ", all input is through" } else { "" },
            ),
            None => writeln!(out, "not running; the last generation was {}", self.generation),
        };
        if self.running {
            let _infallible = writeln!(
                out,
                "{} under way, {} in the outbox, {} units undelivered",
                bytes_text(self.inflight_bytes),
                bytes_text(self.outbox_bytes.unwrap_or(0)),
                self.units,
            );
        } else if self.units > 0 {
            // Marks of delivery ride on the next epoch: after a clean end some are due.
            let _infallible = writeln!(out, "{} units not marked as delivered", self.units);
        }
    }

    fn write_states(&self, out: &mut String) {
        if self.states.is_empty() {
            return;
        }
        let bytes: u64 = self.states.iter().map(|state| state.bytes).sum();
        let _infallible = writeln!(out, "\nstate in memory, {} in all", bytes_text(bytes));
        for StateReport { job, uid, entries, bytes } in &self.states {
            let bytes = bytes_text(*bytes);
            let _infallible = writeln!(out, "  {job}.{uid}: {entries} entries, {bytes}");
        }
    }

    fn write_trouble(&self, out: &mut String) {
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let _infallible = writeln!(out, "\n{title}\n  {}", lines.join("\n  "));
            }
        };
        let hold = |hold: &HoldReport| {
            let HoldReport { worker, job, uid, epoch, reason } = hold;
            format!("epoch {epoch} by {job}.{uid} on worker {worker}: {reason}")
        };
        section("holds", self.holds.iter().map(hold).collect());
        section("sinks that stand still", sink::standing_lines(&self.sinks));
        section("faults", self.faults.clone());
        let left_out = |left: &QuarantineReport| format!("{}: {}", left.job, left.reason);
        section("in quarantine", self.quarantined.iter().map(left_out).collect());
    }
}

impl From<&StateSize> for StateReport {
    fn from(size: &StateSize) -> Self {
        let (job, uid) = (size.job.to_string(), size.uid.to_string());
        Self { job, uid, entries: size.entries, bytes: size.bytes }
    }
}

impl From<Quarantined> for QuarantineReport {
    fn from(left: Quarantined) -> Self {
        Self { job: left.job.to_string(), reason: left.reason }
    }
}

impl From<engine::control::status::GroupStatus> for GroupReport {
    fn from(group: engine::control::status::GroupStatus) -> Self {
        Self {
            name: group.name.to_string(),
            jobs: group.jobs.iter().map(ToString::to_string).collect(),
            running: group.running,
            closed: Some(group.closed),
            complete: group.complete,
            settled: Some(group.settled),
            full_sink: group.full_sink.map(FullSink::from),
            epoch_age_ms: group.epoch_age_ms,
            checkpoint_age_ms: Some(group.checkpoint_age_ms),
        }
    }
}

impl GroupReport {
    fn write(&self, out: &mut String) {
        let Self { name, complete, .. } = self;
        let _infallible = match (self.closed, self.settled) {
            (Some(closed), Some(settled)) => writeln!(
                out,
                "\ngroup {name}: {}, epochs closed {closed}, complete {complete}, settled {settled}",
                if self.running { "running" } else { "starting" },
            ),
            _ => writeln!(out, "\ngroup {name}: complete up to epoch {complete}"),
        };
        if let Some(full) = &self.full_sink {
            let _infallible = writeln!(out, "  {}", full.text());
        }
        if self.epoch_age_ms > 0 {
            let _infallible = writeln!(
                out,
                "  oldest incomplete epoch closed {} ago",
                ms_text(self.epoch_age_ms)
            );
        }
        if let Some(age) = self.checkpoint_age_ms {
            let _infallible = writeln!(out, "  last checkpoint {} ago", ms_text(age));
        }
        if !self.jobs.is_empty() {
            let _infallible = writeln!(out, "  jobs {}", self.jobs.join(", "));
        }
    }
}

/// Jobs with saved state that took no part in the last epochs.
fn left_out(saved: &Saved) -> Vec<QuarantineReport> {
    let took_part = |job: &Arc<str>| saved.members.values().any(|members| members.contains(job));
    // An older version did not note who takes part.
    let known = !saved.members.is_empty();
    let jobs = saved.jobs.keys().filter(|job| known && !took_part(job));
    let reason = "it took no part in the last epoch";
    jobs.map(|job| QuarantineReport { job: job.to_string(), reason: reason.to_owned() }).collect()
}

/// Topics with the next offset of each partition.
pub(crate) fn write_topics(topics: &[TopicReport], out: &mut String) {
    if !topics.is_empty() {
        let _infallible = writeln!(out, "\ntopics: next offset of each partition");
    }
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for topic in topics {
        let partition = format!("{}: {}", topic.partition, topic.next_offset);
        by_name.entry(&topic.topic).or_default().push(partition);
    }
    for (name, partitions) in by_name {
        let _infallible = writeln!(out, "  {name:<50} {}", partitions.join("  "));
    }
}

/// Bytes in a unit that leaves few digits.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// An age, exact below a second, else in tenths of one.
fn ms_text(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    format!("{}.{}s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests;
