//! A job that passes records on as they are: for feeding topics, and for what the engine itself costs.

use std::sync::Arc;

use anyhow::Result;
use engine::batch::Batch;
use engine::batch::Slice;
use engine::batch::build::{RAW_KEY, RAW_VALUE, Stamp, raw_schema};
use engine::batch::schema::Schema;
use engine::codec::{Decoded, Decoder, Verbatim};
use engine::graph::plan::{Feed, SinkTarget, SourceSpec};
use engine::graph::{JobBuilder, JobPlan};
use engine::source::{SourceFactory, Start};

/// The job `name`, from `source` to the first topic of `target`, which is called `topic` there.
pub(crate) fn plan(
    name: &str,
    source: Arc<dyn SourceFactory>,
    target: SinkTarget,
    topic: &str,
) -> Result<Arc<JobPlan>> {
    let mut job = JobBuilder::new(name);
    let spec = SourceSpec {
        factory: source,
        start: Start::Earliest,
        decoder: Arc::new(|| Box::new(AsRead(raw_schema()))),
        // Its rows have no time.
        bound_ms: 0,
        idle_timeout_ms: 0,
        future_hold_ms: i64::MAX,
        future_skew_ms: i64::MAX,
        reread: None,
    };
    let records = job.source("records", spec);
    let encoder = Arc::new(Verbatim { key: RAW_KEY, value: RAW_VALUE });
    job.sink("topics", target, &[topic], vec![(&records.rows, Feed::result(0, encoder))]);
    Ok(Arc::new(job.build()?))
}

/// Records as they were read.
struct AsRead(Arc<Schema>);

impl Decoder for AsRead {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for row in input.rows() {
            out.rows.begin_over(row);
            // A raw row begins with its value.
            let value = row.bytes(RAW_VALUE).map_or(Slice::NULL, |value| Slice {
                start: 0,
                length: u32::try_from(value.len()).expect("a record has at most 16 MiB"),
            });
            let key = row.bytes(RAW_KEY).map_or(Slice::NULL, |key| out.rows.append(key));
            out.rows.slice(RAW_KEY, key);
            out.rows.slice(RAW_VALUE, value);
            out.rows.end(Stamp::of(row));
        }
    }
}
