//! generator: records of a seed → `ods_log`.
//!
//! A job like any other, so what it writes is in the topic once, in order, and a second start goes
//! on with the next record. The warehouse does not know it: it reads the topic.

use std::sync::Arc;

use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::codec::{AsRead, Verbatim};
use engine::error::JobError;
use engine::graph::plan::{Feed, SinkTarget, SourceSpec};
use engine::graph::{JobBuilder, JobPlan};
use engine::source::Start;

use super::source::GeneratorSourceFactory;
use crate::dwd::log_split::ODS_LOG;

/// Name of the job.
pub const NAME: &str = "generator";

/// The plan; `target` is the sink of the topic [`ODS_LOG`].
///
/// # Errors
///
/// Never, as long as its uids are good ones.
pub fn plan(source: GeneratorSourceFactory, target: SinkTarget) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let spec = SourceSpec {
        factory: Arc::new(source),
        start: Start::Earliest,
        decoder: Arc::new(|| Box::new(AsRead::default())),
        // Its rows have no time: what a record says of time is read by the warehouse.
        bound_ms: 0,
        idle_timeout_ms: 0,
        future_hold_ms: i64::MAX,
        future_skew_ms: i64::MAX,
        reread: None,
    };
    let records = job.source("records", spec);
    let encoder = Arc::new(Verbatim { key: RAW_KEY, value: RAW_VALUE });
    job.sink("topics", target, &[ODS_LOG], vec![(&records.rows, Feed::result(0, encoder))]);
    job.build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::graph::plan::TopicSpec;
    use engine::testing::simulate::{Simulation, seeds};

    use super::super::source::Pace;
    use super::super::{Generator, Settings};
    use super::*;

    const RECORDS: u64 = 3_000;

    fn generator() -> Generator {
        Generator::new(Settings { records: Some(RECORDS), mids: 200, ..Settings::default() })
    }

    /// By the last digit; any function of the key does.
    fn partition(key: &[u8], count: u32) -> u32 {
        key.last().map_or(0, |byte| u32::from(*byte)) % count
    }

    #[test]
    fn every_record_is_in_its_partition_once_and_in_order_under_crashes() {
        let mut expected = BTreeMap::<u32, Vec<(Vec<u8>, Vec<u8>)>>::new();
        let (mut line, mut cursor) = (Vec::new(), generator().open(0));
        while let Some(record) = cursor.next(&mut line) {
            let key = record.key.map(|range| line[range].to_vec());
            let place = partition(key.as_deref().unwrap_or(&line), 4);
            let value = std::mem::take(&mut line);
            expected.entry(place).or_default().push((key.unwrap_or_default(), value));
        }
        assert_eq!(expected.len(), 4);
        for seed in seeds(1, 20) {
            let mut simulation = Simulation::new(seed, 0);
            simulation.run(5, &|_marks, _disk| {
                let topic = TopicSpec { name: ODS_LOG.to_owned(), partitions: 4 };
                let target = SinkTarget::Topics(vec![topic], partition);
                let source = GeneratorSourceFactory { generator: generator(), pace: Pace::Unpaced };
                vec![Arc::new(plan(source, target).expect("a good plan"))]
            });
            let mut written = BTreeMap::<u32, Vec<(Vec<u8>, Vec<u8>)>>::new();
            for (partition, key, value) in simulation.topic(ODS_LOG) {
                written.entry(partition).or_default().push((key, value));
            }
            assert!(written == expected, "seed {seed}");
            let counted = simulation.counters();
            let out = counted.iter().find(|counter| counter.name == "records_out");
            assert_eq!(out.map(|counter| counter.value), Some(RECORDS), "seed {seed}");
        }
    }
}
