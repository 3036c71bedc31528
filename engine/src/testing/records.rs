//! A source of records made up by a test, and a decoder for them.
//!
//! The records are handed out in bursts of random size, partition by partition in random order, so
//! that one input is seen in many interleavings; positions are record numbers. What is to be read
//! again comes between them in bursts of its own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::batch::build::{RAW_KEY, RAW_VALUE, RawBuilder, Stamp, raw_schema};
use crate::batch::schema::{Kind, Schema};
use crate::batch::{Batch, Slice};
use crate::clock::Moment;
use crate::codec::{Dead, Decoded, Decoder};
use crate::error::Fault;
use crate::graph::plan::SourceSpec;
use crate::random::Random;
use crate::source::reread::{Reread, RereadPart, RereadPosition};
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
    snapshot: bool,
}

impl Records {
    /// The same records from a source that does not end: more may always come.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// The same records as one snapshot, of which no part may be seen without the rest.
    #[must_use]
    pub fn snapshot(self) -> Self {
        Self { snapshot: true, ..self }
    }

    /// A source called `name` with these records; bursts depend on `seed`.
    pub fn new(name: &'static str, partitions: Vec<Vec<Record>>, seed: u64) -> Self {
        let random = Arc::new(Mutex::new(Random::new(seed)));
        Self { partitions: partitions.into(), random, name, endless: false, snapshot: false }
    }

    /// A source node that reads them from their beginning by [`TimedDecoder`], in no order that is
    /// waited for, with nothing too far in the future and no idle partition.
    pub fn spec(&self) -> SourceSpec {
        SourceSpec {
            factory: Arc::new(self.clone()),
            start: Start::Earliest,
            decoder: Arc::new(|| Box::new(TimedDecoder::default())),
            bound_ms: 0,
            idle_timeout_ms: 0,
            future_hold_ms: i64::MAX,
            future_skew_ms: i64::MAX,
            reread: None,
        }
    }
}

impl SourceFactory for Records {
    fn describe(&self) -> String {
        format!("records {}", self.name)
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        let (records, open, again) = (self.clone(), BTreeMap::new(), Vec::new());
        Ok(Box::new(RecordSource { records, open, again }))
    }
}

/// An open partition.
struct Live {
    next: u64,
    /// In the middle of a snapshot.
    snapshot: bool,
    /// The end was reported.
    ended: bool,
}

struct RecordSource {
    records: Records,
    open: BTreeMap<u32, Live>,
    /// What is being read again.
    again: Vec<(Reread, RereadPosition)>,
}

impl RecordSource {
    fn partition(&self, ordinal: u32) -> Partition {
        Partition { name: format!("{}/{ordinal}", self.records.name).into(), ordinal }
    }

    fn poll_live(&mut self, ordinal: u32, burst: u64) -> Polled {
        let partition = self.partition(ordinal);
        let records = &self.records.partitions[ordinal as usize];
        let live = self.open.get_mut(&ordinal).expect("chosen from the open ones");
        if live.next == records.len() as u64 {
            if std::mem::take(&mut live.snapshot) {
                return Polled::Whole(partition, Position::of_number(live.next));
            }
            if self.records.endless {
                return Polled::Idle;
            }
            live.ended = true;
            return Polled::End(partition);
        }
        let upto = (live.next + burst).min(records.len() as u64);
        let rows = raw_rows(records, live.next..upto, ordinal, live.next);
        live.next = upto;
        let boundary = !live.snapshot;
        Polled::Rows(SourceBatch { partition, rows, next: Position::of_number(upto), boundary })
    }

    fn poll_extra(&mut self, chosen: usize, burst: u64) -> Polled {
        let (request, at) = &mut self.again[chosen];
        let partition = request.partition();
        let Some(part) = at.parts.iter_mut().find(|part| part.next < part.upto) else {
            self.again.remove(chosen);
            return Polled::End(partition);
        };
        let next = number(&part.next);
        let first = Reread::place(part.ordinal, next);
        let upto = (next + burst).min(number(&part.upto));
        let records = &self.records.partitions[part.ordinal as usize];
        let rows = raw_rows(records, next..upto, partition.ordinal, first);
        part.next = Position::of_number(upto);
        Polled::Rows(SourceBatch { partition, rows, next: at.encode(), boundary: true })
    }
}

fn number(position: &Position) -> u64 {
    position.as_number().expect("positions are numbers here")
}

/// Records of `range`, at least one, at positions from `first` in the partition `ordinal`.
fn raw_rows(records: &[Record], range: Range<u64>, ordinal: u32, first: u64) -> Batch {
    let index = |number: u64| usize::try_from(number).expect("a test has few");
    let mut builder = RawBuilder::new(&raw_schema(), ordinal);
    let records = &records[index(range.start)..index(range.end)];
    for (position, (key, value)) in (first..).zip(records) {
        builder.push(position, Some(key), Some(value));
    }
    builder.finish().expect("at least one record")
}

