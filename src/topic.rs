//! `watershed topic`: lists, tails and dumps embedded topics, beside a running process or alone.
//!
//! Of a running process only the visible ends are asked for; records are read from the files, which
//! only grow, so a reader costs the process nothing.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use connectors::topic::read::{TopicRecord, first_offset, read_partition};
use engine::checkpoint::disk::Disk;
use engine::error::Fatal;
use serde_json::{Value, json};

use crate::cli::{DumpArgs, TailArgs};
use crate::config::nearest::hint;
use crate::data_dir::DataDir;
use crate::signal::Signals;
use crate::socket::{Connection, Teller};
use crate::status::{Report, TopicReport};

/// How often a tail asks for new ends.
const TAIL_PAUSE: Duration = Duration::from_millis(200);

/// Embedded topics as of now, and the way to their records.
pub(crate) struct Topics {
    disk: Arc<dyn Disk>,
    partitions: Vec<TopicReport>,
    /// Absent where nothing runs: then nothing grows either.
    connection: Option<Connection>,
}

impl Topics {
    /// Finds the topics of a directory, through its process if one runs.
    pub(crate) fn open(dir: &DataDir) -> anyhow::Result<Self> {
        match Teller::find(dir)? {
            Teller::Running(mut connection) => {
                let partitions = connection.topics()?;
                let disk = dir.shared_disk()?;
                Ok(Self { disk, partitions, connection: Some(connection) })
            }
            Teller::Alone(seen, saved) => {
                let partitions = Report::saved(&saved).topics;
                Ok(Self { disk: seen.disk.clone(), partitions, connection: None })
            }
        }
    }

    /// One line per partition.
    pub(crate) fn list(&self, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for report in &self.partitions {
            let first = self.first_offset(report)?;
            rows.push((report, first, report.next_offset.saturating_sub(first)));
        }
        if json {
            let rows: Vec<Value> = rows
                .iter()
                .map(|(report, first, records)| {
                    json!({
                        "topic": report.topic, "partition": report.partition,
                        "first_offset": first, "next_offset": report.next_offset,
                        "records": records,
                    })
                })
                .collect();
            return Ok(writeln!(out, "{}", Value::Array(rows))?);
        }
        writeln!(out, "{:<50} {:>9} {:>12} {:>12}", "topic", "partition", "first", "next")?;
        for (report, first, _) in rows {
            let TopicReport { topic, partition, next_offset, .. } = report;
            writeln!(out, "{topic:<50} {partition:>9} {first:>12} {next_offset:>12}")?;
        }
        Ok(())
    }

    /// All records, partition by partition.
    pub(crate) fn dump(&self, args: &DumpArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        for report in self.chosen(&args.topic, args.partition)? {
            self.print(&report, 0, args.json, out)?;
        }
        Ok(())
    }

    /// The newest records, then those that come, until asked to stop.
    pub(crate) fn tail(mut self, args: &TailArgs, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut signals = Signals::listen()?;
        let mut places = Vec::new();
        for report in self.chosen(&args.topic, args.partition)? {
            let from =
                if args.from_start { 0 } else { report.next_offset.saturating_sub(args.newest) };
            places.push((report.partition, from));
        }
        loop {
            for report in self.chosen(&args.topic, args.partition)? {
                let known = places.iter().position(|(partition, _)| *partition == report.partition);
                let index = known.unwrap_or_else(|| {
                    places.push((report.partition, 0));
                    places.len() - 1
                });
                if places[index].1 < report.next_offset {
                    self.print(&report, places[index].1, true, out)?;
                    places[index].1 = report.next_offset;
                }
            }
            out.flush()?;
            let Some(connection) = &mut self.connection else { return Ok(()) };
            if signals.wait(Some(TAIL_PAUSE))? {
                return Ok(());
            }
            self.partitions = connection.topics()?;
        }
    }

