//! The job: `dimensions` in the engine, from the topic to the embedded tables.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};
use connectors::file::lines::LinesSourceFactory;
use connectors::kafka::murmur2;
use connectors::topic::source::TopicSourceFactory;
use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::TopicMarks;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::source::Start;
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::{Job, Outside, Settings};
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use super::feed::{self, PARTITIONS};
use crate::usage::{Measured, Used};

/// Runs the job over all that was fed.
pub(super) fn run(dir: &Path, records: u32) -> Result<Used> {
    let tables = dir.join("store/dim");
    std::fs::create_dir_all(&tables)?;
    let store = DimensionStore::open(&tables)?;
    let marks = TopicMarks::default();
    let measured = Measured::begin()?;
    feed::run(dir, marks.clone(), |disk| {
        let settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
        let outside = Outside {
            source: &|name| {
                if name == TABLE_PROCESS {
                    let path = feed::config_path(dir);
                    let config = LinesSourceFactory { path, limit: None, snapshot: true };
                    return (Arc::new(config), Start::Earliest);
                }
                let topic = TopicSourceFactory {
                    topic: name.to_owned(),
                    partitions: PARTITIONS,
                    disk: disk.clone(),
                    marks: marks.clone(),
                    until: Some(Arc::new(AtomicBool::new(true))),
                    snapshot: false,
                };
                (Arc::new(topic), Start::Earliest)
            },
            topics: &|names| {
                let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 1 };
                SinkTarget::Topics(names.iter().map(spec).collect(), murmur2::partition_of)
            },
            table: &|_name| unreachable!("no DWS here"),
            dimensions: &|| Arc::new(DimensionSinkFactory { store: store.clone() }),
            publish: &|_name| true,
        };
        Ok(jobs::plans(&[Job::Dimensions], &settings, &outside)?)
    })?;
    let used = measured.end()?;
    let (_disk, backend) = feed::open(dir)?;
    let counters = Saved::read(backend.as_ref())?.counters();
    let count = |name: &str, job: &str| -> u64 {
        let of = counters.iter().filter(|counter| {
            counter.name == name && counter.labels.first().is_some_and(|(_, of)| of == job)
        });
        of.map(|counter| counter.value).sum()
    };
    let (read, rows) = (count("records_in", "ods_db"), count("dim_upserts", "dimensions"));
    ensure!(read == u64::from(records), "the job has read {read} of {records} records");
    eprintln!("  {rows} rows of dimensions, {} tables", store.tables().len());
    Ok(used)
}
