//! A generator as a source of the engine: one partition whose position is the number of the record
//! that comes next.
//!
//! It may be any that is [`Numbered`]: of app logs, or of the shop's changes. A record is a pure function of settings and number, so reading again from a position gives the
//! same bytes and nothing has to be kept. With other settings the position means other records: who
//! starts the job again MUST give the settings it began with.

use std::sync::Arc;

use engine::batch::build::{RawBuilder, raw_schema};
use engine::batch::schema::Schema;
use engine::clock::Moment;
use engine::error::Fault;
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use super::Generator;
use super::numbered::Numbered;

/// When records are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they are taken.
    Unpaced,
    /// At the wall-clock instant of their arrival ([`Numbered::arrival_ms`]).
    Arrival {
        /// Records whose arrival lies further back than this many milliseconds when the source
        /// begins are passed over: nobody made them while nothing was running.
        catch_up_ms: i64,
    },
    /// Never.
    Silent,
}

/// Makes sources of the generator of app logs.
pub type GeneratorSourceFactory = NumberedSourceFactory<Generator>;

/// Makes sources of one generator.
#[derive(Clone, Debug)]
pub struct NumberedSourceFactory<G> {
    /// The records.
    pub generator: G,
    /// When they come.
    pub pace: Pace,
}

impl<G: Numbered> SourceFactory for NumberedSourceFactory<G> {
    fn describe(&self) -> String {
        self.generator.describe()
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        let source = NumberedSource {
            setup: self.clone(),
            open: None,
            key: Vec::new(),
            line: Vec::new(),
            schema: raw_schema(),
        };
        Ok(Box::new(source))
    }
}

struct NumberedSource<G: Numbered> {
    setup: NumberedSourceFactory<G>,
    open: Option<Reading<G>>,
    /// Key and value of the record under construction.
    key: Vec<u8>,
    line: Vec<u8>,
    schema: Arc<Schema>,
}

struct Reading<G: Numbered> {
    partition: Partition,
    cursor: G::Cursor,
    /// Whether what lies too far back has been passed over.
    caught_up: bool,
    ended: bool,
}

impl<G: Numbered> NumberedSource<G> {
    /// Whether the next record may be given out now.
    fn is_due(&self, reading: &Reading<G>, now: Moment) -> bool {
        match self.setup.pace {
            Pace::Unpaced => true,
            Pace::Silent => false,
            Pace::Arrival { .. } => {
                let number = G::number(&reading.cursor);
                // Between those that must not be passed over and the others lies the catching up.
                let stops = !reading.caught_up && number >= self.setup.generator.kept();
                !stops && self.setup.generator.arrival_ms(number) <= now.wall_ms
            }
        }
    }

    fn pass_over(&self, reading: &mut Reading<G>, now: Moment) {
        let number = G::number(&reading.cursor);
        if let Pace::Arrival { catch_up_ms } = self.setup.pace
            && number >= self.setup.generator.kept()
            && !std::mem::replace(&mut reading.caught_up, true)
        {
            let first = first_from(&self.setup.generator, number, now.wall_ms - catch_up_ms);
            reading.cursor = self.setup.generator.open(first);
        }
    }

    fn fill(&mut self, reading: &mut Reading<G>, budget: PollBudget, now: Moment) -> Polled {
        self.pass_over(reading, now);
        let mut builder = RawBuilder::new(&self.schema, reading.partition.ordinal);
        while builder.len() < budget.rows
            && builder.bytes() < budget.bytes
            && self.is_due(reading, now)
        {
            self.key.clear();
            self.line.clear();
            let number = G::number(&reading.cursor);
            let Some(keyed) = G::next(&mut reading.cursor, &mut self.key, &mut self.line) else {
                reading.ended = builder.is_empty();
                break;
            };
            builder.push(number, keyed.then_some(&self.key[..]), Some(&self.line));
        }
        let partition = reading.partition.clone();
        match builder.finish() {
            Some(rows) => {
                let next = Position::of_number(G::number(&reading.cursor));
                Polled::Rows(SourceBatch { partition, rows, next, boundary: true })
            }
            None if reading.ended => Polled::End(partition),
            None => Polled::Idle,
        }
    }
}

