//! Which consumer reads the live records: our own one, or librdkafka's ([`choice`]).
//!
//! Ours speaks to brokers since 3.1, and knows of no rack. Settings that only tell the writer something
//! decide nothing.

use crate::kafka::choice::{self, Taken};
use crate::kafka::config::KafkaConfig;
use crate::kafka::wire::address::Address;
use crate::kafka::wire::message::fetch::Limits;

/// Settings our consumer follows, or that it need not be told: what is fixed anyway, checksums, which
/// it always looks at, and queues, of which it has none.
const OURS: &[&str] = &[
    "allow.auto.create.topics",
    "auto.offset.reset",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "isolation.level",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
];
/// Settings of writers.
const WRITERS: &[&str] = &[
    "acks",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "enable.idempotence",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "partitioner",
    "request.timeout.ms",
    "transaction.timeout.ms",
];
/// Bytes of an answer at most, unless told otherwise: so much is held for each leader that is far.
const ANSWER_BYTES: u32 = 4 << 20;
/// Memory that a setting made for a Java client must not take.
const ANSWER_BYTES_MAX: i32 = 32 << 20;
const PARTITION_BYTES: u32 = 1 << 20;
/// Data that arrives ends the wait at once; a partition that is opened later waits for the fetch under
/// way.
const WAIT_MS: u32 = 50;

/// What our consumer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) bootstrap: Vec<Address>,
    pub(super) client: String,
    pub(super) limits: Limits,
}

/// What our consumer takes.
const TAKEN: Taken =
    Taken { names: &[OURS, WRITERS], beginnings: &["queue.buffering."], values: &[] };

/// Who reads.
pub(super) type Choice = choice::Choice<Settings>;

/// Who can do what the settings ask for.
pub(super) fn reader(config: &KafkaConfig) -> Choice {
    Choice::of(config, &TAKEN, |bootstrap| {
        let number = |key, usual| choice::number(config, key, usual, 0);
        let limits = Limits {
            wait_ms: number("fetch.wait.max.ms", WAIT_MS)?,
            least_bytes: number("fetch.min.bytes", 1)?,
            bytes: number("fetch.max.bytes", ANSWER_BYTES)?.min(ANSWER_BYTES_MAX),
            partition_bytes: number("max.partition.fetch.bytes", PARTITION_BYTES)?,
        };
        Ok(Settings { bootstrap, client: config.client_id().to_owned(), limits })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bootstrap: &str, settings: &[(&str, &str)]) -> Choice {
        let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        reader(&KafkaConfig::new(bootstrap, settings.collect()).unwrap())
    }

    #[test]
    fn ours_reads_plain_text() {
        let Choice::Own(usual) = of("b:1,c:2", &[]) else { panic!("librdkafka") };
        assert_eq!((usual.client.as_str(), usual.bootstrap.len()), ("watershed", 2));
        let told = [
            ("client.id", "me"),
            ("fetch.message.max.bytes", "5"),
            ("fetch.max.bytes", "6"),
            ("fetch.min.bytes", "7"),
            ("fetch.wait.max.ms", "0"),
            ("group.id", "g"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.ms", "1"),
            ("security.protocol", "PLAINTEXT"),
        ];
        let Choice::Own(told) = of("b:1", &told) else { panic!("librdkafka") };
        let limits = Limits { wait_ms: 0, least_bytes: 7, bytes: 6, partition_bytes: 5 };
        assert_eq!((told.client.as_str(), told.limits), ("me", limits));
    }

    #[test]
    fn the_rest_is_left_to_librdkafka_with_the_reason() {
        for (key, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.username", "bob"),
            ("client.rack", "r1"),
            ("socket.timeout.ms", "1000"),
            ("fetch.max.bytes", "many"),
            ("fetch.wait.max.ms", "-1"),
        ] {
            assert_eq!(of("b:1", &[(key, value)]), Choice::Librdkafka(key.to_owned()), "{value}");
        }
        assert_eq!(of("SSL://b:1", &[]), Choice::Librdkafka("bootstrap.servers".to_owned()));
    }
}
