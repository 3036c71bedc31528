//! Dimension routing, embedded topic to embedded tables, beside its floor.
//!
//! ```text
//!   ods_db ──> floor:     read . parse the envelope . write the rows of configured tables
//!          └─> watershed: read . parse . gate . pick columns . outbox . tables
//! ```
//!
//! A third of the records belongs to dimension tables, the rest to facts that nobody asks for. The
//! job merges rows of one key in its tables, so what both write cannot be the same: it is not
//! compared, the number of changes is, in which the job counts those of `base_dic` otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use connectors::file::lines::LinesSourceFactory;
use connectors::format::maxwell::MaxwellParser;
use engine::hash::Set;
use engine::source::SourceFactory;
use jobs::Job;
use jobs::dim::dimensions::{self, TABLE_PROCESS};
use jobs::generate::{config, shop};
use jobs::ods::ods_db;

use crate::embedded::{Embedded, WORKERS};
use crate::pair::{Content, Given, Outcome, Pair, Scale};
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "dim_routing",
    about: "topic to tables; floor: read, parse envelopes, write the rows of dimensions to a file",
    records: Scale { full: 600_000, quick: 150_000 },
    kafka: None,
    tolerance_percent: 2,
    feed,
    floor,
    whole,
};

fn feed(given: &Given) -> Result<u32> {
    let generator = shop::Generator::new(shop::Settings {
        records: Some(u64::from(given.records)),
        dimension_share: 3_333,
        fault_share: 0,
        ..shop::Settings::default()
    });
    std::fs::write(config_path(&given.dir), config_rows())?;
    Embedded::open(&given.dir)?.feed(ods_db::NAME, generator)?;
    Ok(given.records)
}

/// Where the configuration lies.
fn config_path(dir: &Path) -> PathBuf {
    dir.join("table_process.jsonl")
}

fn config_rows() -> Vec<u8> {
    let settings = config::Settings::of_course(config::Layout::TableProcess);
    let generator = config::Generator::new(settings);
    let mut text = Vec::new();
    for number in 0..generator.snapshot_records() {
        generator.write(number, &mut text);
        text.push(b'\n');
    }
    text
}

/// The tables that the configuration names.
fn configured(dir: &Path) -> Result<Set<String>> {
    let text = std::fs::read_to_string(config_path(dir))?;
    let named = |line: &str| {
        let (_, rest) = line.split_once("\"source_table\":\"")?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    text.lines().map(|line| named(line).context("a config row names its table")).collect()
}

fn floor(given: &Given) -> Result<Outcome> {
    let tables = configured(&given.dir)?;
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let (mut parser, mut read) = (MaxwellParser::default(), 0);
    let mut files = PlainFiles::create(&given.dir, 1)?;
    embedded.each(ods_db::NAME, &mut |row| {
        read += 1;
        let change = parser.parse(row.value.unwrap_or_default()).ok();
        let change = change.filter(|change| tables.contains(change.table()));
        match change.and_then(|change| change.data()) {
            Some(data) => files.push(0, b"", data.as_bytes()),
            None => Ok(()),
        }
    })?;
    let written = files.finish()?;
    let used = measured.end()?;
    ensure!(read == given.records, "{read} of {} records were read", given.records);
    Ok(Outcome { used, written: Content { bytes: 0, ..written } })
}

fn whole(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let config = || -> Arc<dyn SourceFactory> {
        let path = config_path(&given.dir);
        Arc::new(LinesSourceFactory { path, limit: None, snapshot: true })
    };
    let (used, _read) = embedded.run(WORKERS, |embedded| {
        let source = |name: &str| (name == TABLE_PROCESS).then(config);
        embedded.plans(&[Job::Dimensions], &source)
    })?;
    let read = embedded.counted("records_in", ods_db::NAME)?;
    ensure!(read == u64::from(given.records), "the job has read {read} records");
    let of_rows = |name| embedded.counted(name, dimensions::NAME);
    let records = of_rows("dim_upserts")? + of_rows("dim_deletes")?;
    Ok(Outcome { used, written: Content { records, bytes: 0 } })
}
