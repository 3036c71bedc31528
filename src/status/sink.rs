//! Sinks in a report: which stands still, since when, and why.

use std::fmt::Write as _;

use engine::outbox::quota::Backlog;
use engine::outbox::sinks::SinkStatus;
use serde::{Deserialize, Serialize};

use super::{bytes_text, ms_text};

/// From here on a sink that delivers nothing is named in the text.
const LONG_MS: u64 = 1_000;

/// A shard of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkReport {
    /// Job name.
    pub(crate) job: String,
    /// Uid of the sink.
    pub(crate) sink: String,
    /// Shard: a worker's part.
    pub(crate) shard: u16,
    /// `preparing`, `idle`, `delivering`, `retrying` or `stopped`.
    pub(crate) work: String,
    /// Milliseconds since something last came through while more waited; 0 if nothing waits.
    pub(crate) waiting_ms: u64,
    /// Units that wait.
    pub(crate) units: usize,
    /// What the target said since then.
    pub(crate) fault: Option<String>,
}

impl From<SinkStatus> for SinkReport {
    fn from(status: SinkStatus) -> Self {
        Self {
            job: status.job.to_string(),
            sink: status.sink.to_string(),
            shard: status.shard,
            work: status.work.as_str().to_owned(),
            waiting_ms: status.waiting_ms,
            units: status.units,
            fault: status.fault,
        }
    }
}

/// A sink for which more waits than may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FullSink {
    /// Job name.
    pub(crate) job: String,
    /// Uid of the sink.
    pub(crate) sink: String,
    /// Units that wait.
    pub(crate) units: usize,
    /// Bytes that wait.
    pub(crate) bytes: u64,
}

impl From<Backlog> for FullSink {
    fn from(backlog: Backlog) -> Self {
        let Backlog { job, sink, units, bytes, queued_bytes: _ } = backlog;
        Self { job: job.to_string(), sink: sink.to_string(), units, bytes }
    }
}

impl FullSink {
    /// Why the sources of its group take nothing in.
    pub(crate) fn text(&self) -> String {
        let Self { job, sink, units, bytes } = self;
        let bytes = bytes_text(*bytes);
        format!("sources wait: {units} units ({bytes}) are undelivered to sink {job}.{sink}")
    }
}

/// The shards that stand still or failed, a line each.
pub(super) fn standing_lines(sinks: &[SinkReport]) -> Vec<String> {
    let stands = |sink: &&SinkReport| sink.waiting_ms >= LONG_MS || sink.fault.is_some();
    sinks.iter().filter(stands).map(line).collect()
}

fn line(report: &SinkReport) -> String {
    let SinkReport { job, sink, shard, work, waiting_ms, units, fault } = report;
    let since = ms_text(*waiting_ms);
    let mut line = format!("{job}.{sink} shard {shard}: {work} for {since}, {units} units wait");
    if let Some(fault) = fault {
        let _infallible = write!(line, "; {fault}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sinks_that_stand_still_are_named() {
        let report = |work: &str, waiting_ms, fault: Option<&str>| SinkReport {
            job: "log_split".to_owned(),
            sink: "kafka".to_owned(),
            shard: 1,
            work: work.to_owned(),
            waiting_ms,
            units: 7,
            fault: fault.map(ToOwned::to_owned),
        };
        let sinks = [
            report("idle", 0, None),
            report("delivering", 999, None),
            report("delivering", 12_345, None),
            report("retrying", 80, Some("the broker is gone")),
        ];
        let expected = [
            "log_split.kafka shard 1: delivering for 12.3s, 7 units wait",
            "log_split.kafka shard 1: retrying for 80ms, 7 units wait; the broker is gone",
        ];
        assert_eq!(standing_lines(&sinks), expected);
    }
}
