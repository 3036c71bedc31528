//! `watershed inspect`: what a directory holds, job by job and table by table, while nothing runs on
//! it.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use connectors::kafka::position::KafkaPosition;
use engine::checkpoint::layout::{space, split_state_key};
use engine::checkpoint::piece::PositionRecord;
use engine::checkpoint::reserve::RESERVE_FILE;
use engine::checkpoint::restore::Saved;
use engine::source::Position;
use engine::state::backend::{StateBackend, StateError};
use engine::time::watermark;
use serde::Serialize;

use self::table::TableInventory;
use crate::data_dir::{DataDir, bytes_below};
use crate::status::{TopicReport, bytes_text, write_topics};

pub(crate) use self::table::print_rows;

/// Entries read at a time.
const CHUNK: usize = 4096;

/// What a directory holds.
#[derive(Debug, Serialize)]
pub(crate) struct Inventory {
    /// Random id of the directory.
    family: String,
    /// Number of the last incarnation.
    generation: u64,
    /// Greatest complete epoch of each group.
    complete: BTreeMap<String, u64>,
    jobs: Vec<JobInventory>,
    sinks: Vec<SinkInventory>,
    topics: Vec<TopicReport>,
    /// Dimension tables.
    dimensions: Vec<TableInventory>,
    /// Bytes on disk of each part of the directory.
    bytes: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct JobInventory {
    name: String,
    plan_hash: String,
    operators: Vec<OperatorInventory>,
}

#[derive(Debug, Serialize)]
struct OperatorInventory {
    uid: String,
    id: u32,
    /// Keys it has state for.
    entries: u64,
    /// Bytes of keys and values.
    bytes: u64,
    positions: Vec<PositionInventory>,
}

#[derive(Debug, Serialize)]
struct PositionInventory {
    partition: String,
    /// A number where it is one, else bytes in hexadecimal.
    position: String,
    /// Milliseconds since 1970; absent before the first row.
    watermark: Option<i64>,
    idle: bool,
}

#[derive(Debug, Serialize)]
struct SinkInventory {
    job: String,
    sink: String,
    shard: u16,
    /// Last epoch delivered.
    delivered: u64,
    /// Planned units not yet delivered: first and last epoch, rows, bytes.
    units: Vec<(u64, u64, u64, u64)>,
    /// Blocks that wait in the outbox.
    blocks: usize,
}

/// Reads the directory's state and counts the rows of its dimension tables; every keyed entry is
/// looked at once.
pub(crate) fn inventory(
    dir: &DataDir,
    backend: &dyn StateBackend,
    saved: &Saved,
) -> anyhow::Result<Inventory> {
    let mut jobs = Vec::new();
    for (name, (hash, ops)) in &saved.jobs {
        let sizes = operator_sizes(backend, name)?;
        let operators = ops.iter().map(|(uid, id)| {
            let (entries, bytes) = sizes.get(id).copied().unwrap_or_default();
            let positions = saved.positions.get(&(name.clone(), *id));
            let positions = positions.into_iter().flatten().map(PositionInventory::new).collect();
            OperatorInventory { uid: uid.to_string(), id: *id, entries, bytes, positions }
        });
        let plan_hash = format!("{hash:016x}");
        jobs.push(JobInventory {
            name: name.to_string(),
            plan_hash,
            operators: operators.collect(),
        });
    }
    let parts = [
        ("state", dir.root().join("state/db")),
        ("outbox", dir.root().join("state/outbox")),
        ("reserve", dir.root().join(RESERVE_FILE)),
        ("topics", dir.topics()),
        ("tables", dir.dws()),
        ("dimensions", dir.dim()),
    ];
    let topics = saved.topics.iter();
    let topics = topics.map(|((name, number), mark)| TopicReport::new(name, *number, mark));
    Ok(Inventory {
        family: format!("{:016x}", saved.family),
        generation: saved.generation,
        complete: saved.complete.iter().map(|(name, epoch)| (name.to_string(), *epoch)).collect(),
        jobs,
        sinks: sinks(saved),
        topics: topics.collect(),
        dimensions: table::dimensions(dir)?,
        bytes: parts.into_iter().map(|(name, path)| (name, bytes_below(&path))).collect(),
    })
}

/// Entries and bytes of each operator of a job.
fn operator_sizes(
    backend: &dyn StateBackend,
    job: &str,
) -> Result<BTreeMap<u32, (u64, u64)>, StateError> {
    let view = backend.view()?;
    let (space, mut after) = (space::state(job), Vec::new());
    let mut sizes: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    loop {
        let entries = view.scan(&space, &[], &after, CHUNK)?;
        for (key, value) in &entries {
            let id = split_state_key(key).map_or(0, |(id, _, _)| id);
            let (count, bytes) = sizes.entry(id).or_default();
            *count += 1;
            *bytes += (key.len() + value.len()) as u64;
        }
        match entries.last() {
            Some((key, _)) if entries.len() == CHUNK => after.clone_from(key),
            _ => return Ok(sizes),
        }
    }
}

fn sinks(saved: &Saved) -> Vec<SinkInventory> {
    let mut keys: Vec<_> = saved.units.keys().chain(saved.outbox.keys()).collect();
    keys.extend(saved.delivered.keys());
    keys.sort();
    keys.dedup();
    let sink = |key: &engine::checkpoint::layout::SinkKey| {
        let units = saved.units.get(key).into_iter().flat_map(BTreeMap::values);
        SinkInventory {
            job: key.job.to_string(),
            sink: key.sink.to_string(),
            shard: key.shard,
            delivered: saved.delivered.get(key).copied().unwrap_or(0),
            units: units.map(|unit| (unit.lower, unit.upper, unit.rows, unit.bytes)).collect(),
            blocks: saved.outbox.get(key).map_or(0, BTreeMap::len),
        }
    };
    keys.into_iter().map(sink).collect()
}

impl PositionInventory {
    fn new(record: &PositionRecord) -> Self {
        let ends = [watermark::MIN, watermark::MAX];
        Self {
            partition: record.partition.name.to_string(),
            position: position_text(&record.position),
            watermark: (!ends.contains(&record.watermark)).then_some(record.watermark),
            idle: record.idle,
        }
    }
}

fn position_text(position: &Position) -> String {
    match KafkaPosition::decode(position) {
        Some(KafkaPosition { offset, topic: None }) => offset.to_string(),
        Some(KafkaPosition { offset, topic: Some(id) }) => format!("{offset} of topic {id:?}"),
        None => position.0.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

impl Inventory {
    /// The inventory as text.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("family {}, generation {}\n", self.family, self.generation);
        for (group, epoch) in &self.complete {
            let _infallible = writeln!(out, "group {group}: complete up to epoch {epoch}");
        }
        self.jobs.iter().for_each(|job| job.write(&mut out));
        if !self.sinks.is_empty() {
            let _infallible = writeln!(out, "\nsinks");
        }
        for sink in &self.sinks {
            let SinkInventory { job, sink: uid, shard, delivered, units, blocks } = sink;
            let _infallible = writeln!(
                out,
                "  {job}.{uid}.{shard}: delivered up to epoch {delivered}, {} units and {blocks} \
                 blocks undelivered",
                units.len()
            );
            for (lower, upper, rows, bytes) in units {
                let bytes = bytes_text(*bytes);
                let _infallible =
                    writeln!(out, "    epochs {lower} to {upper}: {rows} rows, {bytes}");
            }
        }
        write_topics(&self.topics, &mut out);
        if !self.dimensions.is_empty() {
            let _infallible = writeln!(out, "\ndimension tables");
        }
        self.dimensions.iter().for_each(|table| table.write(&mut out));
        let _infallible = writeln!(out, "\nbytes on disk");
        for (part, bytes) in &self.bytes {
            let _infallible = writeln!(out, "  {part:<10} {:>12}", bytes_text(*bytes));
        }
        out
    }
}

impl JobInventory {
    fn write(&self, out: &mut String) {
        let _infallible = writeln!(out, "\njob {} (plan {})", self.name, self.plan_hash);
        for operator in &self.operators {
            let _infallible = writeln!(
                out,
                "  {:<28} id {:<4} {:>10} entries {:>12}",
                operator.uid,
                operator.id,
                operator.entries,
                bytes_text(operator.bytes)
            );
            for place in &operator.positions {
                let watermark =
                    place.watermark.map_or("none".to_owned(), |watermark| watermark.to_string());
                let idle = if place.idle { ", idle" } else { "" };
                let PositionInventory { partition, position, .. } = place;
                let _infallible =
                    writeln!(out, "    {partition:<26} at {position}, watermark {watermark}{idle}");
            }
        }
    }
}
