//! A table source in the hands of a test: begun, polled, with a limit on every wait, and every record
//! held against a mirror of the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::mysql::config::MysqlTableConfig;
use connectors::mysql::source::MysqlTableSource;
use engine::batch::build::{RAW_KEY, RAW_VALUE};
use engine::clock::Moment;
use engine::error::{Fault, Retry};
use engine::source::{PollBudget, Polled, Position, Source as _, Start};
use serde_json::Value;

use crate::mariadb::{Database, LIMIT};

/// The wall clock the engine would hand in.
pub(crate) const NOW_MS: i64 = 1_651_280_400_123;

/// The table as the records say it is. A change that does not fit what was there before shows that one
/// was lost or came twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mirror {
    /// Rows by the text of their first column.
    pub(crate) rows: BTreeMap<String, Value>,
    whole: bool,
}

impl Mirror {
    pub(crate) fn apply(&mut self, record: &Value) {
        let (before, after) = (&record["before"], &record["after"]);
        match record["op"].as_str() {
            Some("r") => {
                if std::mem::take(&mut self.whole) {
                    // A new snapshot stands for the table.
                    self.rows.clear();
                }
                self.put(after, record);
            }
            Some("c") => self.put(after, record),
            Some("d") => self.cut(before, record),
            Some("u") => {
                self.cut(before, record);
                self.put(after, record);
            }
            other => panic!("an op {other:?}: {record}"),
        }
    }

    fn put(&mut self, row: &Value, record: &Value) {
        let before = self.rows.insert(key_of(row), row.clone());
        assert_eq!(before, None, "a row comes twice: {record}");
    }

    fn cut(&mut self, row: &Value, record: &Value) {
        let there = self.rows.remove(&key_of(row));
        assert_eq!(there.as_ref(), Some(row), "a change was lost before {record}");
    }
}

/// The first member of a row: the records keep the order of columns, so its text begins with it.
fn key_of(row: &Value) -> String {
    let members = row.as_object().expect("a row");
    members.get("id").unwrap_or_else(|| panic!("tests name the key id: {row}")).to_string()
}

/// A source being read.
pub(crate) struct Reading {
    pub(crate) source: MysqlTableSource,
    /// Records as they came.
    pub(crate) records: Vec<Vec<u8>>,
    /// Where a cut was allowed: number of records before, and the position.
    pub(crate) cuts: Vec<(usize, Position)>,
    /// How often it was told to be whole.
    pub(crate) wholes: usize,
    /// Faults that may pass, in order.
    pub(crate) faults: Vec<Fault>,
    pub(crate) mirror: Mirror,
    pub(crate) budget: PollBudget,
    next_row: Option<u64>,
    at_boundary: bool,
}

impl Reading {
    /// A source from its beginning.
    pub(crate) fn new(config: MysqlTableConfig) -> Reading {
        Reading::at(config, &Start::Earliest, Mirror::default())
    }

    /// A source from a position, at which the table was as `mirror` says.
    pub(crate) fn resume(config: MysqlTableConfig, at: &Position, mirror: &Mirror) -> Reading {
        Reading::at(config, &Start::At(at.clone()), mirror.clone())
    }

    fn at(config: MysqlTableConfig, start: &Start, mirror: Mirror) -> Reading {
        let mut source = MysqlTableSource::new(Arc::new(config));
        let partitions = source.discover(moment()).expect("no fault").expect("known at once");
        assert_eq!((partitions.len(), partitions[0].ordinal), (1, 0));
        source.open(&partitions[0], start).expect("opened");
        Reading {
            source,
            records: Vec::new(),
            cuts: Vec::new(),
            wholes: 0,
            faults: Vec::new(),
            mirror,
            budget: PollBudget { rows: 1024, bytes: 256 * 1024 },
            next_row: None,
            at_boundary: true,
        }
    }

