//! The floor: the same topic read and every envelope parsed, on one thread, without an engine.

use std::path::Path;

use anyhow::{Result, ensure};
use connectors::format::maxwell::MaxwellParser;
use engine::checkpoint::layout::topic_dir;
use engine::checkpoint::restore::Saved;
use engine::outbox::log::LogReader;
use engine::outbox::rows::RowReader;

use super::feed;
use crate::usage::{Measured, Used};

/// Reads and parses everything.
pub(super) fn run(dir: &Path, records: u32) -> Result<Used> {
    let (disk, backend) = feed::open(dir)?;
    let saved = Saved::read(backend.as_ref())?;
    let measured = Measured::begin()?;
    let (mut parser, mut parsed, mut tables) = (MaxwellParser::default(), 0_u32, 0_usize);
    for ((topic, partition), mark) in &saved.topics {
        let mut reader = LogReader::open(disk.clone(), &topic_dir(topic, *partition), *mark, 0);
        while let Some(block) = reader.read()? {
            for row in RowReader::new(&block.bytes) {
                let row = row?;
                let change = parser.parse(row.value.unwrap_or_default());
                parsed += u32::from(change.is_ok());
                tables += change.map_or(0, |change| usize::from(change.data().is_some()));
            }
        }
    }
    let used = measured.end()?;
    ensure!(parsed == records, "{parsed} of {records} records are changes, {tables} with a row");
    Ok(used)
}
