//! Which producer writes: our own one, or librdkafka's ([`choice`]).
//!
//! Ours does not compress. Settings that only tell the reader something decide nothing.

use std::time::Duration;

use crate::kafka::choice::{self, Taken};
use crate::kafka::config::{KafkaConfig, RECORD_BYTES_MAX};
use crate::kafka::producer::Settings;

/// Settings our producer follows, or that it need not be told: the writing side of what is fixed
/// anyway, and `linger.ms`, since it never waits for more records than a unit has.
const OURS: &[&str] = &[
    "acks",
    "batch.size",
    "enable.idempotence",
    "linger.ms",
    "message.max.bytes",
    "partitioner",
    "request.timeout.ms",
    "transaction.timeout.ms",
];
/// Settings of readers.
const READERS: &[&str] = &[
    "allow.auto.create.topics",
    "auto.offset.reset",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "max.partition.fetch.bytes",
];
/// How settings of readers begin otherwise.
const READERS_BEGIN: &[&str] = &["fetch.", "queued."];
/// Settings that leave everything as our producer does it, with this value.
const HARMLESS: &[(&str, &str)] = &[("compression.type", "none"), ("compression.codec", "none")];

/// Bytes of a batch unless told otherwise, as with librdkafka: just below the limit of brokers.
const BATCH_BYTES: u32 = 1_000_000;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What our producer takes.
const TAKEN: Taken = Taken { names: &[OURS, READERS], beginnings: READERS_BEGIN, values: HARMLESS };

/// Who writes.
pub(super) type Choice = choice::Choice<Settings>;

/// Who can do what the settings ask for.
pub(super) fn writer(config: &KafkaConfig) -> Choice {
    Choice::of(config, &TAKEN, |bootstrap| {
        let number = |key, usual| choice::number(config, key, usual, 1);
        let answer = u32::try_from(ANSWER_LIMIT.as_millis()).expect("half a minute");
        let transaction = u32::try_from(config.transaction_timeout_ms()).unwrap_or(0);
        number("message.max.bytes", RECORD_BYTES_MAX)?;
        Ok(Settings {
            bootstrap,
            client: config.client_id().to_owned(),
            transaction_timeout_ms: number("transaction.timeout.ms", transaction)?,
            answer_limit_ms: number("request.timeout.ms", answer)?,
            batch_bytes: usize::try_from(number("batch.size", BATCH_BYTES)?).expect("checked"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bootstrap: &str, settings: &[(&str, &str)]) -> Choice {
        let settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        writer(&KafkaConfig::new(bootstrap, settings.collect()).unwrap())
    }

    #[test]
    fn ours_writes_plain_text() {
        let Choice::Own(usual) = of("b:1,c:2", &[]) else { panic!("librdkafka") };
        assert_eq!((usual.transaction_timeout_ms, usual.batch_bytes), (60_000, 1_000_000));
        assert_eq!((usual.client.as_str(), usual.bootstrap.len()), ("watershed", 2));
        let told = [
            ("client.id", "me"),
            ("batch.size", "5"),
            ("transaction.timeout.ms", "7"),
            ("queue.buffering.max.ms", "1"),
            ("group.id", "g"),
            ("fetch.min.bytes", "1"),
            ("acks", "all"),
            ("compression.type", "none"),
            ("security.protocol", "PLAINTEXT"),
        ];
        let Choice::Own(told) = of("b:1", &told) else { panic!("librdkafka") };
        assert_eq!((told.transaction_timeout_ms, told.batch_bytes), (7, 5));
        assert_eq!(told.client, "me");
    }

    #[test]
    fn the_rest_is_left_to_librdkafka_with_the_reason() {
        for (key, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.username", "bob"),
            ("ssl.ca.location", "/ca.pem"),
            ("compression.type", "zstd"),
            ("queue.buffering.max.kbytes", "1024"),
            ("batch.size", "many"),
            ("batch.size", "0"),
            ("transaction.timeout.ms", "-1"),
            ("linger", "5"),
        ] {
            assert_eq!(of("b:1", &[(key, value)]), Choice::Librdkafka(key.to_owned()), "{value}");
        }
        assert_eq!(of("SSL://b:1", &[]), Choice::Librdkafka("bootstrap.servers".to_owned()));
    }
}
