//! A data directory of a bench: topics fed, jobs run to the end of their input, topics read back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow, ensure};
use connectors::kafka::murmur2;
use connectors::topic::source::TopicSourceFactory;
use engine::checkpoint::disk::Disk;
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::layout::topic_dir;
use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::TopicMarks;
use engine::control::registry::SubmitOptions;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::outbox::log::LogReader;
use engine::outbox::rows::{RowReader, RowRef};
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run as run_engine};
use engine::source::{SourceFactory, Start};
use engine::state::backend::StateBackend;
use engine::state::fjall::{FjallBackend, FjallOptions};
use jobs::generate::numbered::Numbered;
use jobs::generate::source::{NumberedSourceFactory, Pace};
use jobs::{Job, Outside, Settings};
use store::doris::DwsStore;
use store::doris::sink::DwsSinkFactory;
use store::doris::table::TableSpec;
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use crate::pair::{Content, Given, Outcome};
use crate::passing;
use crate::usage::{Measured, Used};

/// Partitions of a topic.
pub(crate) const PARTITIONS: u32 = 4;
/// Workers of whatever is measured.
pub(crate) const WORKERS: usize = 2;
/// Entries of state looked at in one go.
const SCANNED: usize = 10_000;

/// An open data directory.
pub(crate) struct Embedded {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) marks: TopicMarks,
    pub(crate) tables: DwsStore,
    pub(crate) dimensions: DimensionStore,
}

