//! What a Kafka source or sink is told: where the cluster is, which topics, and client settings.
//!
//! Client settings are passed to librdkafka under its own names (Flink's `properties.*`), except
//! those our exactness rests on: they are set here, and another value for one of them is refused
//! with its name, never silently replaced. Values of settings may be secrets, so no output of this
//! module shows one.

use std::collections::BTreeMap;
use std::fmt;

use engine::error::Fault;
use engine::sink::UnitPolicy;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

/// The compacted topic that says what each shard of each sink has delivered.
pub const PROGRESS_TOPIC: &str = "__watershed_progress";
/// Largest record a producer takes: the engine's largest row (16 MiB) with key and headers.
pub(super) const RECORD_BYTES_MAX: u32 = 20 * 1024 * 1024;
/// Under which group a consumer without one of its own runs. Never joined, nothing is committed:
/// librdkafka only refuses an assignment without any group.
const NO_GROUP: &str = "watershed-reads-by-assignment";

/// What to do about a saved position that the topic does not have any more (retention passed it,
/// the topic was made anew, an unclean leader election lost the tail).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLostPosition {
    /// The job stops with the wanted and the available positions.
    #[default]
    Stop,
    /// Goes on at the oldest record, with a fault that says so.
    Earliest,
    /// Goes on after the newest record, with a fault that says so.
    Latest,
}

/// A checked description of a cluster and how we use it.
#[derive(Clone)]
pub struct KafkaConfig {
    /// Brokers to ask first, `host:port`, separated by commas.
    pub bootstrap: String,
    /// Topics a source reads, in the order that decides between equal times.
    pub topics: Vec<String>,
    /// What a source does about a lost position.
    pub on_lost_position: OnLostPosition,
    /// Whether what a partition holds when a source opens it for the first time is a snapshot, of
    /// which no part may be seen without the rest. All of it lies in one epoch, so it has to fit
    /// into memory.
    pub snapshot: bool,
    /// Partitions of a target topic that a sink has to create.
    pub partitions: u16,
    /// Replicas of a topic that a sink has to create.
    pub replication: u16,
    /// The topic of progress records; one for a whole cluster is enough.
    pub progress_topic: String,
    /// Comes before `job-sink-shard` in transactional ids; keeps apart what shares a cluster.
    pub transactional_id_prefix: String,
    /// When a sink's units are planned.
    pub unit_policy: UnitPolicy,
    properties: BTreeMap<String, String>,
}

/// A setting that may not be changed: name, value, why.
type Fixed = (&'static str, &'static str, &'static str);

const POSITIONS: &str = "positions are kept in checkpoints";
const TRANSACTIONS: &str = "a unit is one transaction";

/// Settings of every consumer that exactness rests on (engine specification 9.7).
const CONSUMER_FIXED: &[Fixed] = &[
    ("enable.auto.commit", "false", POSITIONS),
    ("enable.auto.offset.store", "false", POSITIONS),
    ("auto.offset.reset", "error", "on_lost_position decides about a lost position"),
    ("isolation.level", "read_committed", "rows of an aborted transaction never happened"),
    ("enable.partition.eof", "false", "a topic has no end"),
    ("allow.auto.create.topics", "false", "a misspelt topic must be found out"),
];

/// Settings of every producer that exactness rests on.
const PRODUCER_FIXED: &[Fixed] = &[
    ("enable.idempotence", "true", TRANSACTIONS),
    ("acks", "all", TRANSACTIONS),
    ("partitioner", "murmur2_random", "a key must go where Java clients put it"),
    // A failed record fails its transaction; reports of the others would only cost time.
    ("delivery.report.only.error", "true", "the outcome of a unit is that of its transaction"),
];

/// Settings nobody may give, and what to use instead.
const REFUSED: &[(&str, &str)] = &[
    ("transactional.id", "it is made of prefix, job, sink and shard; set the prefix instead"),
    ("bootstrap.servers", "give it once, as the address of the cluster"),
    ("metadata.broker.list", "it is another name of bootstrap.servers"),
    ("auto.commit.enable", "it is another name of enable.auto.commit, which is always false"),
    ("request.required.acks", "it is another name of acks, which is always all"),
    ("enable.gapless.guarantee", "transactions already give it"),
];

/// Settings of Java clients that mean nothing here and are left out without a word, because every
/// Flink job carries them.
const JAVA_ONLY: &[&str] =
    &["key.serializer", "value.serializer", "key.deserializer", "value.deserializer"];

/// Other names of settings that have a default of ours; two names of one setting would be set in
/// random order.
const ALIASES: &[(&str, &str)] = &[
    ("queue.buffering.max.ms", "linger.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    // Java's name, which is about the record before it is compressed, too.
    ("max.request.size", "message.max.bytes"),
];

/// Settings whose values may be shown.
const SHOWN: &[&str] = &["group.id", "client.id", "security.protocol", "sasl.mechanism"];

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("group.id", NO_GROUP),
    // What is read ahead, all partitions together.
    ("queued.max.messages.kbytes", "16384"),
    // How long a full queue stops fetching; the default of 1 s would starve so small a queue.
    ("fetch.queue.backoff.ms", "2"),
    // A partition opened later waits for the fetch under way, at most this long. Data that arrives
    // ends a waiting fetch at once, so this costs no latency.
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
];

const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    // More than two gain nothing and cost a third more processor time (2.1 s instead of 3.1 s per
    // million records of 650 B): the client's thread turns while it waits for the broker.
    ("max.in.flight.requests.per.connection", "2"),
    ("queue.buffering.max.kbytes", "32768"),
    // So that bytes are the limit, not records.
    ("queue.buffering.max.messages", "1000000"),
];

