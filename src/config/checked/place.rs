//! Where records come from and where they go, as values.

mod address;
mod mysql;
mod source;

use std::fmt;
use std::path::PathBuf;

use connectors::kafka::config::{KafkaConfig, OnLostPosition};
use connectors::mysql::config::MysqlTableConfig;
use engine::source::Start;

use self::address::{Address, Connector, address};
use super::judge::Judge;
use crate::config::duration::size_text;
use crate::config::raw::{Given, Topics};

pub(super) use self::source::{config_source, db_source, log_source};

/// Kafka's limit on the name of a topic; ours too, because the name is a directory.
const TOPIC_NAME_MAX: usize = 249;
/// Partitions of a new topic unless told otherwise.
const PARTITIONS: i64 = 4;
/// Bytes kept of each partition unless told otherwise: a day of a few hundred records a second.
const RETENTION_BYTES: u64 = 2 << 30;
/// Less is not much more than one block.
const RETENTION_BYTES_MIN: u64 = 1 << 20;

/// What to do about a lost position.
const LOST_WORDS: [(&str, OnLostPosition); 3] = [
    ("stop", OnLostPosition::Stop),
    ("earliest", OnLostPosition::Earliest),
    ("latest", OnLostPosition::Latest),
];

/// Where a source reads, and where it begins without a saved position.
#[derive(Debug, Clone)]
pub(crate) enum SourcePlace {
    /// A topic of the embedded log.
    Embedded {
        /// Its name.
        topic: String,
        /// Where to begin.
        start: Start,
        /// What to do when retention has passed the saved position.
        on_lost_position: OnLostPosition,
    },
    /// A topic of a Kafka cluster.
    Kafka {
        /// The cluster and the topic.
        config: KafkaConfig,
        /// Where to begin.
        start: Start,
    },
    /// A file, read from its beginning to its end.
    File {
        /// Where it is.
        path: PathBuf,
    },
    /// A table of a MySQL or MariaDB server: its snapshot, then its changes.
    Mysql(MysqlTableConfig),
}

impl SourcePlace {
    /// Reads from the beginning where no position is saved.
    pub(super) fn begin_at_the_start(&mut self) {
        match self {
            Self::Embedded { start, .. } | Self::Kafka { start, .. } => *start = Start::Earliest,
            Self::File { .. } | Self::Mysql(_) => {}
        }
    }
}

/// Where topics are written.
#[derive(Debug, Clone)]
pub(crate) enum TopicPlace {
    /// The embedded log.
    Embedded {
        /// Partitions of a new topic.
        partitions: u32,
    },
    /// A Kafka cluster.
    Kafka(KafkaConfig),
}

/// Where topics are written, and what is put before their names.
#[derive(Debug, Clone)]
pub(crate) struct TopicTarget {
    /// The system.
    pub(crate) place: TopicPlace,
    /// The text before every name.
    pub(crate) prefix: String,
    /// Bytes kept of each partition of an embedded topic; 0 = all.
    pub(crate) retention_bytes: u64,
    /// What a job does that reads one of them and has lost its position.
    pub(crate) on_lost_position: OnLostPosition,
}

