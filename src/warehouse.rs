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
use engine::checkpoint::disk::real::{DirLock, RealDisk};
use engine::checkpoint::writer::{TopicMarks, WriterGauges};
use engine::control::handle::{Handle, Reply};
use engine::control::registry::SubmitOptions;
use engine::error::{Fatal, JobError};
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run};
use engine::state::backend::StateBackend;
use engine::state::fjall::{FjallBackend, FjallOptions};
use store::doris::DwsStore;
use store::doris::sink::DwsSinkFactory;
use store::doris::table::TableSpec;

/// Partitions of an embedded topic.
pub(crate) const TOPIC_PARTITIONS: u32 = 4;

/// An open data directory.
pub(crate) struct Warehouse {
    /// The directory.
    pub(crate) data: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) backend: Arc<dyn StateBackend>,
    pub(crate) topics: TopicMarks,
    pub(crate) tables: DwsStore,
    _lock: DirLock,
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
        let state = data.join("state");
        std::fs::create_dir_all(&state)
            .with_context(|| format!("could not create {}", state.display()))?;
        let lock = DirLock::acquire(&state, purpose)?;
        let disk =
            RealDisk::open(data).with_context(|| format!("could not open {}", data.display()))?;
        let backend = FjallBackend::open(&state.join("db"), FjallOptions::default())?;
        let tables = data.join("store/dws");
        std::fs::create_dir_all(&tables)
            .with_context(|| format!("could not create {}", tables.display()))?;
        let tables = FjallBackend::open(&tables, FjallOptions::default())?;
        Ok(Self {
            data: data.to_owned(),
            disk: Arc::new(disk),
            backend: Arc::new(backend),
            topics: TopicMarks::default(),
            tables: DwsStore::new(Arc::new(tables))?,
            _lock: lock,
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

    /// Starts the engine and submits `plans`, which start together.
    pub(crate) fn start(
        &self,
        settings: &ProcessSettings,
        plans: Vec<Arc<JobPlan>>,
        options: SubmitOptions,
    ) -> Result<Running> {
        let (disk, backend) = (self.disk.clone(), self.backend.clone());
        let process = Process::open(settings, disk, backend, self.topics.clone())?;
        let (handle, gauges) = (process.handle.clone(), process.gauges.clone());
        let emitted = process.emitted.clone();
        let submitted = handle.submit(plans, options)?;
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(process, Arc::new(SystemClock::default())))?;
        Ok(Running { handle, gauges, emitted, thread, submitted })
    }
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
