//! What runs in a demo: two generators and the warehouse; the topics between them are all they share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use connectors::kafka::murmur2;
use connectors::topic::source::TopicSourceFactory;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::source::Start;
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::generate::config::{ConfigPace, ConfigSourceFactory};
use jobs::generate::job as generator;
use jobs::generate::shop::{ShopSourceFactory, job as shop};
use jobs::generate::source::GeneratorSourceFactory;
use jobs::{Job, Outside, Settings};

use super::bound::Bounds;
use super::stream::Stream;
use super::{Request, layer};
use crate::warehouse::{TOPIC_PARTITIONS, Warehouse, partitions_of};

/// All plans. `bounds` are those of a stream that ends.
pub(super) fn plans(
    request: &Request,
    warehouse: &Warehouse,
    stream: &Stream,
    bounds: Option<&Bounds>,
) -> Result<Vec<Arc<JobPlan>>> {
    let source = GeneratorSourceFactory { generator: stream.generator(), pace: stream.pace() };
    let target = Warehouse::topic_sink(&[layer::LOG], TOPIC_PARTITIONS);
    let mut plans = vec![Arc::new(generator::plan(source, target)?), shop_plan(stream, bounds)?];
    // Records as fast as they go have nothing to do with the clock: no partition is ever idle.
    let idle_timeout_ms = if bounds.is_some() { 0 } else { request.settings.idle_timeout_ms };
    let settings = Settings { idle_timeout_ms, ..request.settings.clone() };
    let source = |topic: &str| {
        topic_source(warehouse, topic, bounds.and_then(|bounds| bounds.all_there(topic)))
    };
    let outside = Outside {
        source: &|topic| (Arc::new(source(topic)), Start::Earliest),
        topics: &|names| Warehouse::topic_sink(names, TOPIC_PARTITIONS),
        topic_prefix: "",
        table: &|name| warehouse.table_sink(name),
        dimensions: &|| warehouse.dimension_sink(),
        publish: &|_job| true,
    };
    // The shop's configuration is that of 2022, which routes no facts.
    let jobs: Vec<Job> = Job::ALL.into_iter().filter(|job| *job != Job::DwdRoute).collect();
    plans.extend(jobs::plans(&jobs, &settings, &outside)?);
    Ok(plans)
}

/// The shop and its config table, keyed by table and in one partition.
fn shop_plan(stream: &Stream, bounds: Option<&Bounds>) -> Result<Arc<JobPlan>> {
    let shop = stream.shop();
    let pace = bounds.map_or(ConfigPace::Arrival, |bounds| ConfigPace::Records(bounds.come()));
    let config = stream.config(&shop).map(|generator| ConfigSourceFactory { generator, pace });
    let source = ShopSourceFactory { generator: shop, pace: stream.pace() };
    let spec = |name: &str| TopicSpec { name: name.to_owned(), partitions: partitions_of(name) };
    let topics = [layer::SHOP].into_iter().chain(config.is_some().then_some(TABLE_PROCESS));
    let target = SinkTarget::Topics(topics.map(spec).collect(), murmur2::partition_of);
    Ok(Arc::new(shop::plan(source, config, target)?))
}

fn topic_source(
    warehouse: &Warehouse,
    topic: &str,
    until: Option<Arc<AtomicBool>>,
) -> TopicSourceFactory {
    TopicSourceFactory {
        topic: topic.to_owned(),
        partitions: partitions_of(topic),
        disk: warehouse.disk.clone(),
        marks: warehouse.topics.clone(),
        until,
        snapshot: topic == TABLE_PROCESS,
        on_lost_position: connectors::kafka::config::OnLostPosition::Stop,
    }
}