impl Source for RecordSource {
    fn describe(&self) -> Description {
        Description {
            name: self.records.describe(),
            replay: Replay::Exact,
            bounded: !self.records.endless,
            snapshot: self.records.snapshot,
        }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        let count = u32::try_from(self.records.partitions.len()).expect("a test has few");
        Ok(Some((0..count).map(|ordinal| self.partition(ordinal)).collect()))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let next = match start {
            Start::At(position) => number(position),
            Start::Earliest | Start::Latest | Start::Timestamp(_) => 0,
        };
        let snapshot = self.records.snapshot && !matches!(start, Start::At(_));
        self.open.insert(partition.ordinal, Live { next, snapshot, ended: false });
        Ok(())
    }

    fn reread(&mut self, request: &Reread, saved: Option<&Position>) -> Result<(), Fault> {
        let whole = |(ordinal, live): (&u32, &Live)| RereadPart {
            ordinal: *ordinal,
            next: Position::of_number(0),
            upto: Position::of_number(live.next),
        };
        let at = match saved {
            Some(saved) => RereadPosition::decode(saved).expect("written by this source"),
            None => RereadPosition {
                number: request.number,
                parts: self.open.iter().map(whole).collect(),
            },
        };
        self.again.retain(|(earlier, _)| earlier.name != request.name);
        self.again.push((request.clone(), at));
        Ok(())
    }

    fn poll(&mut self, _budget: PollBudget, _now: Moment) -> Polled {
        let mut random = self.records.random.lock().expect("one thread");
        if random.one_in(4) {
            return Polled::Idle;
        }
        let live: Vec<u32> =
            self.open.iter().filter(|(_, live)| !live.ended).map(|(n, _)| *n).collect();
        if live.is_empty() {
            return Polled::Idle;
        }
        let ordinal = live[random.index(live.len())];
        let burst = 1 + random.below(20);
        drop(random);
        self.poll_live(ordinal, burst)
    }

    fn poll_again(&mut self, _budget: PollBudget, _now: Moment) -> Polled {
        let mut random = self.records.random.lock().expect("one thread");
        if self.again.is_empty() || random.one_in(4) {
            return Polled::Idle;
        }
        let (chosen, burst) = (random.index(self.again.len()), 1 + random.below(20));
        drop(random);
        self.poll_extra(chosen, burst)
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

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: PollBudget = PollBudget { rows: 1024, bytes: 1 << 20 };

    fn request(number: u32) -> Reread {
        Reread { name: "t".into(), number }
    }

    /// Two partitions of ten records, `limit` of them given out live.
    fn opened(seed: u64, limit: usize) -> Box<dyn Source> {
        let record = |number: u64| (vec![], number.to_string().into_bytes());
        let partition = || (0..10).map(record).collect();
        let records = Records::new("r", vec![partition(), partition()], seed);
        let mut source = records.create().unwrap();
        for partition in source.discover(Moment::default()).unwrap().expect("known") {
            source.open(&partition, &Start::Earliest).unwrap();
        }
        let mut given = 0;
        while given < limit {
            if let Polled::Rows(batch) = source.poll(BUDGET, Moment::default()) {
                given += batch.rows.len();
            }
        }
        source
    }

    /// Polls until `request` ends: the positions of its rows, and the positions between batches.
    fn again(source: &mut dyn Source, request: &Reread) -> (Vec<u64>, Vec<Position>) {
        let (mut numbers, mut positions) = (Vec::new(), Vec::new());
        loop {
            match source.poll_again(BUDGET, Moment::default()) {
                Polled::Rows(batch) if batch.partition == request.partition() => {
                    numbers.extend(batch.rows.rows().map(|row| row.order().position));
                    positions.push(batch.next);
                }
                Polled::End(partition) if partition == request.partition() => {
                    return (numbers, positions);
                }
                other => assert!(!matches!(other, Polled::Fault(_)), "{other:?}"),
            }
        }
    }

    #[test]
    fn what_was_given_comes_again_and_goes_on_from_every_position() {
        for seed in 0..20 {
            let mut source = opened(seed, 12);
            source.reread(&request(1), None).unwrap();
            let (numbers, positions) = again(source.as_mut(), &request(1));
            assert!(numbers.len() >= 12, "{numbers:?}");
            assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
            for saved in &positions {
                let mut source = opened(seed + 1, 0);
                source.reread(&request(1), Some(saved)).unwrap();
                let rest = again(source.as_mut(), &request(1)).0;
                assert_eq!(rest, numbers[numbers.len() - rest.len()..]);
                assert_eq!(rest.is_empty(), saved == positions.last().unwrap());
            }
        }
    }

    #[test]
    fn a_later_request_takes_the_place_of_the_earlier() {
        let mut source = opened(1, 20);
        source.reread(&request(1), None).unwrap();
        source.reread(&request(2), None).unwrap();
        assert_eq!(again(source.as_mut(), &request(2)).0.len(), 20);
        for _ in 0..100 {
            let polled = source.poll_again(BUDGET, Moment::default());
            let first =
                matches!(polled, Polled::End(partition) if partition == request(1).partition());
            assert!(!first, "the earlier one is gone");
        }
    }
}
