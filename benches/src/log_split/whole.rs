//! The job: log split in the engine, Kafka to Kafka, exactly once, as `watershed run` starts it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use connectors::kafka::config::KafkaConfig;
use connectors::kafka::sink::KafkaSinkFactory;
use connectors::kafka::source::KafkaSourceFactory;
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::TopicMarks;
use engine::control::handle::{CloseRequest, Reply};
use engine::control::registry::SubmitOptions;
use engine::error::JobError;
use engine::graph::JobPlan;
use engine::graph::plan::SinkTarget;
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run as run_engine};
use engine::source::Start;
use engine::state::backend::StateBackend;
use engine::state::fjall::{FjallBackend, FjallOptions};
use jobs::{Job, Outside, Settings};

use crate::topics::{LIMIT, PARTITIONS};
use crate::usage::{Measured, Used};

const WORKERS: usize = 2;
/// How often the engine's progress is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Has the job read `records` records of `input` and write topics whose names begin with `prefix`;
/// its state lies in `dir`. Answers what was used, and how many records were written by its counter.
pub(crate) fn run(
    bootstrap: &str,
    input: &str,
    prefix: &str,
    records: u32,
    dir: &Path,
) -> Result<(Used, u64)> {
    let db = dir.join("state/db");
    std::fs::create_dir_all(&db)?;
    let disk =
        Arc::new(RealDisk::open(dir).map_err(|error| anyhow!("{}: {error}", dir.display()))?);
    let backend: Arc<dyn StateBackend> =
        Arc::new(FjallBackend::open(&db, FjallOptions::default())?);
    let seed = u64::from(std::process::id());
    let settings = ProcessSettings::new(WORKERS, seed);
    let process = Process::open(&settings, disk, backend.clone(), TopicMarks::default())?;
    let (handle, emitted) = (process.handle.clone(), process.emitted.clone());
    let submitted = handle.submit(plans(bootstrap, input, prefix)?, SubmitOptions::default())?;
    let engine = std::thread::spawn(move || run_engine(process, Arc::new(SystemClock::default())));

    let watch = Watch { submitted, ended: &|| engine.is_finished() };
    let seen = || emitted.load(Ordering::Relaxed);
    watch.until("the first record", || seen() > 0)?;
    let measured = Measured::begin()?;
    watch.until("the last record", || seen() >= u64::from(records))?;
    let closed = handle.close(CloseRequest::default())?;
    let mut last = None;
    watch.until("the end of the last epoch", || {
        last = last.or_else(|| closed.take());
        let groups = handle.status().groups;
        last.is_some_and(|last| groups.iter().all(|group| group.settled >= last))
    })?;
    let used = measured.end()?;

    handle.stop()?;
    engine.join().map_err(|_panic| anyhow!("the engine panicked"))??;
    let counters = counters(backend.as_ref())?;
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let read = count("records_in");
    ensure!(read == u64::from(records), "the job has read {read} of {records} records");
    Ok((used, count("records_out")))
}

fn plans(bootstrap: &str, input: &str, prefix: &str) -> Result<Vec<Arc<JobPlan>>> {
    let mut config = KafkaConfig::new(bootstrap, BTreeMap::new())?;
    config.partitions = u16::try_from(PARTITIONS)?;
    config.transactional_id_prefix = prefix.to_owned();
    let mut read = config.clone();
    read.topics = vec![input.to_owned()];
    let source = KafkaSourceFactory::new(read)?;
    let outside = Outside {
        source: &|_name| (Arc::new(source.clone()), Start::Earliest),
        topics: &|names| {
            let names = names.iter().map(|name| format!("{prefix}{name}")).collect();
            let factory = KafkaSinkFactory::new(config.clone(), names);
            SinkTarget::Outside(Arc::new(factory.expect("a job's sink has topics")))
        },
        table: &|_name| unreachable!("log split writes no table"),
        dimensions: &|| unreachable!("the bench has no dimensions"),
        publish: &|_name| true,
    };
    Ok(jobs::plans(&[Job::LogSplit], &Settings::default(), &outside)?)
}

/// Waits for the engine, but not for ever.
struct Watch<'a> {
    submitted: Reply<Result<(), JobError>>,
    ended: &'a dyn Fn() -> bool,
}

impl Watch<'_> {
    fn until(&self, what: &str, mut reached: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !reached() {
            if let Some(Err(refused)) = self.submitted.take() {
                return Err(refused).context("the engine refused the job");
            }
            if (self.ended)() || started.elapsed() > 10 * LIMIT {
                bail!("the engine did not come to {what}");
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}

fn counters(backend: &dyn StateBackend) -> Result<BTreeMap<String, u64>> {
    let mut sums = BTreeMap::new();
    for counter in Saved::read(backend)?.counters() {
        *sums.entry(counter.name).or_default() += counter.value;
    }
    Ok(sums)
}