impl Embedded {
    /// Opens `dir`, making what is missing.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let folder = |name: &str| -> Result<_> {
            let path = dir.join(name);
            std::fs::create_dir_all(&path)?;
            Ok(path)
        };
        let disk = RealDisk::open(dir).map_err(|error| anyhow!("{}: {error}", dir.display()))?;
        let backend = FjallBackend::open(&folder("state/db")?, FjallOptions::default())?;
        Ok(Self {
            disk: Arc::new(disk),
            backend: Arc::new(backend),
            marks: TopicMarks::default(),
            tables: DwsStore::open(&folder("store/dws")?)?,
            dimensions: DimensionStore::open(&folder("store/dim")?)?,
        })
    }

    /// Runs jobs whose sources end, to their end: until the last epoch is complete and delivered.
    /// Answers what that used, and how many records sources let in.
    pub(crate) fn run(
        &self,
        workers: usize,
        plans: impl FnOnce(&Self) -> Result<Vec<Arc<JobPlan>>>,
    ) -> Result<(Used, u64)> {
        let mut settings = ProcessSettings::new(workers, u64::from(std::process::id()));
        settings.epoch.stop_at_end = true;
        let (disk, backend) = (self.disk.clone(), self.backend.clone());
        let measured = Measured::begin()?;
        let process = Process::open(&settings, disk, backend, self.marks.clone())?;
        let emitted = process.emitted.clone();
        let submitted = process.handle.submit(plans(self)?, SubmitOptions::default())?;
        run_engine(process, Arc::new(SystemClock::default()))?;
        submitted.take().unwrap_or(Ok(()))?;
        Ok((measured.end()?, emitted.load(Ordering::Relaxed)))
    }

    /// Makes topics of records: by one worker, so that each partition keeps their order.
    pub(crate) fn feed<G: Numbered>(&self, topic: &str, generator: G) -> Result<()> {
        let source = NumberedSourceFactory { generator, pace: Pace::Unpaced };
        let target = Self::topics(&[topic]);
        let name = format!("feed_{topic}");
        self.run(1, |_| Ok(vec![passing::plan(&name, Arc::new(source), target, topic)?]))?;
        Ok(())
    }

    /// A source of all that is visible of a topic now.
    pub(crate) fn source(&self, topic: &str) -> Arc<dyn SourceFactory> {
        self.topic_source(topic, Some(Arc::new(AtomicBool::new(true))))
    }

    /// A source that waits for more where a topic ends.
    pub(crate) fn endless_source(&self, topic: &str) -> Arc<dyn SourceFactory> {
        self.topic_source(topic, None)
    }

    fn topic_source(&self, topic: &str, until: Option<Arc<AtomicBool>>) -> Arc<dyn SourceFactory> {
        Arc::new(TopicSourceFactory {
            topic: topic.to_owned(),
            partitions: PARTITIONS,
            disk: self.disk.clone(),
            marks: self.marks.clone(),
            until,
            snapshot: false,
            on_lost_position: connectors::kafka::config::OnLostPosition::Stop,
        })
    }

    /// A sink of topics.
    pub(crate) fn topics(names: &[&str]) -> SinkTarget {
        let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: PARTITIONS };
        SinkTarget::Topics(names.iter().map(spec).collect(), murmur2::partition_of)
    }

    /// The plans of jobs of the warehouse over this directory; `source` may give other sources.
    pub(crate) fn plans(
        &self,
        jobs: &[Job],
        source: &dyn Fn(&str) -> Option<Arc<dyn SourceFactory>>,
    ) -> Result<Vec<Arc<JobPlan>>> {
        // Every partition is read to its end: none is idle.
        let settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
        let table = |name: &str| {
            let tables = vec![TableSpec { name: name.to_owned() }];
            SinkTarget::Outside(Arc::new(DwsSinkFactory { store: self.tables.clone(), tables }))
        };
        let outside = Outside {
            source: &|name| (source(name).unwrap_or_else(|| self.source(name)), Start::Earliest),
            topics: &|names| Self::topics(names),
            topic_prefix: "",
            table: &table,
            dimensions: &|| Arc::new(DimensionSinkFactory { store: self.dimensions.clone() }),
            publish: &|_name| true,
        };
        Ok(jobs::plans(jobs, &settings, &outside)?)
    }

    /// Calls `each` with every visible row of a topic, partition by partition.
    pub(crate) fn each(
        &self,
        topic: &str,
        each: &mut dyn FnMut(RowRef<'_>) -> Result<()>,
    ) -> Result<()> {
        for ((name, partition), mark) in &self.saved()?.topics {
            if &**name != topic {
                continue;
            }
            let mut reader =
                LogReader::open(self.disk.clone(), &topic_dir(name, *partition), *mark, 0);
            while let Some(block) = reader.read()? {
                for row in RowReader::new(&block.bytes) {
                    each(row?)?;
                }
            }
        }
        Ok(())
    }

    /// What topics hold.
    pub(crate) fn content(&self, topics: &[&str]) -> Result<Content> {
        let mut content = Content::default();
        for topic in topics {
            self.each(topic, &mut |row| {
                content.records += 1;
                let bytes = row.key.map_or(0, <[u8]>::len) + row.value.map_or(0, <[u8]>::len);
                content.bytes += bytes as u64;
                Ok(())
            })?;
        }
        Ok(content)
    }

    /// A counter of the last checkpoint, of one job.
    pub(crate) fn counted(&self, name: &str, job: &str) -> Result<u64> {
        let counters = self.saved()?.counters();
        let of = counters.iter().filter(|counter| {
            counter.name == name && counter.labels.first().is_some_and(|(_, of)| of == job)
        });
        Ok(of.map(|counter| counter.value).sum())
    }

    /// Bytes of keys and values of all keyed state.
    pub(crate) fn state_bytes(&self) -> Result<u64> {
        let view = self.backend.view()?;
        let spaces = self.backend.spaces()?;
        let mut bytes = 0;
        for space in spaces.iter().filter(|space| space.starts_with("state/")) {
            let mut after = Vec::new();
            loop {
                let entries = view.scan(space, b"", &after, SCANNED)?;
                bytes += entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
                let Some((last, _)) = entries.into_iter().next_back() else { break };
                after = last;
            }
        }
        Ok(bytes as u64)
    }

    fn saved(&self) -> Result<Saved> {
        Ok(Saved::read(self.backend.as_ref())?)
    }
}

/// The engine's part of a bench from topics to topics: runs `jobs` over what was fed.
pub(crate) fn jobs_over_topics(given: &Given, jobs: &[Job], outputs: &[&str]) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let (used, read) =
        embedded.run(given.workers, |embedded| embedded.plans(jobs, &|_name| None))?;
    ensure!(read == u64::from(given.records), "{read} of {} records were read", given.records);
    Ok(Outcome { used, written: embedded.content(outputs)? })
}