    /// The partitions of a topic, or the one asked for.
    fn chosen(&self, topic: &str, partition: Option<u32>) -> anyhow::Result<Vec<TopicReport>> {
        let of_topic = self.partitions.iter().filter(|report| report.topic == topic);
        let wanted = |report: &&TopicReport| partition.is_none_or(|only| only == report.partition);
        let chosen: Vec<_> = of_topic.clone().filter(wanted).cloned().collect();
        if of_topic.clone().next().is_none() {
            let near = hint(topic, self.partitions.iter().map(|report| report.topic.as_str()));
            bail!("no embedded topic \"{topic}\"{near}");
        }
        if chosen.is_empty() {
            let numbers: Vec<_> = of_topic.map(|report| report.partition.to_string()).collect();
            bail!(
                "topic \"{topic}\" has nothing in partition {}; it has {}",
                partition.unwrap_or(0),
                numbers.join(", ")
            );
        }
        Ok(chosen)
    }

    fn first_offset(&self, report: &TopicReport) -> anyhow::Result<u64> {
        let first = first_offset(self.disk.clone(), &report.topic, report.partition, report.mark());
        Ok(first.map_err(Fatal::disk)?)
    }

    fn print(
        &self,
        report: &TopicReport,
        from: u64,
        whole: bool,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let TopicReport { topic, partition, .. } = report;
        let records = read_partition(self.disk.clone(), topic, *partition, report.mark(), from);
        for record in records {
            let record = record.map_err(Fatal::disk)?;
            if whole {
                writeln!(out, "{}", line_of(*partition, &record))?;
            } else {
                write_value(&record, out)?;
            }
        }
        Ok(())
    }
}

/// The value as it is; a tombstone is an empty line.
fn write_value(record: &TopicRecord, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(record.value.as_deref().unwrap_or_default())?;
    out.write_all(b"\n")
}

/// A record with all that belongs to it, on one line. A value that is JSON stands there as it is.
fn line_of(partition: u32, record: &TopicRecord) -> String {
    let mut line = format!("{{\"partition\":{partition},\"offset\":{}", record.offset);
    let mut add = |name: &str, value: String| line.push_str(&format!(",\"{name}\":{value}"));
    if record.time_ms != i64::MIN {
        add("time", record.time_ms.to_string());
    }
    if let Some(key) = &record.key {
        add("key", text(key).to_string());
    }
    if !record.headers.is_empty() {
        let headers = record.headers.iter().map(|(name, value)| (name.clone(), text(value)));
        add("headers", Value::Object(headers.collect()).to_string());
    }
    add("value", record.value.as_deref().map_or("null".to_owned(), value_text));
    line + "}"
}

fn value_text(value: &[u8]) -> String {
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok();
    match std::str::from_utf8(value) {
        Ok(value) if json && !value.contains('\n') => value.to_owned(),
        _ => text(value).to_string(),
    }
}

/// Bytes as text; what is not UTF-8 is replaced, as this is for people.
fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_shown_whole() {
        let record = TopicRecord {
            offset: 7,
            time_ms: 12,
            key: Some(b"m1".to_vec()),
            value: Some(b"{ \"b\":1.0,\"a\":1}".to_vec()),
            headers: vec![("h".to_owned(), b"x".to_vec())],
        };
        let expected = r#"{"partition":2,"offset":7,"time":12,"key":"m1","headers":{"h":"x"},"value":{ "b":1.0,"a":1}}"#;
        assert_eq!(line_of(2, &record), expected);
        let bare = TopicRecord {
            offset: 8,
            time_ms: i64::MIN,
            key: None,
            value: Some(b"\xffno json".to_vec()),
            headers: vec![],
        };
        let expected = "{\"partition\":0,\"offset\":8,\"value\":\"\u{fffd}no json\"}";
        assert_eq!(line_of(0, &bare), expected);
        let tombstone = TopicRecord { value: None, ..bare };
        assert_eq!(line_of(0, &tombstone), r#"{"partition":0,"offset":8,"value":null}"#);
        let mut out = Vec::new();
        write_value(&tombstone, &mut out).expect("memory");
        assert_eq!(out, b"\n");
    }
}
