//! One table of a MySQL or MariaDB server as a source: its snapshot, then every change of it.
//!
//! A record is a Debezium envelope in Flink CDC's form (`envelope`); there is no key. There is one
//! partition, `<database>.<table>`. Reading is the work of a thread beside (`reader`); every call here
//! returns at once.
//!
//! Two things a job must know. The snapshot comes with `boundary` false throughout, also for an empty
//! table, and its end is told by [`Polled::Whole`]; that is told again, without a record, when the log
//! went on without a change of the table. And a record read again after a restart has the same bytes,
//! but for the time at which a snapshot was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use engine::batch::build::{RawBuilder, raw_schema};
use engine::batch::schema::Schema;
use engine::clock::Moment;
use engine::error::Fault;
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};

use super::config::MysqlTableConfig;
use super::position::Mark;
use super::queue::{Inlet, News, Piece, queue};
use super::reader;

/// Makes [`MysqlTableSource`]s.
#[derive(Debug, Clone)]
pub struct MysqlTableSourceFactory {
    config: Arc<MysqlTableConfig>,
}

impl MysqlTableSourceFactory {
    /// A source of this table.
    pub fn new(config: MysqlTableConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl SourceFactory for MysqlTableSourceFactory {
    fn describe(&self) -> String {
        self.config.describe()
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(MysqlTableSource::new(self.config.clone())))
    }
}

/// Reads one table.
pub struct MysqlTableSource {
    config: Arc<MysqlTableConfig>,
    schema: Arc<Schema>,
    clock: Arc<AtomicI64>,
    inlet: Option<Inlet>,
    /// What a poll had no budget for.
    rest: Option<Piece>,
    /// Where to go on if a piece is given in parts: before its transaction.
    before: Position,
}

impl MysqlTableSource {
    /// A source that connects to nothing yet.
    pub fn new(config: Arc<MysqlTableConfig>) -> Self {
        Self {
            config,
            schema: raw_schema(),
            clock: Arc::default(),
            inlet: None,
            rest: None,
            before: Mark { rows: 0, at: None }.encode(),
        }
    }

    fn partition(&self) -> Partition {
        Partition { name: self.config.full_name().into(), ordinal: 0 }
    }

    /// A batch of the front of `piece` within the budget; what is left waits for the next poll.
    fn batch(&mut self, mut piece: Piece, budget: PollBudget) -> SourceBatch {
        let mut builder = RawBuilder::new(&self.schema, 0);
        let mut records = std::mem::take(&mut piece.records).into_iter().peekable();
        // At least one, or a record above the budget would never come.
        while builder.is_empty() || (builder.len() < budget.rows && builder.bytes() < budget.bytes)
        {
            let Some(record) = records.next() else { break };
            builder.push(piece.first, None, Some(&record));
            piece.first += 1;
        }
        let partition = self.partition();
        let rows = builder.finish().expect("a piece has records");
        if records.peek().is_some() {
            piece.records = records.collect();
            self.rest = Some(piece);
            return SourceBatch { partition, rows, next: self.before.clone(), boundary: false };
        }
        if piece.boundary {
            self.before = piece.next.clone();
        }
        SourceBatch { partition, rows, next: piece.next, boundary: piece.boundary }
    }
}

impl Source for MysqlTableSource {
    fn describe(&self) -> Description {
        Description {
            name: self.config.describe(),
            replay: Replay::FromSnapshot,
            bounded: false,
            snapshot: true,
        }
    }

    fn discover(&mut self, now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        self.clock.store(now.wall_ms, Ordering::Relaxed);
        Ok(Some(vec![self.partition()]))
    }

    fn open(&mut self, partition: &Partition, start: &Start) -> Result<(), Fault> {
        let name = self.config.describe();
        let mark = match start {
            Start::Earliest => Some(Mark { rows: 0, at: None }),
            Start::At(position) => Mark::decode(position),
            Start::Latest | Start::Timestamp(_) => {
                let fault = Fault::never(format!("cannot start {name} at {start:?}"));
                return Err(fault.with_hint("a table begins with its snapshot: start at earliest"));
            }
        };
        let Some(mark) = mark else {
            let fault = Fault::never(format!("cannot read the saved position of {name}"));
            return Err(fault.with_hint("it was saved by another version; start afresh"));
        };
        if *partition != self.partition() {
            let other = &partition.name;
            return Err(Fault::never(format!("cannot read \"{other}\": it is no part of {name}")));
        }
        self.before = mark.encode();
        let (outlet, inlet) = queue();
        reader::start(self.config.clone(), mark, outlet, self.clock.clone())?;
        self.inlet = Some(inlet);
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, now: Moment) -> Polled {
        self.clock.store(now.wall_ms, Ordering::Relaxed);
        if let Some(rest) = self.rest.take() {
            return Polled::Rows(self.batch(rest, budget));
        }
        match self.inlet.as_mut().and_then(Inlet::take) {
            None => Polled::Idle,
            Some(News::Piece(piece)) => Polled::Rows(self.batch(piece, budget)),
            Some(News::Whole(position)) => {
                self.before = position.clone();
                Polled::Whole(self.partition(), position)
            }
            Some(News::Fault(fault)) => Polled::Fault(fault),
        }
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {
        self.inlet = None;
    }
}

#[cfg(test)]
mod tests {
    use engine::batch::build::RAW_VALUE;
    use engine::error::Retry;

    use super::*;

    fn source() -> MysqlTableSource {
        let config = MysqlTableConfig::new("localhost", "u", "p", "d", "t").unwrap();
        MysqlTableSource::new(Arc::new(config))
    }

    #[test]
    fn a_piece_above_the_budget_comes_in_parts_that_no_cut_divides() {
        let mut source = source();
        let end = Position::of_number(9);
        let records = (0..5).map(|number| vec![b'0' + number; 10]).collect();
        let piece = Piece { records, first: 7, next: end.clone(), boundary: true };
        let budget = PollBudget { rows: 2, bytes: 1000 };
        let mut batch = source.batch(piece, budget);
        let mut seen = Vec::new();
        loop {
            for row in batch.rows.rows() {
                seen.push((row.order().position, row.bytes(RAW_VALUE).unwrap()[0]));
            }
            if batch.boundary {
                break;
            }
            assert_eq!(Mark::decode(&batch.next), Some(Mark { rows: 0, at: None }));
            let rest = source.rest.take().unwrap();
            batch = source.batch(rest, PollBudget { rows: 9, bytes: 11 });
        }
        assert_eq!((batch.next, source.rest.is_none()), (end.clone(), true));
        assert_eq!(source.before, end);
        let expected = [(7, b'0'), (8, b'1'), (9, b'2'), (10, b'3'), (11, b'4')];
        assert_eq!(seen, expected);
    }

    #[test]
    fn where_it_cannot_start_is_named() {
        let partition = source().partition();
        assert_eq!((&*partition.name, partition.ordinal), ("d.t", 0));
        for (start, expected) in [
            (Start::Latest, "cannot start"),
            (Start::At(Position::of_number(1)), "cannot read the saved position"),
        ] {
            let fault = source().open(&partition, &start).unwrap_err();
            assert_eq!(fault.retry, Retry::Never);
            assert!(fault.message.contains(expected), "{fault}");
        }
        let other = Partition { name: "d.u".into(), ordinal: 0 };
        assert!(source().open(&other, &Start::Earliest).is_err());
    }

    #[test]
    fn it_says_that_it_begins_with_a_snapshot() {
        let about = source().describe();
        assert!(about.snapshot && !about.bounded);
        assert_eq!(about.name, "mysql table \"d.t\" at localhost:3306");
    }
}