    /// One poll; whether it brought something.
    pub(crate) fn poll(&mut self) -> Result<bool, Fault> {
        match self.source.poll(self.budget, moment()) {
            Polled::Idle => return Ok(false),
            Polled::End(partition) => panic!("{} has no end", partition.name),
            Polled::Fault(fault) if fault.retry == Retry::Later => self.faults.push(fault),
            Polled::Fault(fault) => return Err(fault),
            Polled::Whole(_, position) => {
                self.wholes += 1;
                self.mirror.whole = true;
                self.at_boundary = true;
                self.cuts.push((self.records.len(), position));
            }
            Polled::Rows(batch) => {
                assert!(batch.rows.len() <= self.budget.rows.max(1));
                for row in batch.rows.rows() {
                    let order = row.order();
                    let expected = *self.next_row.get_or_insert(order.position);
                    assert_eq!((order.partition, order.position), (0, expected));
                    self.next_row = Some(expected + 1);
                    assert_eq!(row.bytes(RAW_KEY), None);
                    self.take(row.bytes(RAW_VALUE).expect("a record has a value"));
                }
                self.at_boundary = batch.boundary;
                if batch.boundary {
                    self.cuts.push((self.records.len(), batch.next));
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, record: &[u8]) {
        let value: Value = serde_json::from_slice(record).expect("a record is JSON");
        self.mirror.apply(&value);
        self.records.push(record.to_vec());
    }

    /// Polls until `done`.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Reading) -> bool) {
        let started = Instant::now();
        while !done(self) {
            let brought = self.poll().unwrap_or_else(|fault| panic!("waiting for {what}: {fault}"));
            assert!(
                started.elapsed() < LIMIT,
                "{what} took longer than {LIMIT:?}; {:#?}",
                self.faults
            );
            if !brought {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }

    /// Polls until the snapshot is whole.
    pub(crate) fn until_whole(&mut self) {
        self.until("the snapshot", |reading| reading.wholes > 0);
    }

    /// Polls until there are `count` records and a cut is allowed behind them.
    pub(crate) fn until_count(&mut self, count: usize) {
        self.until("records", |reading| reading.records.len() >= count && reading.at_boundary);
        assert_eq!(self.records.len(), count, "{:#?}", self.texts());
    }

    /// Writes a last row and polls until it came: then all that was written before has come too.
    pub(crate) fn until_sentinel(&mut self, database: &Database<'_>, table: &str, id: i64) {
        database.sql(&format!("insert into `{table}`(id) values ({id})"));
        let key = id.to_string();
        self.until("the sentinel", |reading| reading.mirror.rows.contains_key(&key));
    }

    /// Polls until a fault that stays.
    pub(crate) fn until_refused(&mut self) -> Fault {
        let started = Instant::now();
        loop {
            match self.poll() {
                Err(fault) => return fault,
                Ok(true) => {}
                Ok(false) => {
                    assert!(
                        started.elapsed() < LIMIT,
                        "no fault within {LIMIT:?}; {:#?} {:#?}",
                        self.faults,
                        self.texts()
                    );
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            }
        }
    }

    /// Polls until a fault that may pass, and gives the first.
    pub(crate) fn until_fault(&mut self) -> Fault {
        self.until("a fault", |reading| !reading.faults.is_empty());
        self.faults[0].clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.records.iter().map(|record| String::from_utf8_lossy(record).into_owned());
        texts.collect()
    }

    /// Op, before and after of each record from `first` on.
    pub(crate) fn changes(&self, first: usize) -> Vec<(String, Value, Value)> {
        let values = self.records.iter().skip(first).map(|record| {
            let value: Value = serde_json::from_slice(record).expect("a record is JSON");
            let op = value["op"].as_str().expect("an op").to_owned();
            (op, value["before"].clone(), value["after"].clone())
        });
        values.collect()
    }

    /// Where the last cut was allowed.
    pub(crate) fn position(&self) -> Position {
        self.cuts.last().expect("a cut was allowed").1.clone()
    }
}

pub(crate) fn moment() -> Moment {
    Moment { wall_ms: NOW_MS, tick_us: 0 }
}

/// What the table holds by the server's own word: texts of all columns, by `id`.
pub(crate) fn ids(database: &Database<'_>, table: &str) -> Vec<String> {
    let told = database.sql(&format!("select id from `{table}` order by id"));
    told.lines().map(str::to_owned).collect()
}

/// The keys of a mirror in the order of numbers.
pub(crate) fn mirrored_ids(mirror: &Mirror) -> Vec<String> {
    let mut ids: Vec<i64> =
        mirror.rows.keys().map(|id| id.parse().expect("tests have numbers for ids")).collect();
    ids.sort_unstable();
    ids.iter().map(ToString::to_string).collect()
}
