//! The config table as a source of the engine: one partition that begins with a snapshot.
//!
//! A position is the number of the record that comes next. The snapshot is one piece: no epoch is cut
//! before it is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::batch::build::{RawBuilder, raw_schema};
use engine::batch::schema::Schema;
use engine::clock::Moment;
use engine::error::Fault;
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use super::{Change, Generator};

/// When changes are given out; the snapshot comes at once.
#[derive(Clone, Debug)]
pub enum ConfigPace {
    /// As fast as they are taken; the stream ends.
    Unpaced,
    /// At the wall-clock instant [`Change::at_ms`], what has been missed at once; the stream has no
    /// end.
    Arrival,
    /// When this many records of `ods_db` have come ([`Change::due`]); the stream ends. Whoever counts
    /// MUST set `u64::MAX` once no more will come, else a change that is due later is waited for.
    Records(Arc<AtomicU64>),
}

/// Makes sources of a config table.
#[derive(Clone, Debug)]
pub struct ConfigSourceFactory {
    /// The records.
    pub generator: Generator,
    /// When they come.
    pub pace: ConfigPace,
}

impl SourceFactory for ConfigSourceFactory {
    fn describe(&self) -> String {
        format!("generator of {}", self.generator.settings().layout.table())
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(ConfigSource { setup: self.clone(), open: None, schema: raw_schema() }))
    }
}

struct ConfigSource {
    setup: ConfigSourceFactory,
    open: Option<Reading>,
    schema: Arc<Schema>,
}

struct Reading {
    partition: Partition,
    /// The record that comes next.
    next: u64,
    /// The snapshot is being read.
    in_snapshot: bool,
    ended: bool,
}

impl ConfigSource {
    fn is_due(&self, change: &Change, now: Moment) -> bool {
        match &self.setup.pace {
            ConfigPace::Unpaced => true,
            ConfigPace::Arrival => change.at_ms <= now.wall_ms,
            ConfigPace::Records(come) => change.due <= come.load(Ordering::Acquire),
        }
    }

    /// The number behind the last record that may be given out now.
    fn limit(&self, reading: &Reading, now: Moment) -> u64 {
        let generator = &self.setup.generator;
        if reading.in_snapshot {
            return generator.snapshot_records();
        }
        let due = |number: &u64| generator.change(*number).is_some_and(|c| self.is_due(c, now));
        let changes = (reading.next..generator.records()).take_while(due).count();
        reading.next + u64::try_from(changes).expect("not above the count of records")
    }

    fn fill(&self, reading: &mut Reading, budget: PollBudget, now: Moment) -> Polled {
        let partition = reading.partition.clone();
        let limit = self.limit(reading, now);
        let mut builder = RawBuilder::new(&self.schema, partition.ordinal);
        let mut record = Vec::new();
        while reading.next < limit && builder.len() < budget.rows && builder.bytes() < budget.bytes
        {
            record.clear();
            self.setup.generator.write(reading.next, &mut record);
            builder.push(reading.next, None, Some(&record));
            reading.next += 1;
        }
        let next = Position::of_number(reading.next);
        match builder.finish() {
            Some(rows) => {
                Polled::Rows(SourceBatch { partition, rows, next, boundary: !reading.in_snapshot })
            }
            None if std::mem::take(&mut reading.in_snapshot) => Polled::Whole(partition, next),
            None if self.is_bounded() && reading.next >= self.setup.generator.records() => {
                reading.ended = true;
                Polled::End(partition)
            }
            None => Polled::Idle,
        }
    }

    fn is_bounded(&self) -> bool {
        !matches!(self.setup.pace, ConfigPace::Arrival)
    }
}

