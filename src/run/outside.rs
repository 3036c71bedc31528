//! Where the names of the jobs lead: sources, topics and tables of a checked configuration.
//!
//! A topic that another job of the list makes is read in process; one that comes from elsewhere is
//! read where topics are written, under the name it has there.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use connectors::file::lines::LinesSourceFactory;
use connectors::kafka::config::{KafkaConfig, OnLostPosition};
use connectors::kafka::murmur2;
use connectors::kafka::sink::KafkaSinkFactory;
use connectors::kafka::source::KafkaSourceFactory;
use connectors::mysql::source::MysqlTableSourceFactory;
use connectors::topic::source::TopicSourceFactory;
use engine::checkpoint::disk::Disk;
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::writer::TopicMarks;
use engine::crash_point::CrashPoints;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::source::{SourceFactory, Start};
use engine::state::memory::MemoryBackend;
use jobs::{Job, Outside};
use store::doris::DwsStore;
use store::doris::sink::DwsSinkFactory;
use store::doris::table::TableSpec;
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use crate::config::checked::{Checked, SourcePlace, TopicPlace};
use crate::warehouse::{Warehouse, is_configuration, partitions_of};

/// The systems inside the process that plans lean on.
pub(crate) struct Inside {
    disk: Arc<dyn Disk>,
    topics: TopicMarks,
    tables: DwsStore,
    dimensions: DimensionStore,
    points: CrashPoints,
}

impl Inside {
    /// Those of an open warehouse; sinks outside tell `points` how far they are.
    pub(crate) fn of(warehouse: &Warehouse, points: &CrashPoints) -> Self {
        Self {
            disk: warehouse.disk.clone(),
            topics: warehouse.topics.clone(),
            tables: warehouse.tables.clone(),
            dimensions: warehouse.dimensions.clone(),
            points: points.clone(),
        }
    }

    /// Stand-ins for plans that are looked at and never run.
    fn to_look_at() -> Result<Self> {
        let disk = RealDisk::open(Path::new("/")).context("cannot read the root directory")?;
        let tables = DwsStore::new(Arc::new(MemoryBackend::new()))?;
        let dimensions = DimensionStore::new(Arc::new(MemoryBackend::new()))?;
        let (topics, points) = (TopicMarks::default(), CrashPoints::default());
        Ok(Self { disk: Arc::new(disk), topics, tables, dimensions, points })
    }
}

/// The plans of a configuration, to be looked at: nothing is opened or made.
pub(crate) fn plans(checked: &Checked) -> Result<Vec<Arc<JobPlan>>> {
    plans_over(checked, &Inside::to_look_at()?)
}

/// The plans of a configuration, to be run.
pub(crate) fn plans_over(checked: &Checked, inside: &Inside) -> Result<Vec<Arc<JobPlan>>> {
    let jobs: Vec<Job> = checked.jobs.iter().map(|choice| choice.job).collect();
    let hidden =
        |name: &str| checked.jobs.iter().any(|choice| choice.job.name() == name && !choice.publish);
    let outside = Outside {
        source: &|name| source(checked, inside, name),
        topics: &|names| topics(checked, inside, names),
        topic_prefix: &checked.topics.prefix,
        table: &|name| table(inside, name),
        dimensions: &|| Arc::new(DimensionSinkFactory { store: inside.dimensions.clone() }),
        publish: &|name| !hidden(name),
    };
    Ok(jobs::plans(&jobs, &checked.settings, &outside)?)
}

fn source(checked: &Checked, inside: &Inside, name: &str) -> (Arc<dyn SourceFactory>, Start) {
    // The configuration counts from its beginning: without a part of it rows would go astray.
    let snapshot = is_configuration(name);
    match checked.source(name) {
        Some(SourcePlace::Embedded { topic, start, on_lost_position }) => {
            let lost = (snapshot, *on_lost_position);
            (embedded(inside, topic.clone(), partitions_of(name), lost), start.clone())
        }
        Some(SourcePlace::Kafka { config, start }) => {
            let mut config = config.clone();
            config.snapshot = snapshot;
            (kafka(config), start.clone())
        }
        Some(SourcePlace::File { path }) => {
            let factory = LinesSourceFactory { path: path.clone(), limit: None, snapshot };
            (Arc::new(factory), Start::Earliest)
        }
        Some(SourcePlace::Mysql(config)) => {
            (Arc::new(MysqlTableSourceFactory::new(config.clone())), Start::Earliest)
        }
        None => dwd_source(checked, inside, name),
    }
}

/// A topic of the DWD layer that a job outside this process makes.
fn dwd_source(checked: &Checked, inside: &Inside, name: &str) -> (Arc<dyn SourceFactory>, Start) {
    let topic = prefixed(checked, name);
    let factory = match &checked.topics.place {
        TopicPlace::Embedded { partitions } => {
            embedded(inside, topic, *partitions, (false, checked.topics.on_lost_position))
        }
        TopicPlace::Kafka(config) => {
            let mut config = config.clone();
            config.topics = vec![topic];
            config.on_lost_position = checked.topics.on_lost_position;
            kafka(config)
        }
    };
    (factory, Start::Earliest)
}

fn embedded(
    inside: &Inside,
    topic: String,
    partitions: u32,
    (snapshot, on_lost_position): (bool, OnLostPosition),
) -> Arc<dyn SourceFactory> {
    Arc::new(TopicSourceFactory {
        topic,
        partitions,
        disk: inside.disk.clone(),
        marks: inside.topics.clone(),
        until: None,
        snapshot,
        on_lost_position,
    })
}

fn kafka(config: KafkaConfig) -> Arc<dyn SourceFactory> {
    Arc::new(KafkaSourceFactory::new(config).expect("it names a topic"))
}

fn topics(checked: &Checked, inside: &Inside, names: &[&str]) -> SinkTarget {
    let names: Vec<String> = names.iter().map(|name| prefixed(checked, name)).collect();
    match &checked.topics.place {
        TopicPlace::Embedded { partitions } => {
            let spec = |name| TopicSpec { name, partitions: *partitions };
            SinkTarget::Topics(names.into_iter().map(spec).collect(), murmur2::partition_of)
        }
        TopicPlace::Kafka(config) => {
            let factory = KafkaSinkFactory::new(config.clone(), names);
            let factory = factory.expect("a job's sink has topics");
            SinkTarget::Outside(Arc::new(factory.with_crash_points(inside.points.clone())))
        }
    }
}

fn table(inside: &Inside, name: &str) -> SinkTarget {
    let tables = vec![TableSpec { name: name.to_owned() }];
    SinkTarget::Outside(Arc::new(DwsSinkFactory { store: inside.tables.clone(), tables }))
}

fn prefixed(checked: &Checked, name: &str) -> String {
    format!("{}{name}", checked.topics.prefix)
}
