//! The dumps of a replay: one JSON object per line, temporary file and rename.
//!
//! | path | line |
//! |---|---|
//! | `dwd/<topic>.jsonl` | the record's value, in order per key; a tombstone as `{"_tombstone":true,"_key":…}` |
//! | `dim/<table>.jsonl` | the stored row, every column it ever had; names in lower case |
//! | `dws/<table>.jsonl` | the stored row |
//! | `side/<output>.jsonl` | `{"reason","value"}`, or `value_base64` where the bytes are not UTF-8 |
//! | `counters.jsonl` | `{"name","labels","value"}` |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use connectors::format::side::REASON;
use connectors::topic::read::{TopicRecord, read_partition};
use engine::checkpoint::restore::Saved;
use jobs::Job;
use jobs::dim::dimensions::{CONFIG_FAULT, NULL_PK, UNROUTED};
use jobs::dwd::route;
use serde_json::{Map, Value, json};

use crate::warehouse::Warehouse;

/// Rows written, by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Dumped {
    pub(crate) topics: BTreeMap<String, u64>,
    pub(crate) dimensions: BTreeMap<String, u64>,
    pub(crate) tables: BTreeMap<String, u64>,
    pub(crate) side: BTreeMap<String, u64>,
}

/// Writes everything.
pub(crate) fn dump(warehouse: &Warehouse, output: &Path) -> Result<Dumped> {
    let saved = Saved::read(warehouse.backend.as_ref())?;
    let mut dumped = Dumped::default();
    let topics: std::collections::BTreeSet<_> =
        saved.topics.keys().map(|(topic, _)| topic.clone()).collect();
    for topic in topics {
        let side = side_output(&topic);
        let (kind, name) = side.as_deref().map_or(("dwd", &*topic), |name| ("side", name));
        let mut file = Dump::create(output, kind, name)?;
        for ((_, partition), mark) in saved.topics.iter().filter(|((name, _), _)| *name == topic) {
            let records = read_partition(warehouse.disk.clone(), &topic, *partition, *mark, 0);
            for record in records {
                let record = record?;
                if kind == "side" {
                    file.line(&side_line(&record))?;
                } else {
                    file.record(&record)?;
                }
            }
        }
        let counts = if kind == "side" { &mut dumped.side } else { &mut dumped.topics };
        counts.insert(name.to_owned(), file.finish()?);
    }
    dimensions(warehouse, output, &mut dumped)?;
    for table in warehouse.tables.tables()? {
        let mut file = Dump::create(output, "dws", &table)?;
        for row in warehouse.tables.rows(&table)? {
            file.bytes(&row)?;
        }
        dumped.tables.insert(table, file.finish()?);
    }
    counters(&saved, output)?;
    Ok(dumped)
}

fn dimensions(warehouse: &Warehouse, output: &Path, dumped: &mut Dumped) -> Result<()> {
    for table in warehouse.dimensions.tables() {
        let name = table.name.to_lowercase();
        let mut file = Dump::create(output, "dim", &name)?;
        let mut line = Vec::new();
        for row in warehouse.dimensions.scan(&table.name)? {
            line.clear();
            row?.write_json(&mut line);
            file.bytes(&line)?;
        }
        dumped.dimensions.insert(name, file.finish()?);
    }
    Ok(())
}

/// The name of a side output's dump, for a topic that is one.
fn side_output(topic: &str) -> Option<String> {
    let named = [
        (jobs::outside::dead_topic(Job::LogSplit.name()), "dirty_log"),
        (jobs::outside::dead_topic(Job::OdsDb.name()), "dirty_db"),
        (CONFIG_FAULT.to_owned(), "config_fault"),
        (NULL_PK.to_owned(), "null_pk"),
        (UNROUTED.to_owned(), "unrouted"),
        (route::CONFIG_FAULT.to_owned(), "config_fault_dwd_route"),
        (route::UNROUTED.to_owned(), "unrouted_dwd_route"),
    ];
    if let Some((_, name)) = named.iter().find(|(side, _)| side == topic) {
        return Some((*name).to_owned());
    }
    for (suffix, prefix) in [("_late", "late"), ("_future", "future"), ("_dead", "dead")] {
        if let Some(job) = topic.strip_suffix(suffix) {
            return Some(format!("{prefix}_{job}"));
        }
    }
    None
}

fn side_line(record: &TopicRecord) -> Value {
    let reason = record.headers.iter().find(|(name, _)| name == REASON);
    let reason = reason.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let value = record.value.as_deref().unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok(text) => json!({ "reason": reason, "value": text }),
        Err(_not_text) => json!({ "reason": reason, "value_base64": base64(value) }),
    }
}

fn counters(saved: &Saved, output: &Path) -> Result<()> {
    let mut file = Dump::create(output, "", "counters")?;
    for counter in saved.counters() {
        let labels: Map<String, Value> =
            counter.labels.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        file.line(&json!({ "name": counter.name, "labels": labels, "value": counter.value }))?;
    }
    file.finish().map(|_lines| ())
}

/// A file under construction.
struct Dump {
    writer: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    lines: u64,
}

impl Dump {
    fn create(output: &Path, folder: &str, name: &str) -> Result<Self> {
        let folder = output.join(folder);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        let temporary = folder.join(format!(".{name}.jsonl.tmp"));
        let file = File::create(&temporary)
            .with_context(|| format!("could not create {}", temporary.display()))?;
        let path = folder.join(format!("{name}.jsonl"));
        Ok(Self { writer: BufWriter::new(file), temporary, path, lines: 0 })
    }

    fn record(&mut self, record: &TopicRecord) -> Result<()> {
        match &record.value {
            Some(value) => self.bytes(value),
            None => {
                let key = record.key.as_deref().unwrap_or_default();
                let text = String::from_utf8_lossy(key);
                let key: Value = serde_json::from_slice(key).unwrap_or_else(|_text| json!(text));
                self.line(&json!({ "_tombstone": true, "_key": key }))
            }
        }
    }

    fn line(&mut self, line: &Value) -> Result<()> {
        self.bytes(line.to_string().as_bytes())
    }

    fn bytes(&mut self, line: &[u8]) -> Result<()> {
        self.writer.write_all(line)?;
        self.writer.write_all(b"\n")?;
        self.lines += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        self.writer.flush()?;
        std::fs::rename(&self.temporary, &self.path)
            .with_context(|| format!("could not write {}", self.path.display()))?;
        Ok(self.lines)
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let shown = place <= chunk.len();
            text.push(if shown { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe]), "//4=");
    }

    #[test]
    fn side_outputs_have_their_names() {
        let cases = [
            ("log_split_dead", Some("dirty_log")),
            ("ods_db_dead", Some("dirty_db")),
            ("dimensions_null_pk", Some("null_pk")),
            ("dwd_route_config_fault", Some("config_fault_dwd_route")),
            ("log_split_future", Some("future_log_split")),
            ("user_jump_late", Some("late_user_jump")),
            ("dwd_traffic_page_log", None),
        ];
        for (topic, expected) in cases {
            assert_eq!(side_output(topic).as_deref(), expected);
        }
    }
}
