//! The input of both parts, and what the floor needs to know about its output.
//!
//! While the records are produced, each is split once, untimed: how many records it becomes, in
//! which topics and how long, goes to a plan; bytes of the first outputs become the stock from which
//! the floor produces. So the floor writes records of the same number, keys, topics and lengths as
//! the job, and has nothing to do with splitting.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use connectors::format::app_log::AppLogParser;

use super::pieces::{DEAD, Pieces};
use crate::kafka_clients::produce_logs;
use crate::topics::PARTITIONS;

/// Bytes of output the floor takes from, again and again.
const STOCK_BYTES: usize = 4 * 1024 * 1024;
/// Bits of a plan's word that hold a length; the topic lies above.
const LENGTH_BITS: u32 = 24;

/// What each record becomes, by partition and order; and bytes to make it of.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Per partition: for each record the number of its outputs, then a word for each of them.
    words: Vec<Vec<u32>>,
    /// Real outputs, one behind the other.
    stock: Vec<u8>,
}

/// An output of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Index of its topic; the last is that of dead letters.
    pub(crate) topic: usize,
    /// Bytes of its value.
    pub(crate) length: usize,
}

/// A place in the plan of one partition.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Place(usize);

impl Plan {
    /// Writes it into `dir`, for a process of ours.
    fn save(&self, dir: &Path) -> Result<()> {
        for (partition, words) in self.words.iter().enumerate() {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            std::fs::write(dir.join(format!("plan-{partition}")), bytes)?;
        }
        Ok(std::fs::write(dir.join("stock"), &self.stock)?)
    }

    /// Reads what [`produce`] has left in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let mut words = Vec::new();
        for partition in 0..PARTITIONS {
            let bytes = std::fs::read(dir.join(format!("plan-{partition}")))?;
            let (chunks, rest) = bytes.as_chunks::<4>();
            ensure!(rest.is_empty(), "a plan is cut off");
            words.push(chunks.iter().map(|word| u32::from_le_bytes(*word)).collect());
        }
        Ok(Self { words, stock: std::fs::read(dir.join("stock"))? })
    }

    /// Bytes to make outputs of.
    pub(crate) fn stock(&self) -> &[u8] {
        &self.stock
    }

    /// The outputs of the next record of a partition.
    pub(crate) fn next(
        &self,
        partition: usize,
        place: &mut Place,
    ) -> Result<impl Iterator<Item = Planned> + use<'_>> {
        let words = self.words.get(partition).and_then(|words| words.get(place.0..));
        let (count, rest) = words.and_then(<[u32]>::split_first).context("more than planned")?;
        let count = usize::try_from(*count)?;
        place.0 += 1 + count;
        Ok(rest.iter().take(count).map(|word| Planned {
            topic: usize::try_from(word >> LENGTH_BITS).expect("a few topics"),
            length: usize::try_from(word & ((1 << LENGTH_BITS) - 1)).expect("24 bits"),
        }))
    }
}

/// Produces `records` generated records to `topic` and leaves the plan in `dir`.
pub(crate) fn produce(bootstrap: &str, topic: &str, records: u32, dir: &Path) -> Result<()> {
    let mut planner = Planner::new();
    produce_logs(bootstrap, topic, records, &mut |partition, line| {
        planner.record(partition, line)
    })?;
    planner.plan.save(dir)
}

/// Splits records for their lengths.
struct Planner {
    parser: AppLogParser,
    plan: Plan,
    pieces: Pieces,
    outputs: Vec<(usize, Vec<u8>)>,
}

impl Planner {
    fn new() -> Self {
        let words = (0..PARTITIONS).map(|_| Vec::new()).collect();
        Self {
            parser: AppLogParser::default(),
            plan: Plan { words, stock: Vec::new() },
            pieces: Pieces::default(),
            outputs: Vec::new(),
        }
    }

    fn record(&mut self, partition: usize, value: &[u8]) -> Result<()> {
        let outputs = &mut self.outputs;
        outputs.clear();
        match self.parser.parse(value) {
            Ok(log) => self.pieces.each(&log, value, &mut |topic, piece| {
                outputs.push((topic, piece.to_vec()));
                Ok::<_, anyhow::Error>(())
            })?,
            Err(_dirty) => outputs.push((DEAD, value.to_vec())),
        }
        let words = self.plan.words.get_mut(partition).context("a partition of ours")?;
        words.push(u32::try_from(self.outputs.len())?);
        for (topic, bytes) in &self.outputs {
            let (topic, length) = (u32::try_from(*topic)?, u32::try_from(bytes.len())?);
            ensure!(length >> LENGTH_BITS == 0, "an output of {length} bytes");
            words.push((topic << LENGTH_BITS) | length);
            if self.plan.stock.len() < STOCK_BYTES {
                self.plan.stock.extend_from_slice(bytes);
            }
        }
        Ok(())
    }
}