/// Judges `[topics]`.
pub(super) fn topics(raw: &Topics, judge: &mut Judge<'_>) -> TopicTarget {
    let words = [("embedded", Connector::Embedded), ("kafka", Connector::Kafka)];
    let chosen = judge.choice(raw.connector.as_ref(), &words, &["upsert-kafka"]);
    let prefix = raw.prefix.as_ref().map(|given| topic_name(Some(given), "", judge));
    let partitions = judge.integer(raw.topic_partitions.as_ref(), PARTITIONS, 1..=1024);
    let partitions = u16::try_from(partitions).expect("judged to be at most 1024");
    let replication = judge.integer(raw.topic_replication.as_ref(), 1, 1..=32);
    let place = match address(chosen, raw.connector.as_ref(), &raw.properties, judge) {
        Address::Kafka(mut config) => {
            config.partitions = partitions;
            config.replication = u16::try_from(replication).expect("judged to be at most 32");
            if let Some(prefix) = judge.text(raw.transactional_id_prefix.as_ref()) {
                config.transactional_id_prefix = prefix;
            }
            if let Some(given) = &raw.progress_topic {
                config.progress_topic = topic_name(Some(given), "", judge);
            }
            TopicPlace::Kafka(config)
        }
        Address::Embedded | Address::File | Address::Mysql => {
            let of_kafka =
                [&raw.topic_replication, &raw.transactional_id_prefix, &raw.progress_topic];
            for given in of_kafka.into_iter().flatten() {
                judge.fault(given, ": only connector \"kafka\" takes it");
            }
            TopicPlace::Embedded { partitions: partitions.into() }
        }
    };
    let embedded = matches!(place, TopicPlace::Embedded { .. });
    let retention = retention(raw.retention_bytes.as_ref(), embedded, judge);
    let retention_bytes = retention.unwrap_or(RETENTION_BYTES);
    let on_lost_position = judge.choice(raw.on_lost_position.as_ref(), &LOST_WORDS, &[]);
    let prefix = prefix.unwrap_or_default();
    TopicTarget { place, prefix, retention_bytes, on_lost_position }
}

/// Judges `retention.bytes`: bytes of a partition, 0 for all.
pub(super) fn retention(
    given: Option<&Given>,
    embedded: bool,
    judge: &mut Judge<'_>,
) -> Option<u64> {
    let given = given?;
    if !embedded {
        judge.fault(given, ": only connector \"embedded\" takes it");
    }
    let bytes = judge.size(Some(given), 0, 0..=1 << 50);
    let bytes = u64::try_from(bytes).expect("judged not to be negative");
    if (1..RETENTION_BYTES_MIN).contains(&bytes) {
        judge.fault(given, " is out of range: 0B or from 1MiB");
    }
    Some(bytes)
}

/// A name that Kafka and the file system take.
fn topic_name(given: Option<&Given>, default: &str, judge: &mut Judge<'_>) -> String {
    let Some(name) = judge.text(given) else { return default.to_owned() };
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let good = (1..=TOPIC_NAME_MAX).contains(&name.len())
        && name.chars().all(letters)
        && ![".", ".."].contains(&name.as_str());
    if let (Some(given), false) = (given, good) {
        let message = " is no name of a topic: 1 to 249 of the letters a-z, A-Z, 0-9, '.', '_', \
                       '-', not '.' or '..' alone";
        judge.fault(given, message);
    }
    name
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { topic, start, .. } => {
                write!(f, "embedded topic \"{topic}\", from {}", start_text(start))
            }
            Self::Kafka { config, start } => {
                let (topic, servers) = (config.topics.join(", "), &config.bootstrap);
                write!(f, "kafka topic \"{topic}\" at {servers}, from {}", start_text(start))
            }
            Self::File { path } => write!(f, "file {}", path.display()),
            Self::Mysql(config) => {
                let MysqlTableConfig { host, port, user, database, table, .. } = config;
                write!(f, "mysql table {database}.{table} at {host}:{port} as {user}")
            }
        }
    }
}

fn start_text(start: &Start) -> String {
    match start {
        Start::Earliest => "the earliest record".to_owned(),
        Start::Latest => "the latest record".to_owned(),
        Start::Timestamp(ms) => format!("the first record at or after {ms} ms"),
        Start::At(_) => "a saved position".to_owned(),
    }
}

impl fmt::Display for TopicTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            TopicPlace::Embedded { partitions } => {
                write!(f, "embedded, {partitions} partitions, ")?;
                match i64::try_from(self.retention_bytes).unwrap_or(i64::MAX) {
                    0 => f.write_str("all is kept")?,
                    bytes => write!(f, "{} kept of each", size_text(bytes))?,
                }
            }
            TopicPlace::Kafka(config) => {
                write!(f, "kafka at {}, exactly once", config.bootstrap)?;
            }
        }
        match self.prefix.as_str() {
            "" => Ok(()),
            prefix => write!(f, ", names begin with \"{prefix}\""),
        }
    }
}
