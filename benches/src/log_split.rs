//! Log split, Kafka to Kafka with exactly-once, beside its floor.
//!
//! ```text
//!   ods_log ──> floor:     consume . parse                  . produce, transaction of 1 s
//!           └─> watershed: consume . parse . is_new . split . outbox . produce, epoch of 1 s
//! ```
//!
//! Both read the same topic of one real broker, one after the other; both write the same number of
//! records of the same bytes to the same number of topics, which is checked by reading them back.
//! Measured is the time from the first record read to the last one committed, and our processor
//! seconds in it; the broker is another process and not counted, but shares the cores. Broken
//! records, half a percent, are produced by the floor without the headers that say what is broken.

mod floor;
mod input;
pub(crate) mod pieces;

use std::sync::Arc;

use anyhow::{Result, ensure};
use engine::source::Start;
use jobs::dwd::log_split::{NAME, ODS_LOG, TOPICS};
use jobs::outside::{dead_topic, future_topic};
use jobs::{Job, Outside, Settings};

use crate::embedded::Embedded;
use crate::kafka_ends::Ends;
use crate::pair::{Content, Given, KafkaTopics, Outcome, Pair, Scale};
use crate::topics::contents;

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "log_split",
    about: "Kafka to Kafka, exactly once, 2 workers, epochs of 1 s; floor: consume, parse, produce as \
            many bytes in transactions of 1 s, on one thread",
    records: Scale { full: 400_000, quick: 150_000 },
    kafka: Some(KafkaTopics {
        input: ODS_LOG,
        outputs,
        sides: |prefix| vec![format!("{prefix}{}", future_topic(NAME))],
    }),
    tolerance_percent: 0,
    feed,
    floor: floor::run,
    whole,
};

/// Names of the topics a part writes and that are compared.
fn outputs(prefix: &str) -> Vec<String> {
    let dead = dead_topic(NAME);
    let names = TOPICS.iter().copied().chain([dead.as_str()]);
    names.map(|name| format!("{prefix}{name}")).collect()
}

fn feed(given: &Given) -> Result<u32> {
    input::produce(&given.bootstrap, ODS_LOG, given.records, &given.dir)?;
    Ok(given.records)
}

fn whole(given: &Given) -> Result<Outcome> {
    let ends = Ends::new(given)?;
    let source = ends.source(ODS_LOG)?;
    let outside = Outside {
        source: &|_name| (Arc::new(source.clone()), Start::Earliest),
        topics: &|names| ends.sink(names),
        topic_prefix: "",
        table: &|_name| unreachable!("log split writes no table"),
        dimensions: &|| unreachable!("the bench has no dimensions"),
        publish: &|_name| true,
    };
    let plans = jobs::plans(&[Job::LogSplit], &Settings::default(), &outside)?;
    let embedded = Embedded::open(&given.dir)?;
    let used = embedded.run_until(u64::from(given.records), |_embedded| Ok(plans))?;
    let counted = |name| embedded.counted(name, NAME);
    let read = counted("records_in")?;
    ensure!(read == u64::from(given.records), "the job has read {read} records");
    let mut split = outputs(&given.prefix);
    let dead = split.split_off(TOPICS.len());
    let (split, dead) = (contents(&given.bootstrap, &split)?, contents(&given.bootstrap, &dead)?);
    // Dead letters are not among the job's `records_out`.
    let (counted, read) = (counted("records_out")?, split.records);
    ensure!(counted == read, "the job counts {counted} records, read back were {read}");
    let written =
        Content { records: split.records + dead.records, bytes: split.bytes + dead.bytes };
    Ok(Outcome { used, written })
}
