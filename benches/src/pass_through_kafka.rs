//! Bytes from Kafka to Kafka, exactly once: what the engine and its outbox cost beside the clients.

use std::sync::Arc;

use anyhow::Result;
use jobs::dwd::log_split::ODS_LOG;
use rdkafka::message::Message as _;
use rdkafka::producer::BaseRecord;

use crate::embedded::Embedded;
use crate::kafka_clients::{floor as bare, produce_logs, send};
use crate::kafka_ends::Ends;
use crate::pair::{Given, KafkaTopics, Outcome, Pair, Scale};
use crate::passing;
use crate::topics::contents;

const OUTPUT: &str = "passed";

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "pass_through_kafka",
    about: "Kafka to Kafka, exactly once, bytes as they are; floor: consume, produce in transactions \
            of 1 s, on one thread",
    records: Scale { full: 600_000, quick: 200_000 },
    kafka: Some(KafkaTopics { input: ODS_LOG, outputs, sides: |_prefix| Vec::new() }),
    tolerance_percent: 0,
    feed,
    floor,
    whole,
};

fn outputs(prefix: &str) -> Vec<String> {
    vec![format!("{prefix}{OUTPUT}")]
}

fn feed(given: &Given) -> Result<u32> {
    let (bootstrap, records) = (&given.bootstrap, given.records);
    produce_logs(bootstrap, ODS_LOG, records, &mut |_partition, _line| Ok(()))?;
    Ok(records)
}

fn floor(given: &Given) -> Result<Outcome> {
    let outputs = outputs(&given.prefix);
    let (bootstrap, id) = (&given.bootstrap, &given.prefix);
    let topic = outputs.first().map_or("", String::as_str);
    let used = bare(bootstrap, ODS_LOG, id, given.records, |message, producer| {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = message.key();
        record.payload = Some(message.payload().unwrap_or(b""));
        send(producer, record)
    })?;
    Ok(Outcome { used, written: contents(bootstrap, &outputs)? })
}

fn whole(given: &Given) -> Result<Outcome> {
    let ends = Ends::new(given)?;
    let (source, target) = (Arc::new(ends.source(ODS_LOG)?), ends.sink(&[OUTPUT]));
    let plan = passing::plan("pass", source, target, OUTPUT)?;
    let records = u64::from(given.records);
    let used = Embedded::open(&given.dir)?.run_until(records, |_embedded| Ok(vec![plan]))?;
    Ok(Outcome { used, written: contents(&given.bootstrap, &outputs(&given.prefix))? })
}
