//! The options of Flink's Kafka connector, read into a [`KafkaConfig`].
//!
//! Option names are Flink's where Flink has one; ours (`on-lost-position`, `sink.topic.*`,
//! `sink.progress-topic`) follow its spelling. An unknown option is refused: a misspelt one must not
//! pass for its default.

use std::collections::BTreeMap;

use engine::error::Fault;
use engine::source::Start;

use super::config::{KafkaConfig, OnLostPosition};

const ALLOWED: &str = "topic, properties.*, scan.startup.mode, scan.startup.timestamp-millis, \
                       on-lost-position, sink.transactional-id-prefix, sink.topic.partitions, \
                       sink.topic.replication, sink.progress-topic";

/// What the options of one table say.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The cluster and our use of it; its topics are those of option `topic`.
    pub config: KafkaConfig,
    /// Where to begin without a saved position; `latest-offset` as in Flink if not given.
    pub start: Start,
}

impl KafkaOptions {
    /// Reads options; `connector` and `format` are somebody else's and passed over.
    ///
    /// # Errors
    /// An option is unknown or has a value that is not allowed; the fault names it.
    pub fn read(options: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let mut properties: BTreeMap<String, String> = options
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("properties.")?, value)))
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        let bootstrap = properties.remove("bootstrap.servers").unwrap_or_default();
        let mut config = KafkaConfig::new(bootstrap, properties)?;
        for (key, value) in options {
            apply(&mut config, key, value)?;
        }
        let start = start(options)?;
        Ok(Self { config, start })
    }
}

fn apply(config: &mut KafkaConfig, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        "topic" => {
            let topics = value.split(';').map(str::trim).filter(|topic| !topic.is_empty());
            config.topics = topics.map(str::to_owned).collect();
        }
        "on-lost-position" => {
            config.on_lost_position = match value {
                "stop" => OnLostPosition::Stop,
                "earliest" => OnLostPosition::Earliest,
                "latest" => OnLostPosition::Latest,
                _ => return Err(bad_value(key, value, "stop, earliest, latest")),
            }
        }
        "sink.transactional-id-prefix" => config.transactional_id_prefix = value.to_owned(),
        "sink.progress-topic" => config.progress_topic = value.to_owned(),
        "sink.topic.partitions" => config.partitions = count(key, value)?,
        "sink.topic.replication" => config.replication = count(key, value)?,
        "connector" | "format" | "scan.startup.mode" | "scan.startup.timestamp-millis" => {}
        _ if key.starts_with("properties.") || key.starts_with("value.") => {}
        _ => {
            let fault = Fault::never(format!("cannot use kafka option \"{key}\""));
            return Err(fault.with_hint(format!("allowed are {ALLOWED}")));
        }
    }
    Ok(())
}

fn start(options: &BTreeMap<String, String>) -> Result<Start, Fault> {
    let key = "scan.startup.mode";
    match options.get(key).map_or("latest-offset", String::as_str) {
        "earliest-offset" => Ok(Start::Earliest),
        "latest-offset" => Ok(Start::Latest),
        "timestamp" => {
            let key = "scan.startup.timestamp-millis";
            let text = options.get(key).map_or("", String::as_str);
            let at = text
                .parse()
                .map_err(|_not_number| bad_value(key, text, "milliseconds since 1970"))?;
            Ok(Start::Timestamp(at))
        }
        other => Err(bad_value(key, other, "earliest-offset, latest-offset, timestamp")),
    }
}

fn count(key: &str, value: &str) -> Result<u16, Fault> {
    match value.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(bad_value(key, value, "1 to 65535")),
    }
}

fn bad_value(key: &str, value: &str, allowed: &str) -> Fault {
    Fault::never(format!("cannot use \"{value}\" for kafka option \"{key}\""))
        .with_hint(format!("allowed are {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<KafkaOptions, Fault> {
        let bootstrap = [("properties.bootstrap.servers", "b:9092")];
        let all = bootstrap.iter().chain(options);
        KafkaOptions::read(&all.map(|(key, value)| ((*key).into(), (*value).into())).collect())
    }

    #[test]
    fn reads_what_a_flink_table_says() {
        let options = read(&[
            ("connector", "kafka"),
            ("topic", "a; b"),
            ("format", "json"),
            ("properties.group.id", "g"),
            ("properties.key.deserializer", "org.apache.kafka.X"),
            ("scan.startup.mode", "timestamp"),
            ("scan.startup.timestamp-millis", "5"),
            ("on-lost-position", "earliest"),
            ("sink.topic.partitions", "7"),
        ])
        .unwrap();
        assert_eq!(options.config.topics, ["a", "b"]);
        assert_eq!(options.config.bootstrap, "b:9092");
        assert_eq!(options.config.group(), Some("g"));
        assert_eq!(options.config.on_lost_position, OnLostPosition::Earliest);
        assert_eq!((options.config.partitions, options.start), (7, Start::Timestamp(5)));
        assert_eq!(read(&[]).unwrap().start, Start::Latest);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (key, value, allowed) in [
            ("topics", "a", "topic, "),
            ("scan.startup.mode", "group-offsets", "earliest-offset"),
            ("on-lost-position", "ignore", "stop, earliest"),
            ("sink.topic.partitions", "0", "1 to 65535"),
            ("properties.isolation.level", "read_uncommitted", "read_committed"),
        ] {
            let fault = read(&[(key, value)]).unwrap_err().to_string();
            let name = key.strip_prefix("properties.").unwrap_or(key);
            assert!(fault.contains(&format!("\"{name}\"")), "{fault}");
            assert!(fault.contains(allowed), "{fault}");
        }
        assert!(KafkaOptions::read(&BTreeMap::new()).is_err());
    }
}