impl Source for ConfigSource {
    fn describe(&self) -> Description {
        let (name, bounded) = (self.setup.describe(), self.is_bounded());
        Description { name, replay: Replay::Exact, bounded, snapshot: true }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        Ok(Some(vec![Partition { name: "config/0".into(), ordinal: 0 }]))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let (next, in_snapshot) = match start {
            Start::Earliest | Start::Latest | Start::Timestamp(_) => (0, true),
            Start::At(position) => {
                let number = position.as_number().ok_or_else(|| {
                    let bytes = position.0.len();
                    Fault::never(format!("position of the config is no number: {bytes} bytes"))
                })?;
                (number, false)
            }
        };
        let partition = partition.clone();
        self.open = Some(Reading { partition, next, in_snapshot, ended: false });
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
    use super::super::{Layout, Settings};
    use super::*;
    use crate::generate::shop;

    const BUDGET: PollBudget = PollBudget { rows: 10, bytes: 1 << 20 };

    fn at(wall_ms: i64) -> Moment {
        Moment { wall_ms, tick_us: 0 }
    }

    fn generator() -> Generator {
        let shop = shop::Generator::new(shop::Settings::default());
        Generator::new(Settings::churn(Layout::TableProcess, &shop, 1_000, 12, true))
    }

    fn source(pace: ConfigPace, start: &Start) -> Box<dyn Source> {
        let factory = ConfigSourceFactory { generator: generator(), pace };
        let mut source = factory.create().unwrap();
        let partitions = source.discover(at(0)).unwrap().expect("known at once");
        source.open(&partitions[0], start).unwrap();
        source
    }

    /// What comes, in short: `rows 0..10 (part)`, `whole at 15`, `end`, `idle`.
    fn said(polled: &Polled) -> String {
        match polled {
            Polled::Rows(batch) => {
                let first = batch.rows.row(0).order().position;
                let next = batch.next.as_number().unwrap();
                format!("rows {first}..{next}{}", if batch.boundary { "" } else { " (part)" })
            }
            Polled::Whole(_, next) => format!("whole at {}", next.as_number().unwrap()),
            Polled::End(_) => "end".to_owned(),
            Polled::Idle => "idle".to_owned(),
            Polled::Fault(fault) => format!("{fault:?}"),
        }
    }

    fn polls(source: &mut Box<dyn Source>, count: usize, now: i64) -> Vec<String> {
        (0..count).map(|_| said(&source.poll(BUDGET, at(now)))).collect()
    }

    #[test]
    fn the_snapshot_is_one_piece_and_the_changes_follow() {
        let mut source = source(ConfigPace::Unpaced, &Start::Earliest);
        let expected = [
            "rows 0..10 (part)",
            "rows 10..15 (part)",
            "whole at 15",
            "rows 15..25",
            "rows 25..27",
        ];
        assert_eq!(polls(&mut source, 7, 0), [&expected[..], &["end", "idle"]].concat());
    }

    #[test]
    fn changes_wait_for_the_records_of_the_shop() {
        let come = Arc::new(AtomicU64::new(0));
        let mut source = source(ConfigPace::Records(come.clone()), &Start::Earliest);
        assert_eq!(polls(&mut source, 5, 0)[3..], ["idle", "idle"]);
        let due = generator().change(16).unwrap().due;
        come.store(due, Ordering::Release);
        assert_eq!(polls(&mut source, 2, 0), ["rows 15..17", "idle"]);
        come.store(u64::MAX, Ordering::Release);
        assert_eq!(polls(&mut source, 2, 0), ["rows 17..27", "end"]);
    }

    #[test]
    fn changes_come_at_their_instant_without_an_end() {
        let mut source = source(ConfigPace::Arrival, &Start::Earliest);
        let at_ms = generator().change(15).unwrap().at_ms;
        assert_eq!(polls(&mut source, 4, at_ms - 1)[3..], ["idle"]);
        assert_eq!(polls(&mut source, 2, at_ms), ["rows 15..16", "idle"]);
        assert_eq!(polls(&mut source, 3, i64::MAX), ["rows 16..26", "rows 26..27", "idle"]);
    }

    #[test]
    fn a_saved_position_goes_on_without_a_snapshot() {
        let start = Start::At(Position::of_number(20));
        let mut source = source(ConfigPace::Unpaced, &start);
        assert_eq!(polls(&mut source, 2, 0), ["rows 20..27", "end"]);
    }
}
