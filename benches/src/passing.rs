//! A job that passes records on as they are: for feeding topics, and for what the engine itself costs.

use std::sync::Arc;

use anyhow::Result;
use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::codec::{AsRead, Verbatim};
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
        decoder: Arc::new(|| Box::new(AsRead::default())),
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
