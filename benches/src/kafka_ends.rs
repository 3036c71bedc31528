//! Topics of a real broker as sources and sinks of a job, with the settings of `watershed run`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use connectors::kafka::config::KafkaConfig;
use connectors::kafka::sink::KafkaSinkFactory;
use connectors::kafka::source::KafkaSourceFactory;
use engine::graph::plan::SinkTarget;

use crate::pair::Given;
use crate::topics::PARTITIONS;

/// The broker as a job sees it.
pub(crate) struct Ends {
    config: KafkaConfig,
    prefix: String,
}

impl Ends {
    /// Topics that are written have the prefix of the part.
    pub(crate) fn new(given: &Given) -> Result<Self> {
        let mut config = KafkaConfig::new(&given.bootstrap, BTreeMap::new())?;
        config.partitions = u16::try_from(PARTITIONS)?;
        config.transactional_id_prefix.clone_from(&given.prefix);
        Ok(Self { config, prefix: given.prefix.clone() })
    }

    /// A source of a topic.
    pub(crate) fn source(&self, topic: &str) -> Result<KafkaSourceFactory> {
        let mut read = self.config.clone();
        read.topics = vec![topic.to_owned()];
        Ok(KafkaSourceFactory::new(read)?)
    }

    /// A sink of topics.
    pub(crate) fn sink(&self, names: &[&str]) -> SinkTarget {
        let names = names.iter().map(|name| format!("{}{name}", self.prefix)).collect();
        let factory = KafkaSinkFactory::new(self.config.clone(), names);
        SinkTarget::Outside(Arc::new(factory.expect("a job's sink has topics")))
    }
}
