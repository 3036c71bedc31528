//! The warehouse of one data directory: lock, disk, state store, topic log, tables, and the engine
//! process over them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use connectors::kafka::murmur2;
use engine::checkpoint::disk::Disk;
use engine::checkpoint::writer::{TopicMarks, WriterGauges};
use engine::control::handle::{Handle, Reply};
use engine::control::registry::SubmitOptions;
use engine::error::{Fatal, JobError};
use engine::event::{Event, EventLog, Level};
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run};
use engine::sink::SinkFactory;
use engine::state::backend::StateBackend;
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::dwd::route::TABLE_PROCESS_DWD;
use store::doris::DwsStore;
use store::doris::sink::DwsSinkFactory;
use store::doris::table::TableSpec;
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use crate::crash;
use crate::data_dir::{DataDir, Owned};

/// Partitions of an embedded topic.
pub(crate) const TOPIC_PARTITIONS: u32 = 4;

/// Partitions of the embedded topic that the source `name` reads. The configuration has one: its
/// rows keep their order.
pub(crate) fn partitions_of(name: &str) -> u32 {
    if is_configuration(name) { 1 } else { TOPIC_PARTITIONS }
}

/// Whether the source `name` gives rows of a configuration: without a part of them rows would go
/// astray, so what there is at the start is read before anything else.
pub(crate) fn is_configuration(name: &str) -> bool {
    [TABLE_PROCESS, TABLE_PROCESS_DWD].contains(&name)
}

/// An open data directory.
pub(crate) struct Warehouse {
    /// The directory.
    pub(crate) data: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) topics: TopicMarks,
    pub(crate) tables: DwsStore,
    pub(crate) dimensions: DimensionStore,
    /// Freed last.
    _owned: Owned,
}

/// A warehouse whose engine runs on threads of its own.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) gauges: Arc<Mutex<WriterGauges>>,
    pub(crate) emitted: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), Fatal>>,
    submitted: Reply<Result<(), JobError>>,
}

impl Warehouse {
    /// Opens the directory for writing; refused while another process holds it.
    pub(crate) fn open(data: &Path, purpose: &str) -> Result<Self> {
        let dir = DataDir::new(data);
        let open = || crash::letting_unwind(|| open_tables(&dir));
        let (owned, (tables, dimensions)) = dir.own_with(purpose, open)?;
        Ok(Self {
            data: data.to_owned(),
            disk: owned.disk.clone(),
            backend: owned.backend.clone(),
            topics: TopicMarks::default(),
            tables,
            dimensions,
            _owned: owned,
        })
    }

    /// The sink of embedded topics with these names.
    pub(crate) fn topic_sink(names: &[&str], partitions: u32) -> SinkTarget {
        let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions };
        SinkTarget::Topics(names.iter().map(spec).collect(), murmur2::partition_of)
    }

    /// The sink of an embedded table.
    pub(crate) fn table_sink(&self, name: &str) -> SinkTarget {
        let tables = vec![TableSpec { name: name.to_owned() }];
        SinkTarget::Outside(Arc::new(DwsSinkFactory { store: self.tables.clone(), tables }))
    }

    /// The sink of embedded dimension tables.
    pub(crate) fn dimension_sink(&self) -> Arc<dyn SinkFactory> {
        Arc::new(DimensionSinkFactory { store: self.dimensions.clone() })
    }

    /// Starts the engine and submits `plans`, which start together.
    pub(crate) fn start(
        &self,
        settings: &ProcessSettings,
        plans: Vec<Arc<JobPlan>>,
        options: SubmitOptions,
    ) -> Result<Running> {
        let (disk, backend) = (self.disk.clone(), self.backend.clone());
        let mut settings = settings.clone();
        settings.events = EventLog::new(print_event);
        let process = Process::open(&settings, disk, backend, self.topics.clone())?;
        let (handle, gauges) = (process.handle.clone(), process.gauges.clone());
        let emitted = process.emitted.clone();
        let submitted = handle.submit(plans, options)?;
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(process, Arc::new(SystemClock::default())))?;
        Ok(Running { handle, gauges, emitted, thread, submitted })
    }
}

/// Opens the embedded tables of both kinds.
fn open_tables(dir: &DataDir) -> Result<(DwsStore, DimensionStore)> {
    let (tables, dimensions) = (dir.dws(), dir.dim());
    for folder in [&tables, &dimensions] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
    }
    Ok((DwsStore::open(&tables)?, DimensionStore::open(&dimensions)?))
}

impl Running {
    /// Whether the jobs were refused, as far as is known.
    pub(crate) fn refusal(&self) -> Option<JobError> {
        self.submitted.take().and_then(Result::err)
    }

    /// Whether the engine has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the engine has ended, calling `meanwhile` every `every`; an error of it is
    /// returned once the engine has been told to stop.
    pub(crate) fn wait(
        self,
        every: Duration,
        mut meanwhile: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        while !self.is_finished() {
            if let Some(refused) = self.refusal() {
                return Err(refused.into());
            }
            meanwhile(&self)?;
            std::thread::park_timeout(every);
        }
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(_panic) => anyhow::bail!("the engine panicked"),
        }
    }
}

/// One line on standard error: time, level, event.
#[expect(clippy::print_stderr, reason = "the log of a process that has no other")]
fn print_event(event: &Event) {
    let level = match event.level() {
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    eprintln!("{level} {event}");
}
