//! A source of records made up by a test, and a decoder for them.
//!
//! The records are handed out in bursts of random size, partition by partition in random order, so
//! that one input is seen in many interleavings; positions are record numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::batch::Slice;
use crate::batch::build::{RAW_KEY, RAW_VALUE, RawBuilder, Stamp, raw_schema};
use crate::batch::schema::{Kind, Schema};
use crate::clock::Moment;
use crate::codec::{Dead, Decoded, Decoder};
use crate::error::Fault;
use crate::random::Random;
use crate::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

/// A record: key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Records by partition, shared by all generations of a simulation.
#[derive(Clone)]
pub struct Records {
    partitions: Arc<[Vec<Record>]>,
    random: Arc<Mutex<Random>>,
    name: &'static str,
    endless: bool,
}

impl Records {
    /// The same records from a source that does not end: more may always come.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// A source called `name` with these records; bursts depend on `seed`.
    pub fn new(name: &'static str, partitions: Vec<Vec<Record>>, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(Random::new(seed)));
        Self { partitions: partitions.into(), random, name, endless: false }
    }
}

impl SourceFactory for Records {
    fn describe(&self) -> String {
        format!("records {}", self.name)
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(RecordSource { records: self.clone(), open: BTreeMap::new() }))
    }
}

struct RecordSource {
    records: Records,
    /// Next record and whether the end was reported, by partition.
    open: BTreeMap<u32, (u64, bool)>,
}

impl RecordSource {
    fn partition(&self, ordinal: u32) -> Partition {
        Partition { name: format!("{}/{ordinal}", self.records.name).into(), ordinal }
    }
}

impl Source for RecordSource {
    fn describe(&self) -> Description {
        Description {
            name: self.records.describe(),
            replay: Replay::Exact,
            bounded: !self.records.endless,
            snapshot: false,
        }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        let count = u32::try_from(self.records.partitions.len()).expect("a test has few");
        Ok(Some((0..count).map(|ordinal| self.partition(ordinal)).collect()))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let next = match start {
            Start::At(position) => position.as_number().expect("positions are numbers here"),
            Start::Earliest | Start::Latest | Start::Timestamp(_) => 0,
        };
        self.open.insert(partition.ordinal, (next, false));
        Ok(())
    }

    fn poll(&mut self, _budget: PollBudget, _now: Moment) -> Polled {
        let mut random = self.records.random.lock().expect("one thread");
        if random.one_in(4) {
            return Polled::Idle;
        }
        let live: Vec<u32> =
            self.open.iter().filter(|(_, (_, ended))| !ended).map(|(n, _)| *n).collect();
        if live.is_empty() {
            return Polled::Idle;
        }
        let ordinal = live[random.index(live.len())];
        let burst = 1 + random.below(20);
        drop(random);
        let partition = self.partition(ordinal);
        let records = &self.records.partitions[ordinal as usize];
        let (next, ended) = self.open.get_mut(&ordinal).expect("chosen from the open ones");
        if *next == records.len() as u64 {
            if self.records.endless {
                return Polled::Idle;
            }
            *ended = true;
            return Polled::End(partition);
        }
        let mut builder = RawBuilder::new(&raw_schema(), ordinal);
        for position in *next..(*next + burst).min(records.len() as u64) {
            let (key, value) = &records[usize::try_from(position).expect("a test has few")];
            builder.push(position, Some(key), Some(value));
            *next = position + 1;
        }
        let rows = builder.finish().expect("at least one record");
        Polled::Rows(SourceBatch {
            partition,
            rows,
            next: Position::of_number(*next),
            boundary: true,
        })
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {}
}

/// Column of the key.
pub const KEY: usize = 0;
/// Column of the value.
pub const VALUE: usize = 1;

/// Decodes values of the form `<time> <rest>`; anything else is dead with reason `bad_time`.
pub struct TimedDecoder {
    schema: Arc<Schema>,
}

impl Default for TimedDecoder {
    fn default() -> Self {
        Self { schema: Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)]) }
    }
}

impl Decoder for TimedDecoder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &crate::batch::Batch, out: &mut Decoded<'_>) {
        for (index, row) in input.rows().enumerate() {
            let value = row.bytes(RAW_VALUE).unwrap_or_default();
            let time = std::str::from_utf8(value).ok().and_then(|text| text.split(' ').next());
            let Some(time) = time.and_then(|time| time.parse().ok()) else {
                out.dead.push(Dead { row: index, reason: "bad_time" });
                continue;
            };
            out.rows.begin_over(row);
            let length = u32::try_from(value.len()).expect("short");
            let key = row.bytes(RAW_KEY).map_or(0, <[u8]>::len);
            let key = Slice { start: length, length: u32::try_from(key).expect("short") };
            out.rows.slice(KEY, key);
            out.rows.slice(VALUE, Slice { start: 0, length });
            out.rows.end(Stamp { time, ..Stamp::of(row) });
        }
    }
}