/// The first record from number `from` on that arrives at `at_ms` or later.
fn first_from(generator: &impl Numbered, from: u64, at_ms: i64) -> u64 {
    let early = |number: u64| generator.arrival_ms(number) < at_ms;
    // Invariant: all before `low` are early; `high` is not, once the first loop has ended.
    let (mut low, mut step) = (from, 1);
    while early(low.saturating_add(step)) {
        low += step;
        step *= 2;
    }
    let mut high = low.saturating_add(step);
    while low < high {
        let middle = low + (high - low) / 2;
        if early(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl<G: Numbered> Source for NumberedSource<G> {
    fn describe(&self) -> Description {
        let bounded = self.setup.generator.records().is_some();
        Description { name: self.setup.describe(), replay: Replay::Exact, bounded, snapshot: false }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        Ok(Some(vec![Partition { name: G::PARTITION.into(), ordinal: 0 }]))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let number = match start {
            Start::Earliest | Start::Latest => 0,
            Start::Timestamp(at_ms) => first_from(&self.setup.generator, 0, *at_ms),
            Start::At(position) => position.as_number().ok_or_else(|| {
                let bytes = position.0.len();
                Fault::never(format!("position of the generator is no number: {bytes} bytes"))
            })?,
        };
        let cursor = self.setup.generator.open(number);
        let partition = partition.clone();
        self.open = Some(Reading { partition, cursor, caught_up: false, ended: false });
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, now: Moment) -> Polled {
        let Some(mut reading) = self.open.take().filter(|reading| !reading.ended) else {
            return Polled::Idle;
        };
        let polled = self.fill(&mut reading, budget, now);
        self.open = Some(reading);
        polled
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use engine::batch::build::{RAW_KEY, RAW_VALUE};

    use super::super::Settings;
    use super::*;

    const BUDGET: PollBudget = PollBudget { rows: 10, bytes: 1 << 20 };

    fn source(records: Option<u64>, pace: Pace, start: &Start) -> Box<dyn Source> {
        let settings =
            Settings { records, start_ms: 10_000, records_per_second: 100, ..Settings::default() };
        let factory = GeneratorSourceFactory { generator: Generator::new(settings), pace };
        let mut source = factory.create().unwrap();
        let partitions = source.discover(at(0)).unwrap().expect("known at once");
        source.open(&partitions[0], start).unwrap();
        source
    }

    fn at(wall_ms: i64) -> Moment {
        Moment { wall_ms, tick_us: 0 }
    }

    /// Numbers of the first and the last record of a poll; `None` where there are none.
    fn numbers(polled: &Polled) -> Option<(u64, u64)> {
        let Polled::Rows(batch) = polled else { return None };
        let number = |index| batch.rows.row(index).order().position;
        assert_eq!(batch.next.as_number(), Some(number(batch.rows.len() - 1) + 1));
        Some((number(0), number(batch.rows.len() - 1)))
    }

    #[test]
    fn a_saved_position_goes_on_with_the_same_bytes() {
        let values = |start: &Start| {
            let Polled::Rows(batch) = source(Some(100), Pace::Unpaced, start).poll(BUDGET, at(0))
            else {
                panic!("records are there")
            };
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let rows = batch.rows.rows();
            rows.map(|row| (owned(row.bytes(RAW_KEY)), owned(row.bytes(RAW_VALUE))))
                .collect::<Vec<_>>()
        };
        let begin = values(&Start::Earliest);
        let later = values(&Start::At(Position::of_number(4)));
        assert_eq!(begin[4..], later[..6]);
        assert!(
            begin.iter().any(|(key, _)| key.as_deref().is_some_and(|k| k.starts_with(b"mid_")))
        );
    }

    #[test]
    fn a_bounded_stream_ends_once() {
        let mut source = source(Some(12), Pace::Unpaced, &Start::Earliest);
        assert_eq!(numbers(&source.poll(BUDGET, at(0))), Some((0, 9)));
        assert_eq!(numbers(&source.poll(BUDGET, at(0))), Some((10, 11)));
        assert!(matches!(source.poll(BUDGET, at(0)), Polled::End(_)));
        assert!(matches!(source.poll(BUDGET, at(0)), Polled::Idle));
    }

    #[test]
    fn records_come_when_they_arrive() {
        let pace = Pace::Arrival { catch_up_ms: 1_000 };
        let mut source = source(None, pace, &Start::Earliest);
        assert_eq!(numbers(&source.poll(BUDGET, at(9_999))), None);
        assert_eq!(numbers(&source.poll(BUDGET, at(10_000))), Some((0, 0)));
        assert_eq!(numbers(&source.poll(BUDGET, at(10_009))), None);
        assert_eq!(numbers(&source.poll(BUDGET, at(10_025))), Some((1, 2)));
        assert_eq!(numbers(&source.poll(BUDGET, at(99_000))), Some((3, 12)), "only at its begin");
    }

    #[test]
    fn what_nobody_made_while_it_was_away_is_passed_over() {
        let pace = Pace::Arrival { catch_up_ms: 1_000 };
        for (position, now, expected) in [
            (7, 10_100, (7, 10)),
            (7, 11_070, (7, 16)),
            (7, 12_000, (100, 109)),
            (0, 11_000, (0, 9)),
        ] {
            let start = Start::At(Position::of_number(position));
            let polled = source(None, pace, &start).poll(BUDGET, at(now));
            assert_eq!(numbers(&polled), Some(expected), "from {position} at {now}");
        }
    }

    #[test]
    fn a_silent_source_gives_nothing() {
        let mut source = source(None, Pace::Silent, &Start::Earliest);
        assert!(matches!(source.poll(BUDGET, at(i64::MAX)), Polled::Idle));
    }
}