/// What brokers are told who asks, unless another name is given.
const CLIENT_ID: &str = "watershed";
const COMMON_DEFAULTS: &[(&str, &str)] =
    &[("client.id", CLIENT_ID), ("reconnect.backoff.max.ms", "1000")];

impl KafkaConfig {
    /// A cluster and client settings under librdkafka's names; the rest has its defaults and is
    /// public to be set.
    ///
    /// # Errors
    /// A setting is one of those that may not be changed.
    pub fn new(
        bootstrap: impl Into<String>,
        properties: BTreeMap<String, String>,
    ) -> Result<Self, Fault> {
        let bootstrap = bootstrap.into();
        if bootstrap.trim().is_empty() {
            return Err(Fault::never("cannot use kafka: bootstrap.servers is empty"));
        }
        let config = Self {
            bootstrap,
            topics: Vec::new(),
            on_lost_position: OnLostPosition::Stop,
            snapshot: false,
            partitions: 4,
            replication: 1,
            progress_topic: PROGRESS_TOPIC.to_owned(),
            transactional_id_prefix: String::new(),
            unit_policy: UnitPolicy::EVERY_EPOCH,
            properties: properties
                .into_iter()
                .filter(|(key, _)| !JAVA_ONLY.contains(&key.as_str()))
                .map(|(key, value)| (canonical(key), value))
                .collect(),
        };
        config.check()?;
        Ok(config)
    }

    /// The group the user named, if any: then delivered positions are copied there, so that tools
    /// can show lag.
    pub(super) fn group(&self) -> Option<&str> {
        self.properties.get("group.id").map(String::as_str)
    }

    /// The settings given, under librdkafka's names, without those only Java knows.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// One setting, if it was given.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// What brokers are told who asks.
    pub(super) fn client_id(&self) -> &str {
        self.setting("client.id").unwrap_or(CLIENT_ID)
    }

    /// The longest a transaction may stay open, milliseconds (librdkafka's default is 60 000).
    pub(super) fn transaction_timeout_ms(&self) -> u64 {
        let given = self.properties.get("transaction.timeout.ms");
        given.and_then(|text| text.parse().ok()).unwrap_or(60_000)
    }

    /// The largest record the producer takes, bytes.
    pub(super) fn record_bytes_max(&self) -> u64 {
        let given = self.properties.get("message.max.bytes");
        given.and_then(|text| text.parse().ok()).unwrap_or(u64::from(RECORD_BYTES_MAX))
    }

    /// Settings of the client that reads.
    pub(super) fn consumer(&self) -> ClientConfig {
        self.client(CONSUMER_DEFAULTS, CONSUMER_FIXED)
    }

    /// Settings of the client that reads up to a known end: it is told where the partition ends
    /// for now, and begins with what is left where records are gone.
    pub(super) fn stretch_consumer(&self) -> ClientConfig {
        let mut client = self.consumer();
        client.set("enable.partition.eof", "true");
        client.set("auto.offset.reset", "earliest");
        client
    }

    /// Settings of the client that writes under a transactional id.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut client = self.client(PRODUCER_DEFAULTS, PRODUCER_FIXED);
        client.set("transactional.id", transactional_id);
        client.set("message.max.bytes", self.record_bytes_max().to_string());
        client
    }

    /// Settings of the client that makes topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.client(&[], &[])
    }

    fn client(&self, defaults: &[(&str, &str)], fixed: &[Fixed]) -> ClientConfig {
        let mut client = ClientConfig::new();
        for (key, value) in COMMON_DEFAULTS.iter().chain(defaults) {
            client.set(*key, *value);
        }
        for (key, value) in &self.properties {
            client.set(key, value);
        }
        for (key, value, _) in fixed {
            client.set(*key, *value);
        }
        client.set("bootstrap.servers", &self.bootstrap);
        client
    }

    fn check(&self) -> Result<(), Fault> {
        for (key, value) in &self.properties {
            if let Some((_, hint)) = REFUSED.iter().find(|(name, _)| name == key) {
                return Err(refused(key, hint));
            }
            let mut fixed = CONSUMER_FIXED.iter().chain(PRODUCER_FIXED);
            if let Some((_, ours, why)) = fixed.find(|(name, ..)| name == key)
                && !same_value(value, ours)
            {
                return Err(refused(key, &format!("it is always {ours}: {why}")));
            }
        }
        Ok(())
    }
}

