//! What is said at the end of a demo.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::text::grouped;
use super::{Request, layer, sample};
use crate::usage::Usage;
use crate::warehouse::Warehouse;

/// Counts at the end.
#[derive(Debug)]
pub(super) struct Summary {
    /// Records in `ods_log`, those of earlier starts included.
    pub(super) records: u64,
    seconds: f64,
    usage: Usage,
    topics: BTreeMap<Arc<str>, u64>,
    dimensions: BTreeMap<String, u64>,
    tables: BTreeMap<String, u64>,
}

impl Summary {
    /// Counts topics, dimensions and tables; nothing may be running any more.
    pub(super) fn of(
        warehouse: &Warehouse,
        elapsed: Duration,
        supervisor: Option<u32>,
    ) -> Result<Self> {
        let mut topics = sample::topic_rows(warehouse);
        for topic in layer::ODS.into_iter().chain(layer::dwd()) {
            topics.entry(topic.into()).or_default();
        }
        for topic in layer::sides() {
            topics.entry(topic.into()).or_default();
        }
        let dimensions = warehouse.dimensions.counts()?.into_iter();
        let mut tables: BTreeMap<String, u64> = warehouse.tables.counts()?.into_iter().collect();
        for table in layer::DWS {
            tables.entry(table.name.to_owned()).or_default();
        }
        Ok(Self {
            records: topics[layer::LOG],
            seconds: elapsed.as_secs_f64(),
            usage: Usage::with_supervisor(supervisor),
            topics,
            dimensions: dimensions.map(|(name, rows)| (name.to_lowercase(), rows)).collect(),
            tables,
        })
    }

    /// One JSON object.
    fn json(&self) -> String {
        json!({
            "records": self.records, "seconds": self.seconds,
            "cpu_seconds": self.usage.cpu_seconds, "peak_rss_bytes": self.usage.peak_rss_bytes,
            "topics": self.topics, "dimensions": self.dimensions, "tables": self.tables,
        })
        .to_string()
    }

    /// Several lines for people; `before` records were there at the start.
    fn text(&self, before: u64) -> String {
        let new = self.records.saturating_sub(before);
        let rate = new as f64 / self.seconds.max(1e-9);
        let mut text = format!(
            "{} records in {:.2} s, {}/s, {:.2} s of processor time, {:.0} MiB at the peak\n",
            grouped(&new.to_string()),
            self.seconds,
            grouped(&format!("{rate:.0}")),
            self.usage.cpu_seconds,
            self.usage.peak_rss_bytes as f64 / 1_048_576.0,
        );
        let rows = self.topics.iter().map(|(name, rows)| ("topic", &**name, rows));
        let dimensions = self.dimensions.iter().map(|(name, rows)| ("dim", name.as_str(), rows));
        let tables = self.tables.iter().map(|(name, rows)| ("table", name.as_str(), rows));
        for (kind, name, rows) in rows.chain(dimensions).chain(tables) {
            text.push_str(&format!("  {:>13}  {kind} {name}\n", grouped(&rows.to_string())));
        }
        text
    }

    /// Prints it; `done` says whether there is nothing more to come.
    #[expect(clippy::print_stdout, reason = "the summary of a command")]
    pub(super) fn print(&self, request: &Request, before: u64, done: bool) {
        if request.json {
            println!("{}", self.json());
            return;
        }
        print!("{}", self.text(before));
        if !done {
            println!(
                "Stopped; the same command on {} goes on where it ended.",
                request.data.display()
            );
        }
    }
}
