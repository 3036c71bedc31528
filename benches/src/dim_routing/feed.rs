//! The input: a generated shop in an embedded topic, and the configuration in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use engine::checkpoint::disk::Disk;
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::writer::TopicMarks;
use engine::control::registry::SubmitOptions;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run as run_engine};
use engine::state::backend::StateBackend;
use engine::state::fjall::{FjallBackend, FjallOptions};
use jobs::generate::config;
use jobs::generate::shop::{self, ShopSourceFactory};
use jobs::generate::source::Pace;
use jobs::ods::ods_db;

use connectors::kafka::murmur2;

/// Partitions of the topic.
pub(super) const PARTITIONS: u32 = 4;
/// Workers of every part.
pub(super) const WORKERS: usize = 2;

/// Where the configuration lies.
pub(super) fn config_path(dir: &Path) -> PathBuf {
    dir.join("table_process.jsonl")
}

/// Disk and state store of a directory.
pub(super) fn open(dir: &Path) -> Result<(Arc<dyn Disk>, Arc<dyn StateBackend>)> {
    let db = dir.join("state/db");
    std::fs::create_dir_all(&db)?;
    let disk = RealDisk::open(dir).map_err(|error| anyhow!("{}: {error}", dir.display()))?;
    Ok((Arc::new(disk), Arc::new(FjallBackend::open(&db, FjallOptions::default())?)))
}

/// Runs jobs of bounded sources to their end.
pub(super) fn run(
    dir: &Path,
    topics: TopicMarks,
    plans: impl FnOnce(Arc<dyn Disk>) -> Result<Vec<Arc<JobPlan>>>,
) -> Result<()> {
    let (disk, backend) = open(dir)?;
    let mut settings = ProcessSettings::new(WORKERS, u64::from(std::process::id()));
    settings.epoch.stop_at_end = true;
    let process = Process::open(&settings, disk.clone(), backend, topics)?;
    let submitted = process.handle.submit(plans(disk)?, SubmitOptions::default())?;
    run_engine(process, Arc::new(SystemClock::default()))?;
    submitted.take().unwrap_or(Ok(())).map_err(Into::into)
}

/// Makes both; answers the bytes of the records.
pub(super) fn feed(dir: &Path, records: u32) -> Result<u64> {
    let settings = shop::Settings {
        records: Some(u64::from(records)),
        dimension_share: 3_333,
        fault_share: 0,
        ..shop::Settings::default()
    };
    let generator = shop::Generator::new(settings);
    write_config(dir)?;
    let mut cursor = generator.open(0);
    let (mut line, mut bytes) = (Vec::new(), 0);
    while cursor.next(&mut line).is_some() {
        bytes += line.len() as u64;
        line.clear();
    }
    run(dir, TopicMarks::default(), |_disk| {
        let spec = TopicSpec { name: ods_db::NAME.to_owned(), partitions: PARTITIONS };
        let target = SinkTarget::Topics(vec![spec], murmur2::partition_of);
        let source = ShopSourceFactory { generator, pace: Pace::Unpaced };
        Ok(vec![Arc::new(shop::job::plan(source, None, target)?)])
    })?;
    Ok(bytes)
}

fn write_config(dir: &Path) -> Result<()> {
    let generator =
        config::Generator::new(config::Settings::of_course(config::Layout::TableProcess));
    let mut text = Vec::new();
    for number in 0..generator.snapshot_records() {
        generator.write(number, &mut text);
        text.push(b'\n');
    }
    Ok(std::fs::write(config_path(dir), text)?)
}