/// `acks=-1` is `acks=all`; `read_committed` may be written in any case.
fn same_value(given: &str, ours: &str) -> bool {
    given.trim().eq_ignore_ascii_case(ours) || (ours == "all" && given.trim() == "-1")
}

fn canonical(key: String) -> String {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == key);
    alias.map_or(key, |(_, name)| (*name).to_owned())
}

fn refused(key: &str, hint: &str) -> Fault {
    Fault::never(format!("cannot change kafka setting \"{key}\"")).with_hint(hint)
}

/// What librdkafka says about settings it does not take, without their values.
pub(super) fn bad_setting(error: &KafkaError) -> Fault {
    match error {
        KafkaError::ClientConfig(_, reason, key, value) => {
            // Its text may quote the value, which may be a secret.
            let reason =
                if value.is_empty() { reason.clone() } else { reason.replace(value, "…") };
            Fault::never(format!("cannot use kafka setting \"{key}\": {reason}"))
                .with_hint("settings have librdkafka's names, see its CONFIGURATION.md")
        }
        other => Fault::never(format!("cannot make a kafka client: {other}")),
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value): (&String, &String)| {
            let value = if SHOWN.contains(&key.as_str()) { value.as_str() } else { "…" };
            format!("{key}={value}")
        };
        f.debug_struct("KafkaConfig")
            .field("bootstrap", &self.bootstrap)
            .field("topics", &self.topics)
            .field("on_lost_position", &self.on_lost_position)
            .field("snapshot", &self.snapshot)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("progress_topic", &self.progress_topic)
            .field("transactional_id_prefix", &self.transactional_id_prefix)
            .field("unit_policy", &self.unit_policy)
            .field("properties", &self.properties.iter().map(shown).collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: &str) -> Result<KafkaConfig, Fault> {
        KafkaConfig::new("b:9092", BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_exactness_rests_on_cannot_be_changed() {
        for (key, value) in [
            ("enable.auto.commit", "true"),
            ("enable.auto.offset.store", "true"),
            ("isolation.level", "read_uncommitted"),
            ("auto.offset.reset", "earliest"),
            ("partitioner", "consistent"),
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("transactional.id", "mine"),
            ("bootstrap.servers", "b:9092"),
        ] {
            let fault = with(key, value).unwrap_err().to_string();
            assert!(fault.contains(&format!("\"{key}\"")), "{fault}");
        }
        for (key, value) in [("enable.auto.commit", "FALSE"), ("acks", "-1"), ("linger.ms", "1")] {
            assert!(with(key, value).is_ok(), "{key}={value}");
        }
        assert!(KafkaConfig::new(" ", BTreeMap::new()).is_err());
    }

    #[test]
    fn clients_take_every_setting_of_ours() {
        use rdkafka::consumer::BaseConsumer;
        use rdkafka::producer::BaseProducer;
        let config = with("queue.buffering.max.kbytes", "1024").unwrap();
        config.consumer().create::<BaseConsumer>().unwrap();
        config.stretch_consumer().create::<BaseConsumer>().unwrap();
        let producer = config.producer("t");
        producer.create::<BaseProducer>().unwrap();
        assert_eq!(producer.get("queue.buffering.max.kbytes"), Some("1024"));
        assert_eq!(producer.get("partitioner"), Some("murmur2_random"));
    }

    #[test]
    fn another_name_of_a_setting_replaces_our_default() {
        let config = with("queue.buffering.max.ms", "77").unwrap();
        let producer = config.producer("t").create_native_config().unwrap();
        assert_eq!(producer.get("linger.ms").unwrap(), "77");
    }

    #[test]
    fn no_output_shows_a_secret() {
        let mut config = with("sasl.password", "hunter2").unwrap();
        config.topics = vec!["t".to_owned()];
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
        // Librdkafka's own message quotes the value.
        let wrong = with("ssl.endpoint.identification.algorithm", "hunter2").unwrap();
        let error = wrong.consumer().create::<rdkafka::consumer::BaseConsumer>().err();
        let error = error.expect("refused");
        assert!(error.to_string().contains("hunter2"));
        assert!(!bad_setting(&error).to_string().contains("hunter2"));
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let config = with("linger.mss", "1").unwrap();
        let error = config.producer("t").create::<rdkafka::producer::BaseProducer>().err();
        let fault = bad_setting(&error.expect("refused")).to_string();
        assert!(fault.contains("\"linger.mss\""), "{fault}");
    }
}
